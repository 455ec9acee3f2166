"""Tasks: what begin, joining and the end of a run add to `kedro run` of single nodes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from . import workload
from .measure import Command, in_turns
from .project import Project
from .report import Row
from .servers import Server
from .workload import Nodes

_TASKS = 10
_MOST_SECONDS, _MOST_CALLS = 0.6, 6
_BEGIN = '"{kedro}" mlflow run begin > run-id'
_RUN = 'for n in $(seq 0 {last}); do "{kedro}" run --nodes node_$n || exit 1; done'
_JOIN = "export MLFLOW_RUN_ID=$(cat run-id); "
_IMPORT = '"{python}" -c "{code}"'


def rows(repetitions: int, rendered: Project, server: Server) -> Sequence[Row]:
    """Compare a run of ten tasks with the same commands without tracking."""
    nodes = Nodes(_TASKS)
    ours = workload.tracked(rendered, "tasks-ours", nodes, server.uri)
    theirs = workload.bare(rendered, "tasks-theirs", nodes)
    programs = {name: ours.programs / name for name in ("kedro", "python")}
    loop = _RUN.format(**programs, last=_TASKS - 1)
    scripts = [
        (ours, _BEGIN.format(**programs)),
        (ours, _JOIN + loop),
        (ours, _JOIN + f'"{programs["kedro"]}" mlflow run end'),
        (theirs, loop),
        (ours, _IMPORT.format(**programs, code="import mlflow")),
        (ours, _IMPORT.format(**programs, code="pass")),
    ]
    calls: list[int] = []  # That the server has got before each of the commands.
    commands = [
        Command(["bash", "-c", script], place.folder, before=lambda: calls.append(server.calls()))
        for place, script in scripts
    ]
    begin, tasks, end, bare, imports, nothing = in_turns(repetitions, *commands, warm_up=False)
    added = (begin.seconds + tasks.seconds + end.seconds - bare.seconds) / _TASKS
    import_seconds = imports.seconds - nothing.seconds
    per_run = zip(calls[1 :: len(commands)], calls[2 :: len(commands)], strict=True)
    asked = median(after - before for before, after in per_run) / _TASKS
    return [
        Row(
            f"each of {_TASKS} tasks, with its share of begin and end",
            f"{(begin.seconds + tasks.seconds + end.seconds) / _TASKS:.2f} s",
            f"{bare.seconds / _TASKS:.2f} s",
            f"{added:+.2f} s, of which `import mlflow` alone takes {import_seconds:.2f} s",
            f"at most {_MOST_SECONDS:+g} s beside that",
            added - import_seconds <= _MOST_SECONDS,
        ),
        Row(
            "calls of a task",
            f"{asked:.1f}",
            "0",
            f"begin and end beside it: {begin.seconds:.1f} s and {end.seconds:.1f} s a run",
            f"at most {_MOST_CALLS}",
            asked <= _MOST_CALLS,
        ),
    ]
