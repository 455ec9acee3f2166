"""Orchestration: what one run over many processes costs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from . import project, tasks, workload
from .measure import Command, Measurement, Sample, run
from .project import Project
from .report import Table, ratio
from .servers import tracking_server
from .workload import Nodes

_HERE = Path(__file__).parent
_RUNNER = Path("mlops", "orchestration", "dask_runner.py")
_NODES, _WORKERS = 200, 2
_CATALOG = '"result_{number}": {type: json.JSONDataset, filepath: "data/result_{number}.json"}\n'
MOST = 1.1


def measure(repetitions: int, rendered: Project) -> Table:
    """Compare runners of Dask: this template's under its hook, and the one in Kedro's docs."""
    with tracking_server(rendered, "server") as server:
        programs = workload.environment(rendered, "dask", _wanted(), "python-dotenv")
        nodes = Nodes(_NODES)
        tracked = workload.tracked(rendered, "dask-ours", nodes, server.uri)
        bare = workload.bare(rendered, "dask-theirs", nodes)
        runners = {tracked: "DaskRunner", bare: f"{bare.package.name}.documented_runner.DaskRunner"}
        for place in runners:
            _let_work(place)
        rounds = [
            [_sample(replace(place, programs=programs), name) for place, name in runners.items()]
            for _ in range(repetitions + 1)
        ][1:]
        of_tasks = tasks.rows(repetitions, rendered, server)
    (ours, our_nodes), (theirs, their_nodes) = (
        (Measurement([whole for whole, _ in samples]), Measurement([span for _, span in samples]))
        for samples in zip(*rounds, strict=True)
    )
    return Table(
        "One run over many processes",
        f"{_NODES} nodes that sleep for 50 ms and save a result, half of them read another one's, "
        f"on {_WORKERS} processes of Dask. Ours is `DaskRunner`, tracked by `mlflow server`; "
        "theirs is the runner in Kedro's documentation, without tracking. The first row is from "
        "the first node's start to the last one's end, the second with all that is before and "
        "after, such as `import mlflow`. The tasks are a `kedro run` each, of a node that returns "
        "five metrics, between `kedro mlflow run begin` and `end`; theirs have no tracking.",
        [
            ratio("Dask, the nodes", our_nodes, their_nodes, MOST),
            ratio("Dask, the whole command", ours, theirs),
            *of_tasks,
        ],
    )


def _wanted() -> str:
    """The range of Dask's versions that a project asks for."""
    text = (project.REPOSITORY / "template" / "pyproject.toml.jinja").read_text(encoding="utf-8")
    return next(line.strip(' ",') for line in text.splitlines() if "distributed>=" in line)


def _let_work(place: Project) -> None:
    source = project.REPOSITORY / "template" / "src" / "{{ package_name }}" / _RUNNER
    (place.package / _RUNNER).parent.mkdir(exist_ok=True)
    shutil.copyfile(source, place.package / _RUNNER)
    shutil.copyfile(_HERE / "dask_nodes.py", place.package / "pipeline_registry.py")
    shutil.copyfile(_HERE / "documented_runner.py", place.package / "documented_runner.py")
    (place.folder / "conf" / "base" / "catalog.yml").write_text(_CATALOG, encoding="utf-8")
    (place.folder / "conf" / "base" / "parameters.yml").write_text("alpha: 1.0\n", encoding="utf-8")


def _sample(place: Project, runner: str) -> tuple[Sample, Sample]:
    """Run all nodes: the whole command, and the time from the first node to the last."""
    spans = place.folder / "spans.txt"
    spans.unlink(missing_ok=True)
    options = ["--runner", runner, "--runner-params", f"n_workers={_WORKERS}"]
    whole = run(Command([place.programs / "kedro", "run", *options], place.folder))
    times = [float(time) for time in spans.read_text(encoding="utf-8").split()]
    assert len(times) == 2 * _NODES
    return whole, replace(whole, seconds=max(times) - min(times))
