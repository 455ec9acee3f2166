"""A run's sources and inputs, in a folder of their own: git and files as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.answers import git
from tests.support.rooms import Rooms

COMMITTED = {"nodes.py": "x = 1\n", "uv.lock": "version = 1\n", "data/in_git.csv": "a\n1\n"}
IGNORED = {"data/here.csv": "a\n2\n", "data/many/1.csv": "a\n", ".env": "KEY=1\n"}
LOCAL = {"conf/local/credentials.yml": "key: 1\n"}


@pytest.fixture(params=["", "team/project"], ids=["alone", "in a repository of several"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project under git, with data and settings that git does not have."""
    repository = tmp_path / "repository"
    folder: Path = repository / request.param
    write(folder, COMMITTED)
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Start")
    # It would run here, and the run may be somebody else's.
    hook = repository / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/hooked'\n", "utf-8")
    hook.chmod(0o755)
    write(folder, IGNORED | LOCAL)
    return folder


def write(folder: Path, contents: Mapping[str, str]) -> None:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, "utf-8")


@pytest.fixture
def checked_out(mlops: Rooms, project: Path, tmp_path: Path) -> Callable[[], Any]:
    """Check out the first commit."""
    module, commit = mlops("reproduction.checkout"), git(project, "rev-parse", "HEAD").strip()

    @contextmanager
    def checked() -> Iterator[Any]:
        with module.CheckOut(project, tmp_path / "sources", commit) as made:
            yield made
        assert git(project, "worktree", "list").count("\n") == 1
        assert not (tmp_path / "sources").exists()
        assert not (tmp_path / "hooked").exists()

    return checked


def test_it_has_the_commit_and_what_is_the_users(
    project: Path, checked_out: Callable[[], Any]
) -> None:
    (project / "nodes.py").write_text("x = 2\n", "utf-8")
    with checked_out() as checkout:
        for path, content in (COMMITTED | LOCAL | {".env": IGNORED[".env"]}).items():
            assert (checkout.project / path).read_text("utf-8") == content
        assert not (checkout.project / "data/here.csv").exists()


def test_a_commit_that_is_not_here_is_named(mlops: Rooms, project: Path, tmp_path: Path) -> None:
    module, error = mlops("reproduction.checkout"), mlops("errors").TrackingError
    for commit in ("0" * 40, git(project, "rev-parse", "HEAD^{tree}").strip()):
        missing = pytest.raises(error, match=f"git does not have the commit {commit} here: fetch")
        with missing, module.CheckOut(project, tmp_path / "sources", commit):
            pass


def test_the_libraries_must_be_those_of_the_run(
    mlops: Rooms, checked_out: Callable[[], Any]
) -> None:
    sources = mlops("tracking.capture.sources")
    with checked_out() as checkout:
        checkout.require_lock({sources.LOCK: sources.lock_digest(checkout.project)})
        for tags in ({}, {sources.LOCK: "0" * 32}):
            with pytest.raises(mlops("errors").TrackingError, match=r"libraries .* are not known"):
                checkout.require_lock(tags)


def reads(mlops: Rooms, **digests: tuple[Path, str | None]) -> Any:
    """A stand-in of MLflow's run that has read these files."""
    digest_of = mlops("tracking.capture.inputs").digest_of
    inputs = [
        SimpleNamespace(
            dataset=SimpleNamespace(
                name=name,
                source_type="local",
                source=json.dumps({"uri": path.as_uri()}),
                digest=digest or digest_of(path),
            )
        )
        for name, (path, digest) in digests.items()
    ]
    return SimpleNamespace(inputs=SimpleNamespace(dataset_inputs=inputs))


@pytest.mark.parametrize("path", ["data/in_git.csv", "data/here.csv", "data/many"])
def test_an_input_is_a_copy_where_the_run_reads_it(
    mlops: Rooms, project: Path, checked_out: Callable[[], Any], path: str
) -> None:
    with checked_out() as checkout:
        checkout.place_inputs(reads(mlops, rows=(project / path, None)))
        placed, own = checkout.project / path, project / path
        files = [each for each in (own, *own.rglob("*")) if each.is_file()]
        assert files
        for file in files:
            copy = placed / file.relative_to(own)
            assert copy.read_bytes() == file.read_bytes()
            assert not copy.samefile(file)


def test_what_git_has_stays_if_it_is_what_the_run_has_read(
    mlops: Rooms, project: Path, checked_out: Callable[[], Any]
) -> None:
    run = reads(mlops, rows=(project / "data/in_git.csv", None))
    (project / "data/in_git.csv").write_text("a\n3\n", "utf-8")
    with checked_out() as checkout:
        checkout.place_inputs(run)
        assert (checkout.project / "data/in_git.csv").read_text("utf-8") == "a\n1\n"
        # And what the run has read before it was committed, otherwise, takes its place.
        checkout.place_inputs(reads(mlops, rows=(project / "data/in_git.csv", None)))
        assert (checkout.project / "data/in_git.csv").read_text("utf-8") == "a\n3\n"


def test_all_that_has_changed_or_is_gone_is_named_at_once(
    mlops: Rooms, project: Path, tmp_path: Path, checked_out: Callable[[], Any]
) -> None:
    write(tmp_path, {"outside.csv": "a\n", "same.csv": "b\n"})
    run = reads(
        mlops,
        a=(project / "data/here.csv", "0" * 32),
        b=(project / "data/never.csv", "0" * 32),
        c=(tmp_path / "outside.csv", "0" * 32),
        d=(tmp_path / "never.csv", "0" * 32),
        e=(tmp_path / "same.csv", None),
        f=(project / "data/in_git.csv", None),
    )
    # What is elsewhere is read there.
    far = SimpleNamespace(name="g", source_type="s3", source='{"uri": "s3://b/x"}', digest="0" * 32)
    run.inputs.dataset_inputs.append(SimpleNamespace(dataset=far))
    with checked_out() as checkout:
        with pytest.raises(mlops("errors").TrackingError) as refused:
            checkout.place_inputs(run)
        (found,) = [
            line.removeprefix("The run has read other data than there are now: ")
            for line in str(refused.value.message).split(". Bring them")[:1]
        ]
        assert found.split(", ") == [
            "'a' (data/here.csv has changed)",
            "'b' (data/never.csv is gone)",
            f"'c' ({tmp_path}/outside.csv has changed)",
            f"'d' ({tmp_path}/never.csv is gone)",
        ]


def test_a_run_of_another_machine_finds_its_inputs_in_this_project(
    mlops: Rooms, project: Path, checked_out: Callable[[], Any]
) -> None:
    digest = mlops("tracking.capture.inputs").digest_of(project / "data/here.csv")
    there = Path("/no/such/machine/project/data/here.csv")
    with checked_out() as checkout:
        checkout.place_inputs(reads(mlops, rows=(there, digest)))
        assert (checkout.project / "data/here.csv").read_text("utf-8") == "a\n2\n"


def test_a_file_outside_is_not_looked_for_in_this_project(
    mlops: Rooms, project: Path, tmp_path: Path, checked_out: Callable[[], Any]
) -> None:
    write(tmp_path, {"elsewhere/data/here.csv": "other\n"})
    with checked_out() as checkout:
        checkout.place_inputs(reads(mlops, rows=(tmp_path / "elsewhere/data/here.csv", None)))
        assert not (checkout.project / "data/here.csv").exists()


def test_a_folder_of_more_files_than_are_looked_at_is_taken_as_it_is(
    mlops: Rooms,
    project: Path,
    checked_out: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mlops("tracking.capture.inputs"), "_MAX_FILES", 0)
    with checked_out() as checkout:
        checkout.place_inputs(reads(mlops, rows=(project / "data/many", "0" * 32)))
        assert (checkout.project / "data/many/1.csv").exists()


@pytest.mark.parametrize(("found", "installed"), [("/usr/bin/python", "3.11.99"), ("", "3.11")])
def test_the_libraries_are_the_locked_ones_and_python_may_be_another_patch(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, installed: str
) -> None:
    module, started = mlops("reproduction.checkout"), list[list[str]]()

    def called(command: list[str], *_: Any, **__: Any) -> str:
        started.append(command)
        return found

    monkeypatch.setattr(module, "called", called)
    module.CheckOut(tmp_path, tmp_path, "").install("3.11.99")
    assert started == [
        ["uv", "python", "find", "3.11.99"],
        ["uv", "sync", "--locked", "--python", installed],
    ]


def test_what_is_run_there_gets_none_of_this_environment(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be tracked elsewhere, or run with other libraries."""
    reproduction, started = mlops("reproduction"), list[tuple[Any, ...]]()
    monkeypatch.setattr(reproduction, "called", lambda *given: started.append(given))
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_TOKEN", "KEDRO_ENV"):
        monkeypatch.setenv(name, "of here")
    monkeypatch.setenv("OWN_SETTING", "of the user")
    reproduction._run("kedro run --params 'a=b c'", tmp_path / "project", tmp_path / "tracked")
    ((command, folder, env),) = started
    assert command == ["uv", "run", "--no-sync", "kedro", "run", "--params", "a=b c"]
    assert folder == tmp_path / "project"
    uri = f"sqlite:///{tmp_path}/tracked/mlflow.db"
    assert {key: each for key, each in env.items() if key.startswith(("MLFLOW_", "KEDRO_"))} == {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_REGISTRY_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "KEDRO_DISABLE_TELEMETRY": "true",
        mlops("config").SCRATCH: str(tmp_path / "tracked"),
    }
    assert env["OWN_SETTING"] == "of the user"


def test_a_program_that_fails_is_shown_by_its_last_lines(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, error = mlops("reproduction.checkout"), mlops("errors").TrackingError
    for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "PYTHONPATH", "PYTHONHOME"):
        monkeypatch.setenv(name, "of here")
    shown = checkout.called(["sh", "-c", "env"], tmp_path)
    assert "of here" not in shown
    with pytest.raises(error, match=r"failed with 3:\nline 11\n(.*\n)*line 30$"):
        checkout.called(["sh", "-c", "for n in $(seq 30); do echo line $n; done; exit 3"], tmp_path)
    assert checkout.called(["sh", "-c", "echo x; exit 3"], tmp_path, check=False) == ""
    with pytest.raises(error, match="no-such-program is not on the PATH"):
        checkout.called(["no-such-program"], tmp_path)
