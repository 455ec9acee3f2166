"""`kedro run --runner DaskRunner`: a run over many processes is the run of one process."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from compileall import compile_dir
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT
from typing import Any, NamedTuple

import pytest
import tomli
from mlflow.entities import Run

from tests.support import answers
from tests.support.dask_cluster import cluster
from tests.support.machine import free_port
from tests.support.machines import networks
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project, copy_of
from tests.support.shared import packages
from tests.support.tiny import journals, said, small

# In memory: `one`, a table, a model. Two nodes read `one`; the figure is the catalog's.
PIPELINES = """
import os, time
from pathlib import Path
from kedro.pipeline import Pipeline, node

def first(alpha):
    import mlflow
    mlflow.log_metric("inside", alpha)
    return {"score": alpha}

def table(alpha):
    import numpy as np, pandas as pd
    return pd.DataFrame({"x": np.arange(10.0), "y": alpha * np.arange(10.0) ** 2}), "left over"

def fit(table, share):
    from sklearn.linear_model import LinearRegression
    table["y"] *= share
    return LinearRegression().fit(table[["x"]], table["y"])

def measure(model, table, one):
    return {"r2": model.score(table[["x"]], table["y"]), "score": one["score"] * 2}

def draw(one):
    import matplotlib
    matplotlib.use("agg")
    from matplotlib.figure import Figure
    figure = Figure()
    figure.gca().plot([0, one["score"]])
    return figure

def parts(alpha):
    yield {"first": alpha}
    yield {"second": alpha}

def check(one, alpha):
    {check}

PIPELINES = {"__default__": Pipeline([
    node(first, "params:alpha", "one", name="first"),
    node(table, "params:alpha", ["table", "unread"], name="table"),
    node(fit, ["table", "params:share"], "model", name="fit"),
    node(measure, ["model", "table", "one"], "evaluation", name="measure"),
    node(draw, "one", "figure", name="draw"),
    node(parts, "params:alpha", "parts", name="parts"),
    node(check, ["one", "params:alpha"], "checked", name="check"),
    node(lambda checked: {"more": checked["more"] + 1}, "checked", "last", name="last"),
])}
"""
CHECK = "return {'more': one['score'] + alpha}"
CATALOG = """
evaluation: {type: json.JSONDataset, filepath: data/evaluation.json, versioned: true}
checked: {type: json.JSONDataset, filepath: "data/checked.json"}
"""


class OnDask(NamedTuple):
    """A project that asked for Dask, whose packages are beside those of the environment."""

    project: Project
    packages: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{self.project.folder}/src:{self.packages}"}

    def command(self, workers: int = 2) -> tuple[str, ...]:
        return ("kedro", "run", "--runner", "DaskRunner", "--runner-params", f"n_workers={workers}")

    def run(self, workers: int = 2, code: int = 0, **env: str) -> str:
        """Run all; what the screen shows."""
        result = self.project.forked(*self.command(workers), code=code, env={**self.env, **env})
        return said(result.stdout + result.stderr)

    def checking(self, code: str) -> None:
        """Let the node `check` do this."""
        pipelines = PIPELINES.replace("{check}", code.replace("\n", "\n    "))
        self.project.write(f"src/{PACKAGE}/pipelines/small.py", pipelines)


@pytest.fixture(scope="module")
def original(rendered: Project, template: Path, tmp_path_factory: pytest.TempPathFactory) -> OnDask:
    folder = tmp_path_factory.mktemp("dask") / "project"
    answers.render(template, folder, {"orchestrator": "dask"})
    compile_dir(folder / "src", quiet=1)  # Or each copy's first command would.
    depends = tomli.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    (wanted,) = (name for name in depends if name.startswith("distributed"))
    installed = packages(rendered, tmp_path_factory, "dask", wanted)
    project = small(Project(folder, rendered.environment), "")
    project.write("conf/base/catalog.yml", CATALOG)
    project.write("conf/base/parameters.yml", "alpha: 3.0\nshare: 0.5\n")
    found = OnDask(project, installed)
    found.checking(CHECK)
    return found


@pytest.fixture
def dask(original: OnDask, tmp_path: Path) -> OnDask:
    return OnDask(copy_of(original.project, tmp_path), original.packages)


@pytest.fixture(scope="module")
def sequential(original: OnDask, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What MLflow has of the run of one process."""
    project = copy_of(original.project, tmp_path_factory.mktemp("sequential"))
    project.kedro("run")
    return logged(project)


def logged(project: Project, run: Run | None = None) -> dict[str, Any]:
    """All that MLflow has of a run, or of the only one, but for times, ids and processes."""
    client = project.client
    if run is None:
        (run,) = project.runs()
    run_id = run.info.run_id
    record = json.loads(Path(client.download_artifacts(run_id, "kedro/run.json")).read_text())
    trace = client.get_trace(f"tr-{run_id}")
    inputs = run.inputs.dataset_inputs if run.inputs else []
    models = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    return {
        "status": run.info.status,
        "params": run.data.params,
        # Each value of each metric: none is there twice.
        "metrics": {
            name: "a time" if name.startswith("node_seconds/") else values(project, run, name)
            for name in run.data.metrics
        },
        "tags": {name: value for name, value in run.data.tags.items() if name not in OWN_TAGS},
        "nodes": sorted(
            (node["name"], node["status"], node["function"], place(node), *node["outputs"])
            for node in record["nodes"]
        ),
        "spans": Counter(span.name for span in trace.data.spans if span.parent_id),
        "artifacts": sorted(files(project, run_id)),
        "models": [(model.name, model.status) for model in models],
        "inputs": [each.dataset.name for each in inputs],
    }


def place(node: Mapping[str, Any]) -> str:
    """Where its function is written; of a lambda, which is sent as it is, that is not known."""
    return "" if node["function"].endswith("<lambda>") else node["source"]


OWN_TAGS = {
    "kedro.run_id",
    "kedro.runner",
    "kedro.command",
    "kedro.journal",
    "mlflow.runName",
    "mlflow.note.content",
}


def values(project: Project, run: Run, name: str) -> list[tuple[int, float]]:
    history = project.client.get_metric_history(run.info.run_id, name)
    return [(point.step, point.value) for point in history]


def files(project: Project, run_id: str, folder: str = "") -> Iterator[str]:
    for found in project.client.list_artifacts(run_id, folder):
        if found.is_dir:
            yield from files(project, run_id, found.path)
        else:
            yield found.path


# Per commit the next test says as much.
@weekly
@pytest.mark.parametrize("workers", [2, 4])
def test_its_run_is_the_run_of_one_process(
    workers: int, dask: OnDask, sequential: dict[str, Any]
) -> None:
    screen = dask.run(workers)
    assert "Completed 8 out of 8 tasks" in screen
    assert logged(dask.project) == sequential
    assert journals(dask.project) == []
    (run,) = dask.project.runs()
    assert (
        run.data.tags["kedro.command"]
        == f"kedro run --runner DaskRunner --runner-params n_workers={workers}"
    )


# Dask spawns workers, each of which imports all again: per commit, only those of a scheduler do.
METHOD = "spawn" if IS_WEEKLY else "fork"
KILL = """
first_time = not Path("killed").exists()
if first_time:
    Path("killed").touch()
    os.kill(os.getpid(), 9)
return {"more": one["score"] + alpha}
"""


def test_a_node_whose_worker_is_killed_runs_again_and_counts_once(
    dask: OnDask, sequential: dict[str, Any]
) -> None:
    dask.checking(KILL)
    dask.run(workers=1, DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD=METHOD)
    assert (dask.project.folder / "killed").exists()
    found = logged(dask.project)
    # What the node's own code sends to MLflow, it sends again if it runs again.
    found["metrics"]["inside"] = found["metrics"]["inside"][:1]
    assert without_sources(found) == without_sources(sequential)


def without_sources(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "nodes": [(node[:2], node[4:]) for node in found["nodes"]]}


@weekly
def test_a_node_that_fails_is_named_and_what_needs_it_does_not_run(dask: OnDask) -> None:
    dask.checking("raise LookupError(f'no more than {alpha}')")
    screen = dask.run(code=1)
    assert "LookupError: no more than 3.0" in screen
    assert "You can resume the pipeline run" in screen
    found = logged(dask.project)
    assert found["status"] == "FAILED"
    assert found["tags"]["kedro.failure"] == "node 'check': LookupError: no more than 3.0"
    states = {name: state for name, state, *_ in found["nodes"]}
    assert states.pop("check") == "FAILED"
    assert "last" not in states
    assert set(states.values()) == {"FINISHED"}


@weekly
def test_a_run_that_is_interrupted_is_killed_with_its_workers(dask: OnDask) -> None:
    dask.checking("Path('waiting').write_text(str(os.getpid()))\ntime.sleep(600)")
    process = dask.project.start(*dask.command(), env=dask.env)
    waiting = dask.project.folder / "waiting"
    while not (waiting.exists() and waiting.read_text()):
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, SIGINT)
    process.communicate(timeout=60)
    (run,) = dask.project.runs()
    assert run.info.status == "KILLED"
    with pytest.raises(ProcessLookupError):
        os.kill(int(waiting.read_text()), 0)


@weekly
def test_nodes_that_ran_without_hooks_are_named(dask: OnDask) -> None:
    hooks = "HOOKS = (MlflowHook(),)"
    dask.project.edit(
        f"src/{PACKAGE}/settings.py",
        hooks,
        f"import multiprocessing\n{hooks} if not multiprocessing.parent_process() else ()",
    )
    screen = dask.run()
    assert "The run has nothing of 8 of its 8 nodes (" in screen
    missing = [run.data.tags.get("kedro.missing_nodes") for run in dask.project.runs()]
    assert "8" in missing  # The other run is what a node's own call of MLflow has begun.


@weekly
def test_a_thousand_nodes(dask: OnDask) -> None:
    pipelines = """
from kedro.pipeline import Pipeline, node
def count(alpha, *numbers):
    return {"score": alpha + sum(each["score"] for each in numbers)}
nodes = [node(count, "params:alpha", f"n{i}") for i in range(500)]
nodes += [node(count, ["params:alpha", f"n{i}", f"n{i + 1}"], f"m{i}") for i in range(499)]
nodes += [node(count, ["params:alpha", *(f"m{i}" for i in range(499))], "all")]
PIPELINES = {"__default__": Pipeline(nodes)}
"""
    dask.project.write(f"src/{PACKAGE}/pipelines/small.py", pipelines)
    dask.run()
    found = logged(dask.project)
    assert found["status"] == "FINISHED"
    assert len(found["nodes"]) == 1000
    assert found["metrics"]["all/score"] == [(0, 3.0 + 499 * 9.0)]


# --- Workers of a scheduler ---


HIDDEN = """\
import ctypes, runpy, subprocess, sys
libc, network = ctypes.CDLL(None), sys.argv.pop(1)
if network:
    with open(network) as file:
        assert libc.setns(file.fileno(), 0) == 0
assert libc.unshare(0x20000) == 0  # Mounts of its own.
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "none", ".kedro_mlflow"], check=True)
sys.argv.append("--no-nanny")
runpy.run_module("distributed.cli.dask_worker", run_name="__main__", alter_sys=True)
"""


@contextmanager
def hidden(dask: OnDask, places: Sequence[str], host: str = "127.0.0.1") -> Iterator[str]:
    """A scheduler on this host, and a worker in each network, or in this one; their address.

    The workers do not see the project's folder `.kedro_mlflow`.
    """
    dask.project.write("hidden.py", HIDDEN)
    (dask.project.folder / ".kedro_mlflow").mkdir(exist_ok=True)
    with cluster(dask.project, dask.env, host) as found:
        for network in places:
            found.work_in(dask.project, dask.env, ("hidden.py", network))
        yield found.address


of_root = pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("mount") and shutil.which("ip")),
    reason="only root has mounts and networks of its own",
)


@of_root
def test_workers_that_do_not_see_the_runs_folder_send_what_they_captured(
    dask: OnDask, sequential: dict[str, Any]
) -> None:
    with hidden(dask, ["", ""]) as address:
        for _ in range(2):  # The workers live on, and forget the run before.
            dask.run(DASK_SCHEDULER_ADDRESS=address)
            found = logged(dask.project)
            assert found == sequential
            (run,) = dask.project.runs()
            dask.project.client.delete_run(run.info.run_id)


@weekly
@of_root
def test_two_runs_at_once_on_machines_in_networks_of_their_own(
    dask: OnDask, sequential: dict[str, Any]
) -> None:
    dask.project.write(
        "conf/base/catalog.yml", CATALOG.replace("data/checked", "data/${runtime_params:alpha,3.0}")
    )
    command = dask.command()
    with networks(2) as (host, places), hidden(dask, places, host) as address:
        env = {**dask.env, "DASK_SCHEDULER_ADDRESS": address}
        started = [
            dask.project.start(*command, *more, env=env) for more in ((), ("--params", "alpha=4.0"))
        ]
        for process in started:
            out, err = process.communicate(timeout=300)
            assert process.returncode == 0, f"{out}{err}"
    one, other = sorted(dask.project.runs(), key=lambda run: str(run.data.params["alpha"]))
    assert logged(dask.project, one) == sequential
    assert other.info.status == "FINISHED"
    assert other.data.metrics["last/more"] == 9.0


ONE_VERSION = """
from kedro.pipeline import Pipeline, node
PIPELINES = {"__default__": Pipeline([
    node(lambda alpha: {"score": alpha}, "params:alpha", "evaluation", name="save"),
    node(lambda evaluation: {"read": evaluation["score"]}, "evaluation", "seen", name="load"),
])}
"""


@weekly
def test_versions_that_are_to_be_loaded_are_and_also_async(dask: OnDask) -> None:
    dask.project.write(f"src/{PACKAGE}/pipelines/small.py", ONE_VERSION)
    for alpha in (3.0, 4.0):
        dask.project.kedro("run", "--params", f"alpha={alpha}")
    first, _ = sorted((dask.project.folder / "data/evaluation.json").iterdir())
    chosen = ("--nodes", "load", "--load-versions", f"evaluation:{first.name}", "--async")
    dask.project.forked(*dask.command(), *chosen, env=dask.env)
    newest, *_ = dask.project.runs()
    assert newest.data.tags["kedro.runner"] == "DaskRunner"
    assert newest.data.metrics["seen/read"] == 3.0


@weekly
def test_a_scheduler_that_does_not_answer_is_named(dask: OnDask) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    screen = dask.run(
        code=1, DASK_SCHEDULER_ADDRESS=address, DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s"
    )
    assert f"No scheduler of Dask answers at {address} (DASK_SCHEDULER_ADDRESS)" in screen


def test_a_project_without_it_says_how_to_get_it(project: Project) -> None:
    result = project.kedro("run", "--runner", "DaskRunner", code=1)
    assert "`uv run kedro mlflow update -d orchestrator=dask` adds it." in said(
        result.stdout + result.stderr
    )
