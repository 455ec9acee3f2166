"""What an update did, told on the screen and in a merge request."""

from .update import UNDO, Update


def on_screen(update: Update) -> str:
    """What changed, what its owner has to look at, and what to type next."""
    if not update.changed:
        return f"Nothing changes: the project is as {update.new} of its template renders it."
    lines = [_title(update)]
    if update.conflicts:
        lines += ["", "An edit of yours met one of ours, between <<<<<<< and >>>>>>> in:"]
        lines += [f"    {path}" for path in update.conflicts]
    if update.kept:
        lines += ["", "The template does without these now; they stay, because you edited them:"]
        lines += [f"    {path}" for path in update.kept]
    settle = "git diff                  # settle what is between the markers" * bool(
        update.conflicts
    )
    steps = [
        settle or "git diff                  # what has changed",
        "uv sync                   # install what has changed",
        "uv run pytest",
        'git add . && git commit -m "Update from the template"',
    ]
    lines += ["", "Next:", *[f"    {step}" for step in steps]]
    lines += ["", f"Or take it back: {UNDO}"]
    return "\n".join(lines)


def as_request(update: Update, changelog: str) -> str:
    """The text of a merge request, in Markdown: its title, an empty line, and the rest."""
    paragraphs = [_title(update)]
    if update.conflicts:
        paragraphs.append(
            "**An edit of yours met one of the template's** in the files below. Each holds both, "
            "between `<<<<<<<` and `>>>>>>>`: settle them on this branch before you merge.\n\n"
            + _listed(update.conflicts)
        )
    if update.kept:
        paragraphs.append(
            "The template does without these files now. They stay, because they were edited here; "
            "delete them if you need them no more.\n\n" + _listed(update.kept)
        )
    if changelog:
        paragraphs.append(changelog)
    paragraphs.append(
        "Your own files (pipelines, catalog, parameters, data) are as they were. After merging: "
        "`uv sync`."
    )
    return "\n\n".join(paragraphs) + "\n"


def _title(update: Update) -> str:
    if update.old == update.new:
        return f"Render {update.new} of the template with other answers"
    return f"Update from {update.old} to {update.new} of the template"


def _listed(paths: list[str]) -> str:
    return "\n".join(f"- `{path}`" for path in paths)
