"""The template that the project is from: its address, its versions, and git, which knows them."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from click import ClickException
from kedro.utils import find_kedro_project
from packaging.version import InvalidVersion, Version

ANSWERS = ".copier-answers.yml"

# Under which git's configuration of a clone has the address that its owner trusts.
_TRUSTED = "kedro-mlflow.template"

# As copier shortens the addresses of the two services.
_SERVICES = {"gh": "https://github.com", "gl": "https://gitlab.com"}

# What a hook, an alias or a shell exports: git would be in another repository, or write otherwise.
_ELSEWHERE = re.compile(r"GIT_(\w*DIR(ECTOR\w+)?|WORK_TREE|INDEX_FILE|NAMESPACE|PREFIX|DIFF_OPTS)")

# git's words are read in English, copier keeps each byte, and repositories have no hooks.
_SAME = {"LANGUAGE": "en", "PYTHONUTF8": "1", "GIT_TEMPLATE_DIR": ""}

# How git writes what an update reads, whatever its user likes: copier finds conflicts in it.
_SETTINGS = f"""
    status.showUntrackedFiles=all status.relativePaths=true status.short=false status.branch=false
    color.ui=false color.status=false color.diff=false diff.noprefix=false maintenance.auto=false
    diff.mnemonicPrefix=false diff.relative=false diff.orderFile={os.devnull}
    apply.whitespace=nowarn apply.ignoreWhitespace=no merge.conflictStyle=merge
    core.quotePath=true core.safecrlf=false core.fsmonitor=false core.ignoreStat=false
    core.hooksPath={os.devnull} commit.gpgSign=false log.showRoot=true log.follow=false
"""

# Beside these, where copier merges: neither does what its user keeps for every repository count.
PLAIN = f"""{_SETTINGS}
    core.autocrlf=false core.excludesFile={os.devnull} core.attributesFile={os.devnull}
"""

# The author of commits that only the update itself makes.
SOMEBODY = ("-c", "user.name=kedro mlflow update", "-c", "user.email=update@localhost")


class UpdateError(ClickException):
    """An update that is not possible; the message says why, and what to do.

    Attributes:
        output: all that another program has said of it.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True)
class Origin:
    """A template, and the version of it that a project was last rendered from."""

    address: str
    version: str

    @property
    def git_address(self) -> str:
        """The address as git takes it; a folder's in full, as git may be in another one."""
        service, _, repository = self.address.partition(":")
        if service in _SERVICES:
            return f"{_SERVICES[service]}/{repository.strip('/').removesuffix('.git')}.git"
        address = self.address.removeprefix("git+")
        folder = Path(address).expanduser()
        return folder.resolve().as_posix() if folder.exists() else address


def origin(project: Path) -> Origin:
    """Read the template and its version from the answers file."""
    file = project / ANSWERS
    try:
        content = yaml.safe_load(file.read_bytes()) if file.is_file() else None
    except yaml.YAMLError as error:
        raise UpdateError(f"{ANSWERS} is no YAML: correct it.", str(error)) from error
    content = content if isinstance(content, dict) else {}
    address, version = content.get("_src_path"), content.get("_commit")
    if not address or not version:
        raise UpdateError(
            f"{ANSWERS} names no template and version (_src_path, _commit): this project cannot "
            "be updated."
        )
    return Origin(str(address), str(version))


def newest_version(template: Origin, seconds: float = 20) -> str | None:
    """Return the tag of the template's newest release; none if the project has it."""
    address = template.git_address
    try:
        listed = git(Path(), "ls-remote", "--tags", "--refs", "--", address, seconds=seconds)
    except UpdateError as error:
        raise UpdateError(
            f"The template at {template.address} cannot be asked for its versions: "
            f"{error.message.rstrip('.')}. If it has moved: "
            "`uv run kedro mlflow update --from ADDRESS`.",
            error.output,
        ) from error
    tags = [line.partition("refs/tags/")[2] for line in listed.splitlines()]
    theirs = _newest_in(template, _cloned(template, seconds))
    releases = {tag: each for tag in tags if (each := _version(tag)) and not each.is_prerelease}
    newer = [tag for tag, release in releases.items() if theirs is None or theirs < release]
    return max(newer, key=Version, default=None)


def _newest_in(template: Origin, known: AbstractContextManager[Path]) -> Version | None:
    """Return the newest version that is in what a project was rendered from; none before the first.

    Of what is none itself, the template's clone says it: a tag may have come later, or elsewhere.
    """
    commit = re.compile(r"(^|-\d+-g)[0-9a-f]{7,64}$")  # As `git describe` writes it.
    if not commit.search(template.version) and (version := _version(template.version)):
        return version
    with suppress(UpdateError), known as clone:
        tags = git(clone, "tag", f"--merged={template.version}").split()
        return max(filter(None, map(_version, tags)), default=None)
    return _version(commit.sub("", template.version))


def require_no_changes(project: Path) -> None:
    """Refuse a project with changes that are not committed."""
    if git(project, "status", "--porcelain", "--", "."):
        raise UpdateError("Commit or stash your changes first: an update merges with them.")


def move(project: Path, address: str) -> Origin:
    """Let a project's template be somewhere else from now on, which is committed.

    An UpdateError says that there is no such template, or that the project has changes.
    """
    if Path(address).expanduser().exists():
        address = Origin(address, "").git_address
    after = Origin(address, origin(project).version)
    require_no_changes(project)
    with _cloned(after) as clone:
        _require_version(clone, after, after.version)
    file = project / ANSWERS
    text = file.read_bytes().decode("utf-8")
    line = yaml.safe_dump({"_src_path": address}, width=1000).strip()
    file.write_bytes(re.sub(r"(?m)^_src_path:[^\r\n]*", lambda _: line, text).encode())
    known = git(project, "config", "--default", "", "--get", "user.email").strip()
    commit = ["commit", "--quiet", "--message", f"Take the template from {address}", "--", ANSWERS]
    git(project, *(() if known else SOMEBODY), *commit)
    trust(project, after)
    return after


def pending(project: Path) -> str | None:
    """Return the newest version, if the project has an older one and that can be found out."""
    with suppress(UpdateError):
        return newest_version(origin(project), seconds=5)
    return None


def former_address(project: Path, template: Origin) -> str | None:
    """Return another address that the project's template has had, if a commit has changed it.

    None once its owner has said that the new one is right, which this clone's git keeps.
    """
    address = template.git_address
    if address in git(project, "config", "--default", "", "--get", _TRUSTED).splitlines():
        return None
    # Whatever attributes a commit gives it, and from whichever branch it comes.
    whole = ("--full-history", "-p", "-U0", "--text", "--no-textconv")
    history = git(project, "log", "--reverse", "--format=", *whole, "--", ANSWERS)
    named = re.findall(r"(?m)^\+_src_path: *['\"]?([^'\"\n]+)", history)
    return next((each for each in named if Origin(each, "").git_address != address), None)


def trust(project: Path, template: Origin) -> None:
    """Keep in this clone's configuration of git that the template's address is right."""
    git(project, "config", _TRUSTED, template.git_address)


def refuse_commands(template: Origin, *versions: str) -> None:
    """Refuse a template that would have copier run commands; an UpdateError says which.

    `--trust` is for its extensions, and would let its tasks and migrations run as well.
    """
    with _cloned(template) as clone:
        for version in versions:
            _require_version(clone, template, version)
            for name in git(clone, "ls-tree", "--name-only", version).splitlines():
                is_read = re.match(r"(?i)copier\.(.*\.)?ya?ml", name)  # As copier finds it.
                if is_read and (found := _commands_in(git(clone, "show", f"{version}:{name}"))):
                    raise UpdateError(
                        f"{version} of {template.address} has {found} in its {name}, which can run "
                        "commands on this machine: it is not rendered."
                    )


def _require_version(clone: Path, template: Origin, version: str) -> None:
    try:
        git(clone, "cat-file", "-e", f"{version}^{{commit}}")
    except UpdateError as error:
        raise UpdateError(
            f"{template.address} has no version {version}, which this project is from: correct "
            f"_commit in {ANSWERS}, or is it another template?",
            error.output,
        ) from error


class _Plain(yaml.SafeLoader):
    """Takes the tags of YAML alone: libraries may have added `!include` to the loader of all."""

    yaml_constructors = {  # noqa: RUF012 - As PyYAML has it.
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.startswith("tag:yaml.org,2002:")
    }


def _commands_in(settings: str) -> str:
    """Name what makes copier run commands, or may: this reads no other file."""
    try:
        documents = [each for each in yaml.load_all(settings, _Plain) if each is not None]
    except yaml.YAMLError:  # `!include` is copier's own.
        return "!include, or no YAML,"
    if not all(isinstance(document, dict) for document in documents):
        return "more than keys and values"
    return ", ".join(
        key for key in ("_tasks", "_migrations") if any(each.get(key) for each in documents)
    )


def changelog(template: Origin, upto: str) -> str:
    """Return what the template's CHANGELOG.md says of the versions after the project's."""
    with _cloned(template) as clone:
        try:
            text = git(clone, "show", f"{upto}:CHANGELOG.md")
        except UpdateError:
            return ""
        theirs, newest = _newest_in(template, nullcontext(clone)), Version(upto)
    new = []
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        version = _version("".join(re.findall(r"^## \[?(v?\d[\w.+!-]*)", section)))
        if version and (theirs is None or theirs < version) and version <= newest:
            new.append(section.strip())
    return "\n\n".join(new)


@contextmanager
def _cloned(template: Origin, seconds: float = 300) -> Iterator[Path]:
    """Clone the template's history, without files: git fetches those that are asked for."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        clone = ["clone", "--quiet", "--no-checkout", "--filter=blob:none"]
        git(Path(folder), *clone, "--", template.git_address, "template", seconds=seconds)
        yield Path(folder, "template")


def _version(tag: str) -> Version | None:
    """Read a tag as copier does; none if it is no version."""
    with suppress(InvalidVersion):
        return Version(tag)
    return None


def paths_of(folder: Path, *command: str) -> list[str]:
    """Return what git lists in a folder with a zero behind each."""
    return [path for path in git(folder, *command).split("\0") if path]


def git(
    folder: Path, *arguments: str, seconds: float | None = None, given: str | None = None
) -> str:
    """Run git in a folder and return what it prints; an UpdateError says why it fails."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment(),
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # What is not in UTF-8 comes back as it was.
            timeout=seconds,
            check=True,
        ).stdout
    except FileNotFoundError as error:
        raise UpdateError("git is not on the PATH: an update merges with it.") from error
    except subprocess.TimeoutExpired as error:
        raise UpdateError(f"git {arguments[0]} got no answer within {seconds} s.") from error
    except subprocess.CalledProcessError as error:
        output = str(error.stderr).strip() or f"exit code {error.returncode}"
        raise UpdateError(f"git {arguments[0]} failed: {meaning_of(output)}", output) from error


def environment(settings: str = _SETTINGS) -> Mapping[str, str]:
    """Return the environment of every git of an update, also of copier's: it asks nothing."""
    return _environment(settings, Path.cwd(), **os.environ)


@cache
def _environment(settings: str, here: Path, /, **exported: str) -> dict[str, str]:
    own = {key: value for key, value in exported.items() if not _ELSEWHERE.fullmatch(key)}
    # Of the project: its copies, and the template's clones, do not know it.
    ask = partial(subprocess.run, cwd=find_kedro_project(here), env=own, text=True, check=False)
    commands = ("config", "--get", "core.sshCommand"), ("rev-parse", "--show-object-format")
    ssh, kind = (ask(("git", *each), capture_output=True).stdout.strip() for each in commands)
    # No password, and no passphrase of a key, unless its user calls ssh in a way of their own.
    if ssh or "GIT_SSH" not in own:
        own.setdefault("GIT_SSH_COMMAND", ssh or "ssh -o BatchMode=yes")
    # As `git -c` hands them on: every git reads them, and the last ones count.
    given = [own.get("GIT_CONFIG_PARAMETERS", ""), *(f"'{each}'" for each in settings.split())]
    alike = {"GIT_DEFAULT_HASH": kind or "sha1", "GIT_CONFIG_PARAMETERS": " ".join(given).strip()}
    return {"GIT_TERMINAL_PROMPT": "0"} | own | _SAME | alike


def meaning_of(output: str) -> str:
    """Return the line of a program's output that says what was wrong: git's first, or the last."""
    said = re.search(r"(?m)^[\s|]*((?:fatal|error): .+)$", output)
    return said[1].strip() if said else output.strip().splitlines()[-1]
