"""A run is MLflow's active one for everything in it: each call lands in it or below, none strays.

One run holds all cases of a table: every place from which a project's code may call MLflow.
"""

from __future__ import annotations

import json
from textwrap import dedent

import pytest
from mlflow.entities import Run

from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.project import PACKAGE, Project
from tests.support.tiny import SESSION, small

PLACES = """\
import json, multiprocessing, os, queue, subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset
from kedro.pipeline import Pipeline, node


def log(place):
    import mlflow

    mlflow.log_metric(place, 1)


def log_below(place):
    import mlflow

    with mlflow.start_run(nested=True, run_name=place):
        mlflow.log_metric(place, 1)


# Threads that are older than any run, but not in a process that was forked.
POOL, OLD_POOL, QUEUE, DONE = ThreadPoolExecutor(1), ThreadPool(1), queue.Queue(), queue.Queue()
POOL.submit(os.getpid).result()


def work_off():
    while True:
        log(QUEUE.get())
        DONE.put(True)


threading.Thread(target=work_off, daemon=True).start()


def body():
    log("body")
    log_below("below")
    return 1


def generator():
    log("first_chunk")
    yield "one"
    log("second_chunk")
    log_below("chunk_below")
    yield "two"


def threads():
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(log, ["thread_1", "thread_2"]))
        list(pool.map(log_below, ["thread_below_1", "thread_below_2"]))
    for target, place in ((log, "plain_thread"), (leave_open, "left_by_thread")):
        thread = threading.Thread(target=target, args=[place])
        thread.start()
        thread.join()
    if multiprocessing.parent_process() is None:
        POOL.submit(log, "older_pool").result()
        POOL.submit(log_below, "older_pool_below").result()
        OLD_POOL.apply(log, ["other_pool"])
        QUEUE.put("older_thread")
        DONE.get(timeout=60)
    return 1


def autologs():
    import mlflow
    from sklearn.linear_model import Ridge

    mlflow.sklearn.autolog(log_models=False, silent=True)
    Ridge(alpha=0.25).fit([[0.0], [1.0]], [0.0, 1.0])
    mlflow.sklearn.autolog(disable=True)
    return 1


def traces():
    import mlflow

    with mlflow.start_span("own_trace"):
        pass
    return 1


def leave_open(place):
    import mlflow

    mlflow.start_run(nested=True, run_name=place)
    mlflow.log_metric(place, 1)


def leaves_open():
    leave_open("left_open")
    return 1


def after(_):
    log("after_left_open")
    return 1


CHILD = "import mlflow; mlflow.log_metric('program', 1)"
GRANDCHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def programs():
    # Each imports MLflow, which takes seconds: a program's program has passed through one.
    assert os.system(f'{sys.executable} -c "{GRANDCHILD}" "{CHILD}"') == 0
    return 1


def processes():
    for method in os.environ["METHODS"].split():
        process = multiprocessing.get_context(method).Process(target=log, args=[method])
        process.start()
        process.join()
        assert process.exitcode == 0
    return 1


class Loud(AbstractDataset):
    def __init__(self, name, metadata=None):
        self._name = name

    def load(self):
        log(f"load_{self._name}")
        return 1

    def save(self, data):
        log(f"save_{self._name}")
        log_below(f"save_{self._name}_below")

    def _describe(self):
        return {}


def check(data):
    log("validator")


class Others:
    '''A hook of the project's own: it tags the run wherever Kedro lets it.'''

    def tag(self, event):
        import mlflow

        mlflow.set_tag(f"hook.{event}", "1")

    @hook_impl
    def before_pipeline_run(self): self.tag("before_pipeline_run")
    @hook_impl
    def before_dataset_loaded(self): self.tag("before_dataset_loaded")
    @hook_impl
    def after_dataset_loaded(self): self.tag("after_dataset_loaded")
    @hook_impl
    def before_node_run(self):
        import mlflow

        self.tag("before_node_run")
        mlflow.start_run(nested=True, run_name="of_the_hook")
    @hook_impl
    def after_node_run(self):
        import mlflow

        mlflow.end_run()
        self.tag("after_node_run")
    @hook_impl
    def before_dataset_saved(self): self.tag("before_dataset_saved")
    @hook_impl
    def after_dataset_saved(self): self.tag("after_dataset_saved")
    @hook_impl
    def on_node_error(self): self.tag("on_node_error")
    @hook_impl
    def on_pipeline_error(self): self.tag("on_pipeline_error")
    @hook_impl
    def after_pipeline_run(self): self.tag("after_pipeline_run")


def fail():
    raise RuntimeError("as it should")


def data(loud):
    return loud


nodes = {
    "plain": [
        node(body, None, "of_body", name="body"),
        node(threads, None, "of_threads", name="threads"),
        node(autologs, None, "of_autologs", name="autologs"),
        node(traces, None, "of_traces", name="traces"),
        node(leaves_open, None, "of_leaves_open", name="leaves_open"),
        node(after, "of_leaves_open", "of_after", name="after"),
        node(data, "loud_in", "loud_out", name="data"),
    ],
    "generators": [node(generator, None, "chunks", name="generator")],
    "started": [node(programs, None, "of_programs"), node(processes, None, "of_processes")],
    "hooked": [node(data, "loud_in", "loud_out", name="data")],
    "failing": [node(fail, None, "of_fail")],
}
PIPELINES = {name: Pipeline(some) for name, some in nodes.items()}
PIPELINES["__default__"] = PIPELINES["plain"] + PIPELINES["generators"]
"""

CATALOG = f"""\
loud_in: {{type: {PACKAGE}.pipelines.small.Loud, name: in}}
loud_out:
  type: {PACKAGE}.pipelines.small.Loud
  name: out
  validator: {PACKAGE}.pipelines.small.check
chunks: {{type: {PACKAGE}.pipelines.small.Loud, name: chunk}}
"""

PLAIN = {
    *("body", "thread_1", "thread_2", "plain_thread", "load_in", "save_out", "validator"),
    "after_left_open",
}
OLDER = {"older_pool", "other_pool", "older_thread"}
GENERATORS = {"first_chunk", "second_chunk", "save_chunk"}
BELOW = {"below", "thread_below_1", "thread_below_2", "left_open", "save_out_below"} | {
    "left_by_thread"
}
GENERATORS_BELOW = {"chunk_below", "save_chunk_below"}
HOOKED = {
    *("before_pipeline_run", "before_dataset_loaded", "after_dataset_loaded", "before_node_run"),
    *("after_node_run", "before_dataset_saved", "after_dataset_saved", "after_pipeline_run"),
}
FAILING = {"before_pipeline_run", "before_node_run", "on_node_error", "on_pipeline_error"}


@pytest.fixture
def places(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose code calls MLflow from everywhere."""
    monkeypatch.chdir(project.folder)
    small(project, PLACES)
    project.write("conf/base/catalog.yml", CATALOG)
    return project


def family(project: Project) -> tuple[Run, dict[str, Run]]:
    """The one run of the project, and those below it by name; all in its experiment, all ended."""
    runs = project.runs()
    (root,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    below = {str(run.info.run_name): run for run in runs if run is not root}
    assert {run.info.experiment_id for run in runs} == {root.info.experiment_id}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in below.values()} <= {root.info.run_id}
    strays = ["mlruns", f"src/{PACKAGE}/mlruns", "notebooks/mlflow.db"]
    assert not [path for path in strays if (project.folder / path).exists()]
    return root, below


def own_metrics(run: Run) -> set[str]:
    """The names of the metrics that the project's code has logged itself."""
    others = ("node_seconds", "training_", "of_", "loud_out")
    return {name for name in run.data.metrics if not name.startswith(others)}


@pytest.mark.parametrize(
    ("runner", "variables"),
    [
        (("SequentialRunner",), {}),
        pytest.param(("SequentialRunner", "--async"), {}, marks=weekly),
        (("ThreadRunner",), {}),
        (("ParallelRunner",), {}),
        pytest.param(("ParallelRunner",), {"KEDRO_MP_CONTEXT": "spawn"}, marks=weekly),
    ],
    ids=["sequential", "async", "thread", "fork", "spawn"],
)
def test_calls_of_mlflow_land_in_the_run_from_every_place_of_a_node(
    places: Project, runner: tuple[str, ...], variables: dict[str, str]
) -> None:
    is_async, is_parallel = "--async" in runner, runner == ("ParallelRunner",)
    chosen = ["--pipelines", "plain"] if is_async else []  # Kedro refuses generators there.
    places.kedro("run", "--runner", *runner, *chosen, env=variables)
    root, below = family(places)
    metrics = PLAIN | (set() if is_parallel else OLDER) | (set() if is_async else GENERATORS)
    assert own_metrics(root) == metrics
    names = BELOW | (set() if is_parallel else {"older_pool_below"})
    assert set(below) == names | (set() if is_async else GENERATORS_BELOW)
    for name, run in below.items():
        assert run.data.metrics == {name: 1}
    assert root.data.params["alpha"] == "0.25"
    if not is_parallel:  # MLflow sends traces from a thread, which ends with a forked process.
        traces = places.client.search_traces(locations=[root.info.experiment_id])
        assert "own_trace" in {trace.info.tags["mlflow.traceName"] for trace in traces}


RUN_BOTH = """\
with KedroSession.create(Path.cwd()) as session:
    session.run(pipeline_names=["hooked"])
with KedroSession.create(Path.cwd()) as session:
    try:
        session.run(pipeline_names=["failing"])
    except RuntimeError as error:
        print(error)
"""


@pytest.mark.parametrize("order", ["MlflowHook(), Others()", "Others(), MlflowHook()"])
def test_other_hooks_find_the_run_active_in_any_order(places: Project, order: str) -> None:
    settings = f"src/{PACKAGE}/settings.py"
    places.edit(settings, "HOOKS = (MlflowHook(),)", f"HOOKS = ({order})")
    imports = "\nload_environment()\nfrom .pipelines.small import Others"
    places.edit(settings, "\nload_environment()", imports)
    assert places.script(SESSION + RUN_BOTH)[-1] == "as it should"
    runs = places.runs()
    roots = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert {run.info.run_name for run in roots} == {"hooked", "failing"}
    for root in roots:
        children = below({run.info.run_id: run for run in runs}, root)
        # Where the hook has a run of its own open, it has tagged that.
        tags = [name for run in (root, *children) for name in run.data.tags]
        told = {name.removeprefix("hook.") for name in tags if name.startswith("hook.")}
        assert {"hook.before_pipeline_run", "hook.before_node_run"} <= set(root.data.tags)
        statuses = {run.info.status for run in (root, *children)}
        if root.info.run_name == "failing":
            assert told == FAILING
            assert "hook.on_pipeline_error" in root.data.tags
            assert statuses == {"FAILED"}
        else:
            assert told == HOOKED
            assert statuses == {"FINISHED"}
        assert "of_the_hook" in {str(run.info.run_name) for run in children}


def test_programs_and_processes_of_a_node_track_in_the_run_or_below(places: Project) -> None:
    # MLflow refuses an experiment by name and by number that are two.
    env = {"MLFLOW_EXPERIMENT_NAME": "another", "METHODS": "fork"}
    started = ["program"]
    if IS_WEEKLY:  # It imports MLflow and finds the run as a program does.
        env["METHODS"] += " spawn"
        started += ["spawn"]
    places.kedro("run", "--pipelines", "started", env=env)
    runs = places.runs()
    (root,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    below = [run for run in runs if run is not root]
    assert root.data.metrics["fork"] == 1
    assert sorted(name for run in below for name in run.data.metrics) == started
    assert {run.data.tags["mlflow.parentRunId"] for run in below} == {root.info.run_id}
    assert {run.info.experiment_id for run in runs} == {root.info.experiment_id}
    assert {run.info.status for run in runs} == {"FINISHED"}


AT_ONCE = """\
import time
from concurrent.futures import ThreadPoolExecutor

from kedro.pipeline import Pipeline, node, pipeline

POOL = ThreadPoolExecutor(2)


def log(name, value):
    import mlflow

    mlflow.log_metric(name, value)
    with mlflow.start_run(nested=True, run_name=f"{name}_below"):
        mlflow.log_metric("below", value)


def work(alpha):
    log("body", alpha)
    POOL.submit(log, "older_pool", alpha).result()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(log, "pool", alpha).result()
    yield alpha
    time.sleep(0.05)
    log("chunk", alpha)
    yield alpha


part = Pipeline([node(work, "params:alpha", "done")])
PIPELINES = {"__default__": pipeline(part, namespace="left", parameters={"alpha": "alpha"}) + part}
"""


def test_runs_at_once_have_their_own_active_run_in_all_their_threads(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    small(project, AT_ONCE, "  run:\n    nested: namespace\n")
    source = """
    import threading, mlflow
    from concurrent.futures import ThreadPoolExecutor
    from mlflow.tracking import fluent

    before = fluent._active_run_stack, threading.Thread.start, ThreadPoolExecutor.submit
    service = KedroServiceSession.create(project_path=Path.cwd(), serving_mode=True)
    KedroSession.create(Path.cwd(), runtime_params={"alpha": 0}).run()
    run = lambda alpha: service.run(str(alpha), runtime_params={"alpha": alpha})
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, (1, 2, 3)))
        active = list(pool.map(lambda _: mlflow.active_run(), range(3)))
    assert before == (fluent._active_run_stack, threading.Thread.start, ThreadPoolExecutor.submit)
    print(json.dumps([active, str(mlflow.active_run())]))
    """
    (shown,) = project.script(SESSION + dedent(source))[-1:]
    assert json.loads(shown) == [[None] * 3, "None"]
    runs = {run.info.run_id: run for run in project.runs()}
    roots = [run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(run.data.params["alpha"] for run in roots) == ["0", "1", "2", "3"]
    places = ["body", "older_pool", "pool", "chunk"]
    for root in roots:
        alpha = float(root.data.params["alpha"])
        children = below(runs, root)
        (left,) = [run for run in children if run.info.run_name == "left"]
        for run, others in ((root, [left]), (left, [])):
            assert {name: run.data.metrics[name] for name in places} == dict.fromkeys(places, alpha)
            nested = [each for each in below(runs, run) if each not in others]
            assert sorted(str(each.info.run_name) for each in nested) == sorted(
                f"{place}_below" for place in places
            )
            assert {each.data.metrics["below"] for each in nested} == {alpha}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def below(runs: dict[str, Run], parent: Run) -> list[Run]:
    """The runs that are right below another one."""
    return [
        run
        for run in runs.values()
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]


def test_a_run_that_a_node_starts_is_a_run_of_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    small(
        project,
        """\
from pathlib import Path
from kedro.pipeline import Pipeline, node

def inner(alpha):
    import mlflow

    mlflow.log_metric("inner", alpha)
    return alpha

def outer():
    import mlflow
    from kedro.framework.session import KedroSession

    mlflow.log_metric("outer", 1)
    with KedroSession.create(Path.cwd()) as session:
        session.run(pipeline_names=["inner"])
    mlflow.log_metric("outer_again", 1)
    with mlflow.start_run(nested=True, run_name="joined"):
        with KedroSession.create(Path.cwd()) as session:
            session.run(pipeline_names=["inner"])
    return 1

PIPELINES = {
    "__default__": Pipeline([node(outer, None, "of_outer")]),
    "inner": Pipeline([node(inner, "params:alpha", "of_inner")]),
}
""",
    )
    project.kedro("run", "--params", "alpha=2")
    runs = {run.info.run_name: run for run in project.runs()}
    metrics = {name: own_metrics(run) for name, run in runs.items()}
    assert metrics == {
        "__default__": {"outer", "outer_again"},
        "inner": {"inner"},
        "joined": {"inner"},
    }
    # Its command is not that of the process.
    assert runs["inner"].data.tags["kedro.command"] == "kedro run --pipelines inner"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
