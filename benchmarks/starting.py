"""Starting: what a Kedro command costs that tracks nothing."""

from __future__ import annotations

from . import project
from .measure import Command, in_turns
from .project import Project
from .report import Table, ratio

MOST = 1.15


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare two Kedro commands in the rendered project with those in a bare one."""
    bare = rendered.bare("bare")
    empty = project.empty(rendered, "empty")
    help_, bare_help, empty_help, list_, bare_list = in_turns(
        repetitions,
        *(_kedro(place, "--help") for place in (rendered, bare, empty)),
        *(_kedro(place, "registry", "list") for place in (rendered, bare)),
    )
    return Table(
        "Starting Kedro",
        "Theirs is the same project in the same environment without what the template adds: no "
        "hook, no command, no `mlflow.yml`, an empty `settings.py`.",
        [
            ratio("`kedro --help`", help_, bare_help, MOST),
            ratio("`kedro --help`; theirs: a project without pipelines", help_, empty_help),
            ratio("`kedro registry list`", list_, bare_list, MOST),
        ],
    )


def _kedro(place: Project, *arguments: str) -> Command:
    return Command([place.programs / "kedro", *arguments], place.folder)
