"""`copier update` with a net, on real repositories; copier itself is a stand-in here."""

from __future__ import annotations

import os
import runpy
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import answers
from tests.support.rooms import Rooms

ANSWERS = ".copier-answers.yml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that its template's v1.0.0 has rendered, in a folder of a larger repository."""
    folder = tmp_path / "repository/project"
    (folder / "deep/er").mkdir(parents=True)
    (folder / ANSWERS).write_text("_commit: v1.0.0\n_src_path: gh:acme/template\n", "utf-8")
    for name in ("kept.py", "edited.py", "ä b.py", "deep/er/gone.py", "conflict.py"):
        (folder / name).write_text("as rendered\n", "utf-8")
    answers.git(folder.parent, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    answers.git(folder, "add", "--all")
    answers.git(folder, "commit", "--quiet", "--message", "x")


class Copier:
    """A stand-in: notes its calls, renders the old version, and updates as it is told."""

    def __init__(self, update: Callable[[Path], None]) -> None:
        self.calls: list[list[str]] = []
        self._update = update

    def __call__(self, arguments: Sequence[str]) -> None:
        self.calls.append(list(arguments))
        if arguments[0] == "update":
            self._update(Path(arguments[-1]))
            return
        rendered = Path(arguments[-1])
        (rendered / "deep/er").mkdir(parents=True)
        for name in ("edited.py", "ä b.py", "deep/er/gone.py"):
            (rendered / name).write_text("as rendered\n", "utf-8")
        given = Path(arguments[list(arguments).index("--data-file") + 1])
        assert "_commit: v1.0.0" in given.read_text("utf-8")


@pytest.fixture
def updated(mlops: Rooms, project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Update the project by a function that does what copier would."""

    def run(update: Callable[[Path], None], *given: Any, **options: Any) -> tuple[Any, Copier]:
        copier = Copier(update)
        monkeypatch.setattr(mlops("update"), "run_copier", copier)
        return mlops("update").update(project, *given, **options), copier

    return run


def to_version_2(project: Path) -> None:
    text = (project / ANSWERS).read_text("utf-8").replace("v1.0.0", "v2.0.0")
    (project / ANSWERS).write_text(text, "utf-8")


def test_what_the_owner_has_edited_stays_and_the_rest_goes(
    project: Path, updated: Callable[..., Any]
) -> None:
    (project / "edited.py").write_text("edited\n", "utf-8")
    (project / "own.py").write_text("never rendered\n", "utf-8")
    commit(project)

    def update(project: Path) -> None:
        to_version_2(project)
        for name in ("edited.py", "own.py", "ä b.py", "deep/er/gone.py"):
            (project / name).unlink()
        (project / "new.py").write_text("new\n", "utf-8")

    done, copier = updated(update)
    assert (done.old, done.new, done.changed) == ("v1.0.0", "v2.0.0", True)
    assert (done.kept, done.conflicts) == (["edited.py", "own.py"], [])
    assert (project / "edited.py").read_text("utf-8") == "edited\n"
    names = {path.name for path in project.iterdir()}
    assert names == {ANSWERS, "kept.py", "edited.py", "own.py", "conflict.py", "new.py"}
    first, second = copier.calls
    trusted = ["--trust", "--skip-tasks", "--quiet"]
    assert first[:-1] == ["update", *trusted, "--skip-answered", "--defaults"]
    assert Path(first[-1]).name == project.name
    assert second[:7] == ["copy", *trusted, "--defaults", "--vcs-ref", "v1.0.0"]
    assert second[-2] == "gh:acme/template"
    screen = done.screen()
    assert "Update from v1.0.0 to v2.0.0 of the template\n\nNo longer in the template" in screen
    assert "    edited.py\n    own.py\n" in screen
    assert "git diff                  # what has changed" in screen


def test_versions_answers_and_questions_reach_copier(updated: Callable[..., Any]) -> None:
    done, copier = updated(to_version_2, "v2.0.0", ["ci=none", "license=MIT"], ask=True)
    (call,) = copier.calls
    assert call[5:-1] == ["--vcs-ref", "v2.0.0", "--data=ci=none", "--data=license=MIT"]
    assert done.changed


@pytest.mark.parametrize("objects", ["sha1", "sha256"])
def test_conflicts_are_named(
    project: Path, updated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, objects: str
) -> None:
    shutil.rmtree(project.parent / ".git")
    answers.git(project.parent, "init", "--quiet", f"--object-format={objects}")
    commit(project)
    monkeypatch.chdir(project)

    def update(project: Path) -> None:
        to_version_2(project)
        for side in ("ours", "theirs"):
            answers.git(project, "checkout", "--quiet", "-b", side, "HEAD")
            (project / "conflict.py").write_text(f"{side}\n", "utf-8")
            answers.git(project, "commit", "--quiet", "--all", "--message", side)
            answers.git(project, "checkout", "--quiet", "-")
        answers.git(project, "checkout", "--quiet", "ours")
        with pytest.raises(Exception, match="merge"):
            answers.git(project, "merge", "theirs")

    done, _ = updated(update)
    assert done.conflicts == ["conflict.py"]
    assert "in:\n\n    conflict.py" in done.screen()
    assert "settle what is between the markers" in done.screen()
    request = done.request("## 2.0.0\n\nNew.")
    assert request.splitlines()[0] == done.title
    paragraphs = "\n\n- `conflict.py`\n\nThe template is gh:acme/template.\n\n## 2.0.0\n\nNew.\n\n"
    assert f"{paragraphs}Your own files" in request
    assert "\n\n\n" not in done.request("")


def test_an_update_that_changes_nothing_says_so(updated: Callable[..., Any]) -> None:
    done, _ = updated(lambda project: None)
    assert (done.changed, done.old, done.new) == (False, "v1.0.0", "v1.0.0")
    assert done.title == "Render v1.0.0 of the template with other answers"
    assert done.screen() == "Nothing changes: the project is as v1.0.0 of its template renders it."


def test_what_fails_midway_changes_nothing(project: Path, updated: Callable[..., Any]) -> None:
    def update(copy: Path) -> None:
        to_version_2(copy)
        (copy / "kept.py").unlink()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        updated(update)
    assert answers.git(project, "status", "--porcelain") == ""


def test_a_merge_request_names_no_password_of_the_template(
    project: Path, updated: Callable[..., Any]
) -> None:
    file = project / ANSWERS
    file.write_text("_commit: v1.0.0\n_src_path: https://me:CANARY@host/template.git\n", "utf-8")
    commit(project)
    request = updated(to_version_2)[0].request("")
    assert "host/template.git" in request
    assert "CANARY" not in request


@pytest.mark.parametrize("told", ["--skip-worktree", "--assume-unchanged"])
def test_changes_that_git_is_told_not_to_see_are_not_overwritten(
    mlops: Rooms, project: Path, updated: Callable[..., Any], told: str
) -> None:
    for name in ("kept.py", "edited.py"):
        answers.git(project, "update-index", told, name)
    assert updated(to_version_2)[0].changed
    commit(project)
    (project / "edited.py").write_text("mine\n", "utf-8")
    refused = mlops("update.origin").UpdateError
    with pytest.raises(refused, match=r"^edited\.py has changes that git is told not to see"):
        updated(to_version_2)
    assert (project / "edited.py").read_text("utf-8") == "mine\n"


def test_what_git_does_not_keep_is_not_overwritten(
    project: Path, updated: Callable[..., Any]
) -> None:
    (project / ".gitignore").write_text("/new.py\n", "utf-8")
    commit(project)
    (project / "new.py").write_text("mine\n", "utf-8")
    updated(lambda copy: (copy / "new.py").write_text("the template's\n", "utf-8"))
    assert (project / "new.py").read_text("utf-8") == "mine\n"


def test_links_and_names_in_no_encoding_are_not_for_copier(
    project: Path, tmp_path: Path, updated: Callable[..., Any]
) -> None:
    outside, odd = tmp_path / "outside", os.fsdecode(b"\xe4.py")
    outside.write_text("of another project\n", "utf-8")
    shutil.rmtree(project / "deep")
    for name, target in {"edited.py": str(outside), "deep": "../../shared"}.items():
        (project / name).unlink(missing_ok=True)
        (project / name).symlink_to(target)
    (project / odd).write_text("mine\n", "utf-8")
    commit(project)

    def update(copy: Path) -> None:
        to_version_2(copy)
        for name in ("edited.py", "deep", odd):
            assert not os.path.lexists(copy / name)
        (copy / "edited.py").write_text("the template's\n", "utf-8")
        (copy / "deep").mkdir()
        (copy / "deep/new.py").write_text("the template's\n", "utf-8")

    assert updated(update)[0].changed
    assert answers.git(project, "status", "--porcelain") == f" M project/{ANSWERS}\n"
    assert (project / "edited.py").readlink() == outside
    assert outside.read_text("utf-8") == "of another project\n"
    assert (project / odd).read_text("utf-8") == "mine\n"


EXPORTED = [
    {"GIT_DIR": "{other}/.git", "GIT_INDEX_FILE": "{other}/.git/index"},
    {"GIT_DIR": "{other}/.git", "GIT_WORK_TREE": "{other}", "GIT_PREFIX": "x/"},
    {"GIT_OBJECT_DIRECTORY": "{other}/.git/objects"},
    {"GIT_CONFIG_PARAMETERS": "'diff.orderFile'='nowhere' 'core.ignoreStat=true'"},
    {"GIT_DEFAULT_HASH": "sha256"},
]


@pytest.mark.parametrize("exported", EXPORTED, ids=lambda exported: next(iter(exported)))
def test_what_a_hook_or_an_alias_exports_leads_to_no_other_repository(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    updated: Callable[..., Any],
    exported: dict[str, str],
) -> None:
    other = tmp_path / "other"
    answers.git(tmp_path, "init", "--quiet", "other")
    (other / "x").touch()
    commit(other)
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        for name, value in exported.items():
            patch.setenv(name, value.format(other=other))
        done, _ = updated(to_version_2)
    assert done.changed
    assert answers.git(project, "status", "--porcelain") == f" M project/{ANSWERS}\n"
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("change", ["edited", "new", "elsewhere"])
def test_only_a_clean_project_is_updated(
    mlops: Rooms, project: Path, updated: Callable[..., Any], change: str
) -> None:
    name = {"edited": "kept.py", "new": "new.py", "elsewhere": "../of another project.py"}[change]
    (project / name).write_text("not committed\n", "utf-8")
    if change == "elsewhere":
        assert not updated(lambda project: None)[0].changed
        return
    with pytest.raises(mlops("update.origin").UpdateError, match="Commit or stash your changes"):
        updated(to_version_2)


# --- copier, by uv ---


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize("found", ["variable", "path"])
def test_copier_runs_in_an_environment_of_its_own(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    uv = program(tmp_path / "uv", f'echo "$@ $PYTHONUTF8" > {tmp_path}/called')
    monkeypatch.delenv("UV", raising=False)
    if found == "variable":
        monkeypatch.setenv("UV", uv)
    else:
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    mlops("update").run_copier(["update", "--trust"])
    called = (tmp_path / "called").read_text("utf-8")
    assert called.startswith("tool run --from copier>=9")
    assert called.endswith(" copier update --trust 1\n")


def test_without_uv_an_update_is_refused(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(mlops("update.origin").UpdateError, match="uv is not on the PATH"):
        mlops("update").run_copier([])


SAID = [
    ("", "copier failed without a message."),
    ("warning\nthe last line\n\n", "the last line"),
    ("Traceback\n  x\nValueError: not so", "not so"),
    ("no file \udce4.py", "no file \ufffd.py"),
    ("ValueError: Validation error for question 'ci': no such service", "no such service"),
    ('Question "tracking_uri" is required', "Answer tracking_uri as well: -d tracking_uri=VALUE."),
    (
        "FileExistsError: [Errno 17] File exists: '/tmp/copy/a/b'",
        "a/b is a file here and a folder in the template: rename yours, commit, and update again.",
    ),
    (
        "IsADirectoryError: [Errno 21] Is a directory: '/tmp/copy/b.py'\n\nx\n\nAssertionError",
        "b.py is a folder here and a file in the template: rename yours, commit, and update again.",
    ),
    (
        f"Stderr: | fatal: malformed index info 0 {'0' * 40}\ta b.yml\n",
        "Your edit of a b.yml conflicts, which copier cannot keep where git names objects by "
        "SHA-256: take it back, commit, update, and make it again.",
    ),
]


@pytest.mark.parametrize(("screen", "sentence"), SAID, ids=range(len(SAID)))
def test_what_copier_refuses_is_told_in_a_sentence(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: str, sentence: str
) -> None:
    (tmp_path / "screen").write_text(screen, "utf-8", "surrogateescape")
    monkeypatch.setenv("UV", program(tmp_path / "uv", f"cat {tmp_path}/screen >&2; exit 3"))
    with pytest.raises(mlops("update.origin").UpdateError) as refused:
        mlops("update").run_copier(["update", "/tmp/copy"])
    assert refused.value.message == sentence


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("output", ["", "fatal: why", "hint: a\nfatal: https://me:CANARY@host/x"])
def test_all_that_another_program_says_is_in_a_file_or_in_the_log_of_ci(
    mlops: Rooms, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, shown: bool
) -> None:
    refused, keep = mlops("update.origin").UpdateError, mlops("commands.update")._output_kept
    with pytest.raises(refused) as raised, keep(tmp_path, shown=shown):
        raise refused("git failed: why", output)
    logs = [path.read_text("utf-8") for path in tmp_path.rglob("*.log")]
    said = output.replace("me:CANARY", "********")
    kept = "\n" in output and not shown
    assert logs == [said] * kept
    where = " (All of it: .kedro_mlflow/update.log)" if kept else ""
    assert raised.value.message == f"git failed: why{where}"
    assert capsys.readouterr().err == (f"{said}\n" if shown and said else "")


# --- where the template is ---

ADDRESSES = [
    ("gh:acme/template", "https://github.com/acme/template.git"),
    ("gh:/acme/template.git", "https://github.com/acme/template.git"),
    ("gl:acme/group/template/", "https://gitlab.com/acme/group/template.git"),
    ("git+https://host/x.git", "https://host/x.git"),
    ("git@host:acme/template.git", "git@host:acme/template.git"),
    ("/srv/templates/x", "/srv/templates/x"),
]


@pytest.mark.parametrize(("address", "as_git_has_it"), ADDRESSES, ids=range(len(ADDRESSES)))
def test_an_address_of_copiers_is_one_of_gits(
    mlops: Rooms, address: str, as_git_has_it: str
) -> None:
    assert mlops("update.origin").Origin(address, "v1").git_address == as_git_has_it


@pytest.mark.parametrize(
    "content",
    [
        *(None, "", "_commit: v1\n", "_src_path: x\n", "_commit: ''\n_src_path: x\n"),
        *("- x\n", "x\n", "<<<<<<< before\n_commit: v1\n", "_commit: \x01\n", "_src_path: [\n"),
    ],
)
def test_a_project_that_does_not_know_its_template_is_refused(
    mlops: Rooms, tmp_path: Path, content: str | None
) -> None:
    origin = mlops("update.origin")
    if content is not None:
        (tmp_path / ANSWERS).write_text(f"# made by copier\n{content}", "utf-8")
    with pytest.raises(origin.UpdateError, match=r"names no template and version|is no YAML"):
        origin.origin(tmp_path)
    assert origin.pending(tmp_path) is None


def test_a_newer_version_is_pending_where_git_can_tell(mlops: Rooms, tmp_path: Path) -> None:
    origin = mlops("update.origin")
    answers.git(tmp_path, "init", "--quiet", "template")
    (tmp_path / "template/x").touch()
    commit(tmp_path / "template")
    for tag in ("v1.9.0", "v1.10.0"):
        answers.git(tmp_path / "template", "tag", tag)
    text = f"_commit: v1.0.0\n_src_path: {tmp_path}/template\n"
    (tmp_path / ANSWERS).write_text(text, "utf-8")
    assert origin.pending(tmp_path) == "v1.10.0"
    assert origin.changelog(origin.origin(tmp_path), "v1.10.0") == ""
    (tmp_path / ANSWERS).write_text(text.replace("/template", "/moved"), "utf-8")
    assert origin.pending(tmp_path) is None
    with pytest.raises(origin.UpdateError, match="git ls-remote failed: "):
        origin.newest_version(origin.origin(tmp_path))


@pytest.mark.parametrize(
    ("ours", "tags", "newest"),
    [
        ("v1.3.0-rc1", "v1.3.0", "v1.3.0"),
        ("v1.3.0-rc1-2-gabc1234", "v1.3.0", "v1.3.0"),
        ("v1.3.0", "v1.4.0rc1 v1.4.0.dev2", None),
        ("v1.3.0-5-gabc1234", "v1.3.0 v1.3.1", "v1.3.1"),
        ("abcdef1", "v1.0.0 v1.1.0", "v1.1.0"),
        ("1.3", "1.2 1.3.0.post1", "1.3.0.post1"),
        ("v2.0.0", "nightly release-3 v2.0.0", None),
        ("1.0+acme.2", "1.0 1.0+acme.10 1!0.5", "1!0.5"),
        # A tag that is no version has those that are in it.
        ("release-3", "nightly release-3 v2.0.0", None),
        ("20300101", "v2.0.0 20300101", None),
        ("acme/v3", "v1.0.0 acme/v3 other/v4", None),
    ],
)
def test_versions_are_compared_as_copier_compares_them(
    mlops: Rooms, tmp_path: Path, ours: str, tags: str, newest: str | None
) -> None:
    origin = mlops("update.origin")
    answers.git(tmp_path, "init", "--quiet", "template")
    (tmp_path / "template/x").touch()
    commit(tmp_path / "template")
    for tag in tags.split():
        answers.git(tmp_path / "template", "tag", tag)
    template = origin.Origin(str(tmp_path / "template"), ours)
    assert origin.newest_version(template) == newest


GONE = """\
fatal: '/srv/x' does not appear to be a git repository
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
"""


@pytest.mark.parametrize(
    ("output", "meaning"),
    [
        (GONE, "fatal: '/srv/x' does not appear to be a git repository"),
        ("Command line: | git\nStderr: | \n       | fatal: no\n  | and so on", "fatal: no"),
        ("Traceback\n  x\nValueError: why", "ValueError: why"),
    ],
)
def test_of_what_a_program_says_the_line_that_means_something_is_shown(
    mlops: Rooms, output: str, meaning: str
) -> None:
    assert mlops("update.origin").meaning_of(output) == meaning


def test_why_git_fails_is_told_in_a_sentence(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = mlops("update.origin")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    monkeypatch.setenv("PATH", str(bin_folder))
    with pytest.raises(origin.UpdateError, match="git is not on the PATH"):
        origin.git(tmp_path, "status")
    for script, seconds, message in (
        ("echo a >&2; echo why >&2; exit 1", None, "git status failed: why"),
        ("exit 7", None, "git status failed: exit code 7"),
        ('[ "$1" = config ] || exec /bin/sleep 60', 0.1, r"git status got no answer within 0\.1 s"),
    ):
        program(bin_folder / "git", script)
        with pytest.raises(origin.UpdateError, match=message):
            origin.git(tmp_path, "status", seconds=seconds)
    program(bin_folder / "git", 'echo "$GIT_TERMINAL_PROMPT $LANGUAGE in $(/bin/pwd) $@"')
    monkeypatch.setenv("LANGUAGE", "de")
    assert origin.git(tmp_path, "status", "-z") == f"0 en in {tmp_path} status -z\n"


@pytest.mark.parametrize(
    ("config", "exported", "command"),
    [
        ("", {}, "ssh -o BatchMode=yes"),
        ("[core]\nsshCommand = ssh -i mine", {}, "ssh -i mine"),
        ("[core]\nsshCommand = ssh -i mine", {"GIT_SSH": "plink"}, "ssh -i mine"),
        ("[core]\nsshCommand = ssh -i mine", {"GIT_SSH_COMMAND": "ssh -v"}, "ssh -v"),
        ("", {"GIT_SSH": "plink"}, None),
    ],
)
def test_ssh_asks_nothing_and_is_called_as_its_user_has_it(
    mlops: Rooms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    exported: dict[str, str],
    command: str | None,
) -> None:
    (tmp_path / "config").write_text(config, "utf-8")
    for name in ("GIT_SSH", "GIT_SSH_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert mlops("update.origin").environment().get("GIT_SSH_COMMAND") == command


def test_git_is_asked_once_for_what_it_knows_of_the_project(
    mlops: Rooms, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever git would find where the command is typed, or where the update works."""
    (project / "pyproject.toml").write_text("[tool.kedro]\n", "utf-8")
    answers.git(project, "config", "core.sshCommand", "ssh -i ours")
    answers.git(project, "init", "--quiet", "--object-format=sha256", "deep/er")
    monkeypatch.chdir(project / "deep/er")
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin/git", f'echo "$*" >> {tmp_path}/asked; exec {shutil.which("git")} "$@"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    origin = mlops("update.origin")
    for folder in (project, tmp_path, project):
        origin.git(folder, "version")
    asked = ["config --get core.sshCommand", "rev-parse --show-object-format", *["version"] * 3]
    assert (tmp_path / "asked").read_text("utf-8").splitlines() == asked
    found = origin.environment()
    assert (found["GIT_SSH_COMMAND"], found["GIT_DEFAULT_HASH"]) == ("ssh -i ours", "sha1")


# --- whose template it is ---


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template's repository, without files yet."""
    folder = tmp_path / "template"
    folder.mkdir()
    answers.git(folder, "init", "--quiet")
    return folder


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ("_tasks: [touch x]\n", "_tasks"),
        ('"_ta\\x73ks":\n  - touch x\n', "_tasks"),
        (
            "_subdirectory: x\n---\n{_migrations: [{version: v1, command: touch x}]}\n",
            "_migrations",
        ),
        ("!include more.yml\n", "!include"),
        ("--- !include more.yml\n", "!include"),
        ("a: &a {_tasks: [touch x]}\n<<: *a\n", "_tasks"),
        ("- _tasks: [touch x]\n", "more than keys and values"),
        ("_tasks: []\n_migrations:\n_subdirectory: template\n", None),
    ],
)
@pytest.mark.parametrize("name", ["copier.yml", "copier.yaml", "copier.YML", "copier.more.yaml"])
def test_a_template_that_runs_commands_is_refused(
    mlops: Rooms, template: Path, settings: str, found: str | None, name: str
) -> None:
    origin = mlops("update.origin")
    (template / name).write_text("_subdirectory: template\n", "utf-8")
    (template / "copier.png").write_bytes(b"\xff")
    commit(template)
    answers.git(template, "tag", "v1.0.0")
    (template / name).write_text(settings, "utf-8")
    commit(template)
    answers.git(template, "tag", "v2.0.0")
    ours = origin.Origin(str(template), "v1.0.0")
    origin.refuse_commands(ours, "v1.0.0")
    if found is None:
        origin.refuse_commands(ours, "v1.0.0", "v2.0.0")
        return
    with pytest.raises(origin.UpdateError, match=f"v2.0.0 of .* has {found}.* it is not rendered"):
        origin.refuse_commands(ours, "v1.0.0", "v2.0.0")


def test_another_address_is_known_until_its_owner_trusts_it(
    mlops: Rooms, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = mlops("update.origin")
    assert origin.former_address(project, origin.origin(project)) is None
    for address, former in [
        ("https://github.com/acme/template.git", None),  # The same, in other words.
        ("gh:evil/template", "gh:acme/template"),
    ]:
        (project / ANSWERS).write_text(f"_commit: v1.0.0\n_src_path: {address}\n", "utf-8")
        commit(project)
        ours = origin.origin(project)
        assert origin.former_address(project, ours) == former
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda question, abort: asked.append(question))
    require_trust = mlops("commands.update")._require_trust
    with pytest.raises(origin.UpdateError, match="name it by --template if you trust it"):
        require_trust(project, ours, None, ask=False)
    for _ in range(2):
        require_trust(project, ours, None, ask=True)
    (question,) = asked
    assert "names gh:evil/template as the template, and not gh:acme/template" in question
    with pytest.raises(origin.UpdateError, match="and not gh:acme/template"):
        require_trust(project, ours, "gh:acme/template", ask=True)


LOG = "[log]\nshowRoot = false\nshowSignature = true\nfollow = true\n"


def test_the_first_address_is_known_whatever_is_merged(mlops: Rooms, template: Path) -> None:
    origin = mlops("update.origin")
    (template / ANSWERS).write_text("_commit: v1.0.0\n_src_path: gh:acme/template\n", "utf-8")
    commit(template)
    main = answers.git(template, "branch", "--show-current").strip()
    answers.git(template, "checkout", "--quiet", "--orphan", "aside")
    (template / ANSWERS).write_text("_commit: v1.0.0\n_src_path: gh:evil/template\n", "utf-8")
    answers.git(template, "add", "--all")
    answers.git(template, "commit", "--quiet", "--message", "x", "--date", "2000-01-01T00:00:00Z")
    answers.git(template, "checkout", "--quiet", main)
    unrelated = ("--allow-unrelated-histories", "--strategy-option=theirs", "--no-edit", "aside")
    answers.git(template, "merge", "--quiet", *unrelated)
    ours = origin.origin(template)
    assert ours.address == "gh:evil/template"
    assert origin.former_address(template, ours) == "gh:acme/template"


@pytest.mark.parametrize("attributes", ["", "* -diff\n", "* binary\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_the_first_address_is_known_however_it_is_written(
    mlops: Rooms,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    quote: str,
    end: str,
    attributes: str,
) -> None:
    origin = mlops("update.origin")
    (template / ".git/mine").write_text(LOG, "utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(template / ".git/mine"))
    (template / ".gitattributes").write_text(attributes, "utf-8")
    for address, former in (("gh:acme/template", None), ("gh:evil/template", "gh:acme/template")):
        text = f"_commit: v1.0.0{end}_src_path: {quote}{address}{quote}{end}"
        (template / ANSWERS).write_bytes(text.encode())
        commit(template)
        assert origin.former_address(template, origin.origin(template)) == former


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_template_that_has_moved_may_be_in_a_folder_that_is_named_from_here(
    mlops: Rooms, project: Path, template: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    origin = mlops("update.origin")
    (project / ANSWERS).write_bytes(f"_commit: v1.0.0{end}_src_path: x y{end}a: b{end}".encode())
    commit(project)
    monkeypatch.chdir(project)
    (template / "x").touch()
    commit(template)
    with pytest.raises(origin.UpdateError, match=r"has no version v1\.0\.0, .*: correct _commit"):
        origin.move(project, "../../template")
    answers.git(template, "tag", "v1.0.0")
    origin.move(project, "../../template")
    text = f"_commit: v1.0.0{end}_src_path: {template}{end}a: b{end}"
    assert (project / ANSWERS).read_bytes().decode() == text
    # As copier has it that was given a folder beside the project.
    relative = origin.Origin("../../template", "v1.0.0")
    origin.refuse_commands(relative, "v1.0.0")
    assert origin.newest_version(relative) is None


def test_what_libraries_let_yaml_read_is_not_read(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have added `!include` before this module is imported, or after."""
    origin = mlops("update.origin")
    theirs = {**yaml.SafeLoader.yaml_constructors, "!include": lambda *_: {}}
    monkeypatch.setattr(yaml.SafeLoader, "yaml_constructors", theirs)
    for module in (vars(origin), runpy.run_path(str(origin.__file__))):
        assert module["_commands_in"]("!include more.yml\n") == "!include, or no YAML,"


def test_of_two_updates_at_once_the_second_changes_nothing(
    mlops: Rooms, project: Path, updated: Callable[..., Any]
) -> None:
    def first(copy: Path) -> None:
        with pytest.raises(mlops("update.origin").UpdateError, match="Another update is under way"):
            mlops("update").update(project)
        to_version_2(copy)

    done, copier = updated(first)
    assert (done.changed, len(copier.calls)) == (True, 1)
