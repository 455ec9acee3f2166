"""Many runs at once against the team's server: all complete, every value there."""

from __future__ import annotations

import pytest

from tests.support.profiles import examples
from tests.support.project import Project
from tests.support.servers import TrackingServer
from tests.support.tiny import SESSION, journals, runs, tiny

PROCESSES, RUNS_EACH = examples(2, weekly=4), examples(3, weekly=5)

PIPELINES = """\
from kedro.pipeline import Pipeline, node

def make(number):
    def measure(alpha):
        return {f"m{value}": alpha * value for value in range(20)} | {"steps": [alpha] * 50}

    return node(measure, "params:alpha", f"n{number}", name=f"n{number}")

PIPELINES = {"__default__": Pipeline([make(number) for number in range(5)])}
"""

# As many whole processes would spend two cores on importing MLflow: a few of them run several each.
TOGETHER = (
    SESSION
    + f"""
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

first = int(sys.argv[1])
service = KedroServiceSession.create(project_path=Path.cwd(), serving_mode=True)
load, lock = service.load_context, Lock()

def load_alone(*arguments):
    # Kedro removes and registers the resolver `oc.env` for each run: two at once fail.
    with lock:
        return load(*arguments)

service.load_context = load_alone

def run(alpha):
    service.run(run_id=f"run-{{alpha}}", runtime_params={{"alpha": alpha}})

with ThreadPoolExecutor({RUNS_EACH}) as pool:
    list(pool.map(run, range(first, first + {RUNS_EACH})))
"""
)


@pytest.mark.usefixtures("as_admin")
def test_many_runs_at_once_are_complete(project: Project, team_server: TrackingServer) -> None:
    tiny(project, "twenty", PIPELINES)
    project.write("together.py", TOGETHER)
    login = team_server.login()
    started = [
        project.fork("python", "together.py", str(number * RUNS_EACH), env=login)
        for number in range(PROCESSES)
    ]
    for process in started:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err
    if journals(project):  # The server was too busy for a run's end.
        project.kedro("mlflow", "sync", env=login)
    found = {run.data.params["alpha"]: run for run in runs(team_server.client, "twenty")}
    assert sorted(found, key=int) == [str(alpha) for alpha in range(PROCESSES * RUNS_EACH)]
    for alpha, run in found.items():
        assert run.info.status == "FINISHED"
        for node in range(5):
            for value in range(20):
                assert run.data.metrics[f"n{node}/m{value}"] == int(alpha) * value
        history = team_server.client.get_metric_history(run.info.run_id, "n4/steps")
        assert [(point.step, point.value) for point in history] == [
            (step, float(alpha)) for step in range(50)
        ]
        record = team_server.client.list_artifacts(run.info.run_id, "kedro")
        assert [file.path for file in record] == ["kedro/run.json"]
