"""`make release VERSION=x.y.z`: checks what the changelog says, keeps the template, commits, tags.

The archive under `tests/update/releases/` is all that copier reads of this version: every later
version is tested with it as a starting point. Needs only git and the standard library.
"""

from __future__ import annotations

import argparse
import io
import lzma
import re
import subprocess
import sys
import tarfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
ARCHIVES = ROOT / "tests" / "update" / "releases"
TEMPLATE_PARTS = ("copier.yml", "extensions", "includes", "template")
UNRELEASED = "## [Unreleased]"

# What a version may say that has nothing new, and where it says what its owner must do.
KINDS_OF_PATCH = {"Fixed", "Security"}
TO_DO = "To do"

Version: TypeAlias = tuple[int, int, int]


class ReleaseError(Exception):
    """Why this cannot be released, and what to do."""


def main() -> int:
    """Release; 0 if there is a commit and a tag now, 1 if nothing was changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="three numbers: 1.2.0")
    try:
        tag = release(parser.parse_args().version)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Committed and tagged {tag}. To publish it: git push --atomic origin HEAD {tag}")
    return 0


def release(text: str) -> str:
    """Check, keep, commit, tag; return the tag.

    Raises:
        ReleaseError: before anything is changed.
    """
    version = parse(text)
    released = sorted(parse(path.name.removesuffix(".tar.xz")) for path in ARCHIVES.glob("*.xz"))
    if released and version <= released[-1]:
        raise ReleaseError(f"Choose a version after {written(released[-1])}, the newest released.")
    if git("status", "--porcelain"):
        raise ReleaseError("Commit or stash your changes first: a release is what is committed.")
    tag = f"v{written(version)}"
    if git("tag", "--list", tag):
        raise ReleaseError(f"The tag {tag} is there already: choose another version.")
    changelog = CHANGELOG.read_text(encoding="utf-8")
    check_notes(notes(changelog), version, released[-1] if released else None)

    today = datetime.now(timezone.utc).date().isoformat()
    heading = f"{UNRELEASED}\n\n## [{written(version)}] - {today}"
    CHANGELOG.write_text(changelog.replace(UNRELEASED, heading, 1), encoding="utf-8")
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    archive = ARCHIVES / f"{written(version)}.tar.xz"
    archive.write_bytes(pack(git("ls-files", "-z", "--", *TEMPLATE_PARTS).split("\0")[:-1]))
    git("add", "--", str(CHANGELOG), str(archive))
    git("commit", "--quiet", "--message", f"Release {written(version)}")
    git("tag", "--annotate", "--message", f"Release {written(version)}", tag)
    return tag


def notes(changelog: str) -> dict[str, list[str]]:
    """The entries that stand under Unreleased, by their kind."""
    section = changelog.partition(f"\n{UNRELEASED}\n")[2].partition("\n## ")[0]
    found = {}
    for kind in re.split(r"^### ", section, flags=re.MULTILINE)[1:]:
        title, _, text = kind.partition("\n")
        found[title.strip()] = re.findall(r"^- (.+)", text, re.MULTILINE)
    return found


def check_notes(notes: dict[str, list[str]], version: Version, last: Version | None) -> None:
    """Whether the notes say what changed and what to do, and whether the number goes with them.

    Raises:
        ReleaseError: something is missing, or another number than this one goes up.
    """
    changes = {kind for kind, entries in notes.items() if entries} - {TO_DO}
    if not changes:
        raise ReleaseError(f"CHANGELOG.md says of no change: write it under {UNRELEASED}.")
    if not notes.get(TO_DO):
        raise ReleaseError(
            f'CHANGELOG.md does not say what an owner must do: write it under "### {TO_DO}", or '
            '"- Nothing." there.'
        )
    work = not notes[TO_DO][0].startswith("Nothing")
    if last is None:
        return
    major, minor, patch = last
    if work:
        due, why = (major + 1, 0, 0), "there is something to do by hand"
    elif changes - KINDS_OF_PATCH:
        due, why = (major, minor + 1, 0), "there is something new, and nothing to do"
    else:
        due, why = (major, minor, patch + 1), "it only fixes, and adds nothing"
    if version != due:
        raise ReleaseError(f"By CHANGELOG.md {why}: that makes it {written(due)}.")


def pack(paths: list[str]) -> bytes:
    """The files in a compressed archive: of the same files, the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(paths):
            content = (ROOT / path).read_bytes()
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o755 if (ROOT / path).stat().st_mode & 0o100 else 0o644
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def parse(text: str) -> Version:
    """A version's three numbers.

    Raises:
        ReleaseError: there are not three.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", text)
    if not found:
        raise ReleaseError("Name the version by three numbers: make release VERSION=1.2.0")
    return int(found[1]), int(found[2]), int(found[3])


def written(version: Version) -> str:
    """A version as text."""
    return ".".join(map(str, version))


def git(*arguments: str) -> str:
    """Run git in this repository; what it prints.

    Raises:
        ReleaseError: git fails.
    """
    result = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ReleaseError(f"git {arguments[0]} failed: {result.stderr.strip()}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
