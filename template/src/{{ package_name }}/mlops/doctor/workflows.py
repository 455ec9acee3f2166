"""Check whether GitHub runs the workflows of a project that is a subfolder of its repository."""

from pathlib import Path

from .setup import Finding, ok, warning

_FOLDER = Path(".github", "workflows")
_OURS = ("ci.yml", "template-update.yml")


def workflows(project_path: Path) -> Finding | None:
    """Compare the copies in the repository's root with the project's; None if none are needed."""
    ours = [path for name in _OURS if (path := project_path / _FOLDER / name).is_file()]
    parents = [project_path, *project_path.parents]
    root = next((folder for folder in parents if (folder / ".git").exists()), project_path)
    if not ours or root == project_path:
        return None
    folder = project_path.relative_to(root).as_posix()
    line = f"    working-directory: {folder}"
    missing = [
        path.name
        for path in ours
        if not _is_copy(root / _FOLDER / f"{project_path.name}-{path.name}", path, line)
    ]
    if not missing:
        return ok(f"the workflows in the repository's root check {folder}")
    return warning(
        f"GitHub reads the workflows in the repository's root alone, which lack those of {folder} "
        f"or have older ones: {', '.join(missing)}",
        f"Copy them there, with `{project_path.name}-` before their names and the line "
        f"`{line.strip()}` below `shell: bash`; again after each update.",
    )


def _is_copy(copy: Path, original: Path, added: str) -> bool:
    if not copy.is_file():
        return False
    lines = copy.read_text(encoding="utf-8").splitlines()
    rest = [line for line in lines if line != added]
    return len(rest) < len(lines) and rest == original.read_text(encoding="utf-8").splitlines()
