"""Tasks: what begin, joining and the end of a run add to `kedro run` of single nodes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from . import workload
from .measure import Command, in_turns
from .project import Project
from .report import Row, time_of
from .servers import Server
from .workload import Nodes

_TASKS = 10
_MOST_SECONDS, _MOST_CALLS = 0.6, 6
_BARE = 'for n in $(seq 0 {last}); do "{kedro}" run --nodes node_$n || exit 1; done'
_OURS = """\
export MLFLOW_RUN_ID=$("{kedro}" mlflow run begin)
{bare}
"{kedro}" mlflow run end
"""
# Begin and end import it as well; what imports nothing starts as often.
_IMPORTS = 'for n in $(seq {count}); do "{python}" -c "{code}"; done'


def rows(repetitions: int, rendered: Project, server: Server) -> Sequence[Row]:
    """Compare a run of ten tasks with the same commands without tracking."""
    nodes = Nodes(_TASKS)
    ours = workload.tracked(rendered, "tasks-ours", nodes, server.uri)
    theirs = workload.bare(rendered, "tasks-theirs", nodes)
    loop = {
        place: _BARE.format(kedro=place.programs / "kedro", last=_TASKS - 1)
        for place in (ours, theirs)
    }
    tracked = _OURS.format(kedro=ours.programs / "kedro", bare=loop[ours])
    python = {"count": _TASKS + 2, "python": ours.programs / "python"}
    scripts = [
        (ours, tracked),
        (theirs, loop[theirs]),
        (ours, _IMPORTS.format(**python, code="import mlflow")),
        (ours, _IMPORTS.format(**python, code="pass")),
    ]
    calls = []

    def count() -> None:
        calls.append(server.calls())

    commands = [
        Command(["bash", "-c", script], place.folder, before=count) for place, script in scripts
    ]
    whole, bare, imports, nothing = in_turns(repetitions, *commands, warm_up=False)
    added = (whole.seconds - bare.seconds - (imports.seconds - nothing.seconds)) / _TASKS
    # Before and after each run of ours; begin and the end are shared by the tasks.
    asked = median(after - before for before, after in zip(calls[::4], calls[1::4], strict=True))
    each = asked / _TASKS
    return [
        Row(
            f"{_TASKS} tasks: each, begin and end included",
            time_of(whole),
            time_of(bare),
            f"{added:+.2f} s a task beside `import mlflow`",
            f"at most {_MOST_SECONDS:+g} s",
            added <= _MOST_SECONDS,
        ),
        Row(
            f"{_TASKS} tasks: calls of a task, its share of begin and end included",
            f"{each:.1f}",
            "0",
            "",
            f"at most {_MOST_CALLS}",
            each <= _MOST_CALLS,
        ),
    ]
