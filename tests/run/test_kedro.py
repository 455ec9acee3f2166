"""Every way in which Kedro runs nodes: each run is one MLflow run with its own data, well ended."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from textwrap import dedent

import pytest
from mlflow.entities import Run

from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.tiny import FIGURE, SESSION, TWO_NODES, each_of, small

RUNNERS = ["SequentialRunner", "ThreadRunner", "ParallelRunner"]

WAITING = """\
import time
from pathlib import Path
from kedro.pipeline import Pipeline, node

def first():
    return 1.5

def second(number):
    Path("waiting").touch()
    for _ in range(600):
        time.sleep(0.1)
    return number

PIPELINES = {"__default__": Pipeline([node(first, None, "number"), node(second, "number", "end")])}
"""


@pytest.fixture(autouse=True)
def _in_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow keeps files in the working directory when a test is the first to open a database."""
    monkeypatch.chdir(project.folder)


def script(project: Project, source: str, env: dict[str, str] | None = None) -> str:
    """Run a program that uses Kedro's sessions; what it prints on its last line."""
    return project.script(SESSION + dedent(source), env=env)[-1]


def roots(project: Project) -> list[Run]:
    """The runs that are no other's children, the newest first."""
    return [run for run in project.runs() if "mlflow.parentRunId" not in run.data.tags]


def stop(project: Project, command: Sequence[str], number: signal.Signals) -> tuple[int, str]:
    """Start a run, stop it by a signal in its second node; its exit code and screen."""
    process = project.fork(*command)
    deadline = time.monotonic() + 60
    while not (project.folder / "waiting").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode is not None
    return process.returncode, out + err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_is_killed_and_complete(
    project: Project, number: signal.Signals, code: int
) -> None:
    small(project, WAITING)
    returned, screen = stop(project, ["kedro", "run"], number)
    assert returned == code, screen
    (run,) = project.runs()
    assert run.info.status == "KILLED"
    assert run.data.metrics["number"] == 1.5
    assert "has been stopped" in screen
    assert not any((project.folder / ".kedro_mlflow" / "journal").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_that_is_stopped_ends_its_run(project: Project, number: signal.Signals) -> None:
    # Files are sent by MLflow's thread pools, which no longer start when Python has begun to exit.
    figure = "import matplotlib.pyplot as plt\n    return plt.figure()"
    small(project, WAITING.replace("return 1.5", figure))
    project.write("script.py", SESSION + "KedroSession.create(Path.cwd()).__enter__().run()\n")
    returned, screen = stop(project, ["python", "script.py"], number)
    assert returned == {signal.SIGINT: 1, signal.SIGTERM: 143}[number], screen
    (run,) = project.runs()
    assert run.info.status == "KILLED"
    assert len(project.client.list_artifacts(run.info.run_id, "figures")) == 1


SPAWNED = f"""\
import atexit, multiprocessing, sys
from pathlib import Path
{FIGURE}
def fit(alpha):
    from sklearn.linear_model import Ridge
    return Ridge(alpha).fit([[0.0], [1.0]], [0.0, 1.0])

PIPELINES["__default__"] += Pipeline([node(fit, "params:alpha", "model")])

def note():
    Path("opened").write_text(str("mlflow.store.tracking.sqlalchemy_store" in sys.modules))

if multiprocessing.parent_process():
    atexit.register(note)  # MLflow, which is imported later, comes before.
"""


def test_processes_that_are_spawned_keep_the_same_as_others(project: Project) -> None:
    small(project, SPAWNED)
    project.kedro("run")
    variables = {"KEDRO_MP_CONTEXT": "spawn"}
    one = ("--runner", "ParallelRunner", "--runner-params", "max_workers=1")
    project.kedro("run", *one, env=variables)
    spawned, plain = project.runs()
    for run in (spawned, plain):
        assert run.data.metrics["one/score"] == 0.5
        assert set(run.data.metrics) == set(plain.data.metrics)
        assert run.data.params == {"alpha": "0.5"}
        assert len(project.client.list_artifacts(run.info.run_id, "figures")) == 1
        assert run.outputs is not None
        assert len(run.outputs.model_outputs) == 1
    # MLflow's end in the worker has neither ended the run nor asked for it.
    assert project.read("opened") == "False"


OWN_CALLS = """\
from kedro.pipeline import Pipeline, node

def first():
    import mlflow

    mlflow.log_metric("own_first", 1)
    with mlflow.start_run(nested=True, run_name="child"):
        mlflow.log_metric("own_child", 2)
    return 1.5

def second(number):
    import mlflow

    mlflow.log_metric("own_second", 3)
    mlflow.log_text("hello", "hello.txt")
    mlflow.sklearn.autolog(log_models=False)
    from sklearn.linear_model import Ridge
    Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    mlflow.sklearn.autolog(disable=True)
    return number

PIPELINES = {"__default__": Pipeline([node(first, None, "number"), node(second, "number", "end")])}
"""


@pytest.mark.parametrize("runner", [*RUNNERS, pytest.param("spawn", marks=weekly)])
def test_calls_of_mlflow_inside_nodes_land_in_the_run(project: Project, runner: str) -> None:
    small(project, OWN_CALLS)
    variables = {"KEDRO_MP_CONTEXT": "spawn"} if runner == "spawn" else {}
    name = "ParallelRunner" if runner == "spawn" else runner
    project.kedro("run", "--runner", name, env=variables)
    child, run = sorted(project.runs(), key=lambda run: "mlflow.parentRunId" not in run.data.tags)
    assert run.data.metrics.items() >= {"own_first": 1, "own_second": 3, "number": 1.5}.items()
    assert run.data.params["solver"] == "auto"
    assert "hello.txt" in [file.path for file in project.client.list_artifacts(run.info.run_id)]
    assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert child.data.metrics == {"own_child": 2}
    assert child.info.experiment_id == run.info.experiment_id
    assert {child.info.status, run.info.status} == {"FINISHED"}


def test_a_run_that_a_node_has_ended_fails_with_its_own_error_and_its_children(
    project: Project,
) -> None:
    small(
        project,
        """\
from kedro.pipeline import Pipeline, node

def fail():
    import mlflow

    mlflow.start_run(nested=True)
    mlflow.log_metric("own_child", 2)
    raise RuntimeError("the node has failed")

def end_run():
    import mlflow

    mlflow.end_run()
    return 1

nodes = [node(end_run, None, "one"), node(lambda one: fail(), "one", "two", name="fail")]
PIPELINES = {"__default__": Pipeline(nodes)}
""",
    )
    result = project.kedro("run", code=1)
    assert "RuntimeError: the node has failed" in result.stdout + result.stderr
    runs = project.runs()
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]
    assert len(roots(project)) == 1


STATE = """\
import mlflow
from mlflow.tracking import fluent

def state():
    return [
        mlflow.get_tracking_uri(), mlflow.get_registry_uri(), str(mlflow.active_run()),
        str(fluent._active_experiment_id),
        {n: v for n, v in os.environ.items() if n.startswith(("MLFLOW", "KEDRO", "TOKEN"))},
    ]

def run(**arguments):
    with KedroSession.create(Path.cwd()) as session:
        try:
            session.run(**arguments)
        except Exception:
            pass
"""


@pytest.mark.parametrize("prepare", ["", "mlflow.set_tracking_uri('sqlite:///other.db')"])
@pytest.mark.parametrize("failure", ["", 'raise RuntimeError("x")'])
def test_mlflows_state_in_the_process_is_as_it_was_found(
    project: Project, prepare: str, failure: str
) -> None:
    leave = f'mlflow.set_experiment("mine"); mlflow.start_run(nested=True); {failure}\n    '
    small(project, OWN_CALLS.replace('mlflow.log_metric("own_first", 1)', leave))
    changed = script(
        project,
        STATE + f"{prepare}\nbefore = state()\nrun()\n"
        "import signal\nassert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        "print(json.dumps([[a, b] for a, b in zip(before, state()) if a != b]))\n",
    )
    assert json.loads(changed) == []
    assert len(roots(project)) == 1


@pytest.mark.strays("the run that is joined is in an experiment that MLflow made")
@pytest.mark.parametrize("how", ["active", "MLFLOW_RUN_ID", "tracking.run.id"])
def test_a_run_that_somebody_else_has_started_is_joined_and_not_closed(
    project: Project, how: str
) -> None:
    small(project, OWN_CALLS)
    client = project.client
    started = client.create_run(client.create_experiment("theirs"), run_name="theirs").info.run_id
    if how == "tracking.run.id":
        small(project, OWN_CALLS, f"  run:\n    id: {started}\n")
    variables = {"MLFLOW_RUN_ID": started} if how == "MLFLOW_RUN_ID" else {}
    active, status = project.script(
        SESSION
        + STATE
        + (
            f"mlflow.set_tracking_uri('sqlite:///mlflow.db')\nmlflow.start_run('{started}')\n"
            if how == "active"
            else ""
        )
        + "run()\nprint(mlflow.active_run() and mlflow.active_run().info.run_id)\n"
        + f"print(mlflow.MlflowClient('sqlite:///mlflow.db').get_run('{started}').info.status)\n",
        env=variables,
    )[-2:]
    assert status == "RUNNING"
    assert active == (started if how == "active" else "None")
    (run,) = roots(project)
    assert run.info.run_id == started
    assert run.info.run_name == "theirs"
    assert run.data.metrics.items() >= {"number": 1.5, "own_first": 1, "own_second": 3}.items()


@pytest.mark.strays("the run that is joined is in an experiment that MLflow made")
def test_a_run_that_is_joined_twice_says_once_which_parameter_it_cannot_change(
    project: Project,
) -> None:
    small(project, TWO_NODES)
    started = project.client.create_run("0").info.run_id
    variables = {"MLFLOW_RUN_ID": started}
    assert "change its parameters" not in project.kedro("run", env=variables).stdout
    screen = project.kedro("run", "--params", "alpha=0.7", env=variables).stdout
    assert " ".join(screen.split()).count("keeps alpha = 0.5 (this time 0.7).") == 1
    (run,) = project.runs()
    assert run.data.params == {"alpha": "0.5"}
    assert (run.data.metrics["one/score"], run.data.metrics["two/score"]) == (0.7, 1.4)
    history = project.client.get_metric_history(started, "one/score")
    assert [metric.value for metric in history] == [0.5, 0.7]


def test_a_notebook_finds_mlflow_yml_on_the_context_and_loads_no_mlflow(project: Project) -> None:
    source = """
    context = KedroSession.create(Path.cwd()).load_context()
    config = context.mlflow
    assert config is context.mlflow
    found = [config.server.mlflow_tracking_uri, config.tracking.experiment.name]
    print(json.dumps([*found, "mlflow" in sys.modules]))
    """
    uri = f"sqlite:///{project.folder}/mlflow.db"
    project.write("script.py", SESSION + dedent(source))
    (found,) = project.run("python", "script.py").stdout.splitlines()[-1:]
    assert json.loads(found) == [uri, PACKAGE, False]


def test_a_context_is_made_whatever_is_wrong_with_mlflow_yml(project: Project) -> None:
    project.write("conf/base/mlflow.yml", "servr: {}\n")
    project.kedro("catalog", "describe-datasets")


ACCESS = """\
import os
from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider
from mlflow.tracking.request_header.registry import resolve_request_headers
from kedro.pipeline import Pipeline, node

class Token(RequestHeaderProvider):
    def __init__(self, prefix, kedro_context):
        self.token = prefix + kedro_context.project_path.name

    def in_context(self):
        return True

    def request_headers(self):
        return {"X-Token": self.token}

def look():
    assert os.environ["TOKEN_FOR_TEST"] == "CANARY-1"
    assert os.environ["TOKEN_THAT_IS_SET"] == "mine"
    assert resolve_request_headers()["X-Token"] == "Bearer project"
    return 1

PIPELINES = {"__default__": Pipeline([node(look, None, "looked")])}
"""

ACCESS_CONFIG = f"""\
server:
  mlflow_tracking_uri: sqlite:///mlflow.db
  credentials: tracking
  request_header_provider:
    type: {PACKAGE}.pipelines.small.Token
    pass_context: true
    init_kwargs: {{prefix: "Bearer "}}
"""


def test_credentials_and_headers_are_there_for_the_run_and_gone_after_it(project: Project) -> None:
    small(project, ACCESS)
    project.write("conf/base/mlflow.yml", ACCESS_CONFIG)
    project.write(
        "conf/local/credentials.yml",
        "tracking: {TOKEN_FOR_TEST: CANARY-1, TOKEN_THAT_IS_SET: CANARY-2}\n",
    )
    source = """
    from mlflow.tracking.request_header.registry import resolve_request_headers
    before = state(), resolve_request_headers()
    run()
    run()
    assert before == (state(), resolve_request_headers())
    """
    script(project, STATE + dedent(source) + "print()", env={"TOKEN_THAT_IS_SET": "mine"})
    assert [run.data.metrics["looked"] for run in project.runs()] == [1, 1]
    for path in (project.folder / ".kedro_mlflow").rglob("*"):
        assert path.is_dir() or b"CANARY" not in path.read_bytes()


def test_wrong_access_is_refused_in_a_line(project: Project) -> None:
    small(project, ACCESS)
    project.write("conf/local/credentials.yml", "tracking: {TOKEN_FOR_TEST: CANARY-1}\n")
    wrong = [
        ("small.Token", "small.Tokn", ["request_header_provider.type", "Tokn"]),
        ("small.Token", "small.Pipeline", ["request_header_provider", "RequestHeaderProvider"]),
        ("prefix:", "prefx:", ["init_kwargs", "prefx"]),
        ("credentials: tracking", "credentials: trackin", ["server.credentials", "'trackin'"]),
    ]
    configs = [ACCESS_CONFIG.replace(old, new) for old, new, _ in wrong]
    ended = each_of(project, [({"conf/base/mlflow.yml": config}, "run") for config in configs])
    for (_, _, named), (code, screen) in zip(wrong, ended, strict=True):
        assert code == 1
        assert [word for word in ("Traceback", "CANARY") if word in screen] == []
        assert [word for word in named if word not in screen] == []


def test_sessions_one_after_the_other_and_at_once_have_runs_of_their_own(project: Project) -> None:
    small(project, TWO_NODES)
    source = """
    from concurrent.futures import ThreadPoolExecutor

    for alpha in (1, 2):
        with KedroSession.create(Path.cwd(), runtime_params={"alpha": alpha}) as session:
            session.run()
    service = KedroServiceSession.create(project_path=Path.cwd(), serving_mode=True)
    with ThreadPoolExecutor() as pool:
        alphas = {str(alpha): {"alpha": alpha} for alpha in (3, 4)}
        list(pool.map(lambda name: service.run(run_id=name, runtime_params=alphas[name]), alphas))
        beside = [{"alpha": alpha} for alpha in range(5, 13)]  # Some in one millisecond.
        list(pool.map(lambda params: service.run(runtime_params=params), beside))
    print()
    """
    script(project, source)
    runs = project.runs()
    assert {run.info.status for run in runs} == {"FINISHED"}
    found = sorted(
        (
            int(run.data.params["alpha"]),
            run.data.metrics["one/score"],
            run.data.metrics["two/score"],
        )
        for run in runs
    )
    assert found == [(alpha, alpha, 2 * alpha) for alpha in range(1, 13)]


def test_the_ways_to_choose_nodes_keep_what_ran(project: Project) -> None:
    small(project, TWO_NODES)
    entry = "{name}:\n  type: json.JSONDataset\n  filepath: data/{name}.json\n"
    project.write("conf/base/catalog.yml", entry.format(name="one") + entry.format(name="two"))
    project.kedro("run", "--async", "--pipelines", "a,b")
    (project.folder / "data/two.json").unlink()
    project.kedro("run", "--only-missing-outputs")
    missing, both = project.runs()
    assert set(str(both.info.run_name).split(", ")) == {"a", "b"}
    assert (both.data.metrics["one/score"], both.data.metrics["two/score"]) == (0.5, 1.0)
    assert "one/score" not in missing.data.metrics
    assert missing.data.metrics["two/score"] == 1.0
