"""Scaling: what the hook costs a pipeline of 5,000 nodes, and how its memory grows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import workload
from .measure import Command, TookTooLongError, run
from .project import Project
from .report import Row, Table
from .servers import tracking_server
from .workload import Nodes

# Both large enough to fill what is bounded: chunks of the journal, batches, spans of a call.
_FEW, _MANY = 1000, 5000
# Parameters, metrics, and the seconds that each node took.
_VALUES = workload.PARAMETERS + workload.METRICS + 1
_LIMIT = 120
MOST_MS, MOST_BYTES = 0.5, 100


@dataclass(frozen=True)
class Probe:
    """What probe.py tells of a run: times in seconds, and the bytes of memory that it adds."""

    seconds: float
    hook_seconds: float
    hook_cpu_seconds: float
    memory: int


def measure(repetitions: int, rendered: Project) -> Table:
    """Run them once: it takes minutes, with and without tracking."""
    with tracking_server(rendered, "server") as server:
        few, many = (
            _probe(workload.tracked(rendered, f"ours-{count}", Nodes(count), server.uri))
            for count in (_FEW, _MANY)
        )
        few_bare, many_bare = (
            _probe(workload.bare(rendered, f"bare-{count}", Nodes(count)))
            for count in (_FEW, _MANY)
        )
        theirs = workload.with_kedro_mlflow(rendered, f"theirs-{_MANY}", Nodes(_MANY), server.uri)
        gave_up = _nodes_done(theirs)
    milliseconds = 1000 * many.hook_cpu_seconds / _MANY
    grown = (many.memory - few.memory) - (many_bare.memory - few_bare.memory)
    a_value = grown / ((_MANY - _FEW) * _VALUES)
    return Table(
        f"Scaling to {_MANY:,} nodes",
        f"Nodes as above; once each. Kedro itself takes {many_bare.seconds:.0f} s for them. Theirs "
        f"is {workload.KEDRO_MLFLOW}, {gave_up}. Memory is the most that a run adds to what its "
        "process holds when its configuration is read.",
        [
            Row(
                "the hook in the pipeline's own thread, a node",
                f"{milliseconds:.2f} ms of CPU",
                "",
                f"{1000 * many.hook_seconds / _MANY:.2f} ms by the clock",
                f"at most {MOST_MS:g} ms",
                milliseconds <= MOST_MS,
            ),
            Row(
                "memory that each logged value adds",
                f"{a_value:.0f} bytes",
                "",
                " and ".join(
                    f"{probe.memory / 1e6:.0f} MB with {nodes:,}"
                    for probe, nodes in ((few, _FEW), (many, _MANY))
                ),
                f"at most {MOST_BYTES} bytes",
                a_value <= MOST_BYTES,
            ),
            Row(
                "the pipeline's own time",
                f"{many.seconds:.0f} s",
                f"{many_bare.seconds:.0f} s bare",
                f"{many.seconds / many_bare.seconds:.2f} x",
            ),
        ],
    )


def _probe(place: Project) -> Probe:
    script = Path(__file__).with_name("probe.py")
    sample = run(Command([place.programs / "python", script], place.folder))
    return Probe(**json.loads(sample.output.splitlines()[-1]))


def _nodes_done(theirs: Project) -> str:
    try:
        sample = run(Command([theirs.programs / "kedro", "run"], theirs.folder, limit=_LIMIT))
    except TookTooLongError as stopped:
        done = str(stopped).count("Completed node:")
        return f"which had done {done:,} of them after {_LIMIT} s and was stopped"
    return f"which took {sample.seconds:.0f} s"
