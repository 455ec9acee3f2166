"""Tracking: what 50 and 1,000 small nodes cost under this hook and under kedro-mlflow."""

from __future__ import annotations

from . import workload
from .measure import Measurement, in_turns, run
from .project import Project
from .report import Row, Table, count, memory, overhead
from .servers import Server, tracking_server
from .workload import Nodes


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare whole runs, and the calls that a server gets of them."""
    with tracking_server(rendered, "server") as server:
        rows = [*_fifty(repetitions, rendered, server), *_thousand(rendered, server)]
    return Table(
        "Tracking many small nodes",
        f"Theirs is {workload.KEDRO_MLFLOW} in an environment of its own, with its "
        "`MlflowMetricsHistoryDataset` for each node's metrics. Nodes do nothing; each has 10 "
        "parameters and 5 metrics. Times are what tracking adds to the same `kedro run` without "
        "it; memory is that of the whole run. Less than nothing is possible where MLflow is loaded "
        "before: the hook lets Python exit without a last look at MLflow's many objects.",
        rows,
    )


def _fifty(repetitions: int, rendered: Project, server: Server) -> list[Row]:
    nodes = Nodes(50)
    bare = workload.bare(rendered, "bare-50", nodes)
    ours = workload.tracked(rendered, "ours-50", nodes, server.uri)
    theirs = workload.with_kedro_mlflow(rendered, "theirs-50", nodes, server.uri)
    database = workload.tracked(rendered, "ours-50-sqlite", nodes, "sqlite:///mlflow.db")
    their_database = workload.with_kedro_mlflow(
        rendered, "theirs-50-sqlite", nodes, "sqlite:///mlflow.db"
    )
    whole = in_turns(repetitions, *(workload.kedro_run(place) for place in (ours, theirs, bare)))
    loaded = in_turns(repetitions, *(workload.preloaded(place) for place in (ours, theirs, bare)))
    sqlite = in_turns(
        repetitions, *(workload.preloaded(place) for place in (database, their_database, bare))
    )
    return [
        _overhead("50 nodes, `mlflow server`, `import mlflow` included", whole, 1 / 13),
        _overhead("50 nodes, `mlflow server`, MLflow loaded before", loaded, 1 / 30),
        _overhead("50 nodes, SQLite, MLflow loaded before", sqlite, 1 / 10),
        _calls("50 nodes: calls", server, ours, theirs, 25),
        memory("50 nodes: peak memory, `mlflow server`", whole[0], whole[1]),
        memory("50 nodes: peak memory, SQLite", sqlite[0], sqlite[1]),
    ]


def _thousand(rendered: Project, server: Server) -> list[Row]:
    nodes = Nodes(1000)
    bare = workload.bare(rendered, "bare-1000", nodes)
    ours = workload.tracked(rendered, "ours-1000", nodes, server.uri, deadline=600)
    theirs = workload.with_kedro_mlflow(rendered, "theirs-1000", nodes, server.uri)
    own, without = in_turns(3, workload.kedro_run(ours), workload.kedro_run(bare))
    before = server.calls()
    run(workload.kedro_run(ours))
    calls = server.calls() - before
    # Once: it takes minutes.
    (other,) = in_turns(1, workload.kedro_run(theirs), warm_up=False)
    their_calls = server.calls() - before - calls
    return [
        _overhead("1,000 nodes, `mlflow server`", [own, other, without], 1 / 40),
        count("1,000 nodes: calls", calls, their_calls, 150),
    ]


def _overhead(what: str, measured: list[Measurement], at_most: float) -> Row:
    ours, theirs, bare = measured
    return overhead(what, ours, theirs, bare, at_most)


def _calls(what: str, server: Server, ours: Project, theirs: Project, at_most: int) -> Row:
    def of(place: Project) -> int:
        before = server.calls()
        run(workload.kedro_run(place))
        return server.calls() - before

    return count(what, of(ours), of(theirs), at_most)
