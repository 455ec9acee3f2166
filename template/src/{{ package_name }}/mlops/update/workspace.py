"""A plain copy of what a project has committed: copier merges there, whatever git it is under.

Line ends, attributes, filters, hooks, sparse checkouts, modes, ignored files: none of them is in
the copy. The project changes at the end, at once, as if another commit was checked out.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..disk import write_atomically
from .origin import SOMEBODY, UpdateError, git, paths_of

# Files have the bytes that git keeps.
_RAW = "* -text -filter -ident -working-tree-encoding\n"

# Bytes that are no UTF-8, and the characters of no language that stand for them.
_ESCAPED = {0xDC00 + byte: 0xF700 + byte for byte in range(0x80, 0x100)}
_BYTES = {new: old for old, new in _ESCAPED.items()}

# A link, through which copier would write, and a name that is not in UTF-8, which it cannot read.
_NOT_COPIERS = re.compile("^120000 |[\udc80-\udcff]")


@contextmanager
def workspace(project: Path) -> Iterator[Path]:
    """Copy what is committed; what the block makes of it is the project's, unless it raises."""
    _require_seen(project)
    with TemporaryDirectory() as folder:
        copy = Path(folder, project.name)
        _fill(copy, project)
        aside = _set_aside(copy)
        changed = _make_plain(copy)
        git(copy, *SOMEBODY, "commit", "--quiet", "--all", "--allow-empty", "--message", "before")
        yield copy
        conflicts = paths_of(copy, "ls-files", "--unmerged", "-z")
        _make_as_it_was(copy, changed)
        _take_over(project, copy, aside)
        _mark(project, conflicts)


def _require_seen(project: Path) -> None:
    """Refuse a project with changes that git is told not to see: it would overwrite them."""
    listed = paths_of(project, "ls-files", "-v", "-z")
    told = {path[2:] for path in listed if path[0] == "S" or path[0].islower()}
    for path in sorted(path for path in told if (project / path).is_file()):
        if git(project, "hash-object", "--", path) != git(project, "rev-parse", f":./{path}"):
            raise UpdateError(
                f"{path} has changes that git is told not to see (git update-index "
                "--no-skip-worktree --no-assume-unchanged shows them): commit or stash them first."
            )


def _fill(copy: Path, project: Path) -> None:
    git(project, "init", "--quiet", "--template=", str(copy))
    (copy / ".git/info").mkdir()
    (copy / ".git/info/attributes").write_text(_RAW, encoding="utf-8")
    if git(project, "config", "--default", "", "--get", "extensions.partialClone").strip():
        # What was left at the server comes, all of it at once.
        git(project, "diff", "--numstat", git(project, "mktree", given="").strip(), "HEAD", ".")
    objects = project / git(project, "rev-parse", "--git-path", "objects").strip()
    (copy / ".git/objects/info/alternates").write_text(f"{objects.resolve().as_posix()}\n", "utf-8")
    git(copy, "read-tree", "--reset", "-u", git(project, "rev-parse", "HEAD:./").strip())


def _set_aside(copy: Path) -> str:
    """Remove what is not for copier, as if its owner had deleted it; return it as git lists it."""
    listed = paths_of(copy, "ls-files", "--stage", "-z")
    aside = list(filter(_NOT_COPIERS.search, listed))
    for line in aside:
        (copy / line.partition("\t")[2]).unlink(missing_ok=True)
    return "".join(f"{line}\0" for line in aside)


def _make_plain(copy: Path) -> dict[str, bool]:
    """Give each text the template's line ends, and UTF-8, of which copier drops what is none.

    Return the files that had others, and whether all of their lines ended as on Windows.
    """
    changed = {}
    for path in paths_of(copy, "ls-files", "-z"):
        file = copy / path
        content = file.read_bytes() if file.is_file() else b""
        text = content.decode("utf-8", "surrogateescape").translate(_ESCAPED)
        windows = 0 < text.count("\n") == text.count("\r\n")
        plain = (text.replace("\r\n", "\n") if windows else text).encode()
        if plain != content and b"\0" not in content:
            file.write_bytes(plain)
            changed[path] = windows
    return changed


def _make_as_it_was(copy: Path, changed: dict[str, bool]) -> None:
    for path, windows in changed.items():
        if (file := copy / path).is_file():
            text = file.read_bytes().decode("utf-8").translate(_BYTES)
            text = text.replace("\n", "\r\n") if windows else text
            file.write_bytes(text.encode("utf-8", "surrogateescape"))


def _take_over(project: Path, copy: Path, aside: str) -> None:
    """Let the project's files be those of its copy; git ends lines there as its owner likes."""
    for path in paths_of(copy, "ls-files", "--others", "-z"):
        if os.path.lexists(project / path):  # git ignores it: it is its owner's.
            (copy / path).unlink()
    git(copy, "add", "--all", "--force", ".")
    git(copy, "update-index", "-z", "--index-info", given=aside)
    tree = git(copy, "write-tree").strip()
    objects = project / git(project, "rev-parse", "--git-path", "objects").strip()
    for file in (copy / ".git/objects").glob("??/*"):
        target = objects / file.parent.name / file.name
        if not target.exists():
            write_atomically(target, file.read_bytes())
    prefix = Path(git(project, "rev-parse", "--show-prefix").rstrip("\n"))
    for folder in [prefix, *prefix.parents][:-1]:
        old = git(project, "rev-parse", f"HEAD:{folder.as_posix()}").strip()
        parent = folder.parent.as_posix()
        listed = git(project, "ls-tree", "-z", "--full-tree", f"HEAD:{parent.removeprefix('.')}")
        new = listed.replace(f" {old}\t{folder.name}\0", f" {tree}\t{folder.name}\0")
        tree = git(project, "mktree", "-z", "--missing", given=new).strip()
    git(project, "update-index", "-q", "--refresh")
    # All of it, whatever a sparse checkout leaves out.
    git(project, "-c", "core.sparseCheckout=false", "read-tree", "-m", "-u", "HEAD", tree)
    # `git add` refuses what is outside of a sparse checkout: there all of it is in the index.
    if git(project, "config", "--default", "", "--get", "core.sparseCheckout").strip() != "true":
        git(project, "reset", "--quiet", "--", ".")


def _mark(project: Path, unmerged: list[str]) -> None:
    """Let git know of conflicts: it shows them as such, and `checkout --ours` settles one."""
    prefix = git(project, "rev-parse", "--show-prefix").rstrip("\n")
    gone = stages = ""
    for line in unmerged:
        entry, _, path = line.partition("\t")
        mode, blob, stage = entry.split()
        if stage == "2":  # With its own line ends.
            blob = git(project, "rev-parse", f"HEAD:./{path}").strip()
        gone += f"0 {'0' * len(blob)}\t{prefix}{path}\0"
        stages += f"{mode} {blob} {stage}\t{prefix}{path}\0"
    git(project, "update-index", "-z", "--index-info", given=gone + stages)
