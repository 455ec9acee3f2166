"""Where the project's template is, which version of it the project has, and which there are."""

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from .git import UpdateError, git

ANSWERS = ".copier-answers.yml"


# As copier writes the addresses of the two services in short.
_SERVICES = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}


_SECONDS = 20


@dataclass(frozen=True)
class Origin:
    """A template, and the version of it that a project was last rendered from."""

    address: str
    version: str

    @property
    def git_address(self) -> str:
        """The address as git takes it."""
        for short, full in _SERVICES.items():
            if self.address.startswith(short):
                repository = self.address.removeprefix(short).strip("/").removesuffix(".git")
                return f"{full}{repository}.git"
        return self.address.removeprefix("git+")


def origin(project: Path) -> Origin:
    """What the answers file says of the template.

    Raises:
        UpdateError: the project was not made from a template with versions.
    """
    content = (
        yaml.safe_load((project / ANSWERS).read_bytes()) if (project / ANSWERS).is_file() else {}
    )
    address, version = content.get("_src_path"), content.get("_commit")
    if not address or not version:
        raise UpdateError(
            f"{ANSWERS} names no template and version (_src_path, _commit): this project cannot "
            "be updated."
        )
    return Origin(str(address), str(version))


def newest_version(template: Origin, seconds: float = _SECONDS) -> str | None:
    """The tag of the template's newest version; none if there is none newer than the project's.

    Raises:
        UpdateError: the template cannot be reached.
    """
    listed = git(
        Path(), "ls-remote", "--tags", "--refs", "--", template.git_address, seconds=seconds
    )
    tags = [line.partition("refs/tags/")[2] for line in listed.splitlines()]
    released = [tag for tag in tags if re.fullmatch(r"v?\d+(\.\d+)*", tag)]
    newest = max(released, key=numbers, default="")
    return newest if numbers(newest) > numbers(template.version) else None


def pending(project: Path, seconds: float = 5) -> str | None:
    """The newest version, if the project is of an older one and that can be found out."""
    try:
        return newest_version(origin(project), seconds)
    except UpdateError:
        return None


def changelog(template: Origin, upto: str) -> str:
    """What the template's CHANGELOG.md says of the versions after the project's, newest first.

    Empty where it says nothing.

    Raises:
        UpdateError: the template cannot be reached.
    """
    with TemporaryDirectory() as folder:
        clone = ["clone", "--quiet", "--depth", "1", "--no-checkout", "--branch", upto]
        git(Path(folder), *clone, "--", template.git_address, "template")
        try:
            text = git(Path(folder, "template"), "show", "HEAD:CHANGELOG.md")
        except UpdateError:
            return ""
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    new = [
        section.strip()
        for section in sections
        if numbers(template.version) < numbers(section.partition("\n")[0]) <= numbers(upto)
    ]
    return "\n\n".join(new)


def numbers(text: str) -> tuple[int, ...]:
    """The first version in a text, as numbers to compare: v1.2.0 gives (1, 2, 0)."""
    found = re.search(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()
