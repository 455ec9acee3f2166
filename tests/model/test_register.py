"""What only a run's end can show costs no training: the model is kept, and registered later."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from tests.support.little import little, predicted
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.proxy import Proxy, Request
from tests.support.tiny import runs, said

TRAINING, INFERENCE = (
    f"src/{PACKAGE}/pipelines/{name}/pipeline.py" for name in ("training", "inference")
)
REGISTER = "uv run kedro mlflow register"
# An estimator of the owner's own, which skops does not know.
OWN_ESTIMATOR = """\
from sklearn.base import BaseEstimator

class Mean(BaseEstimator):
    def __init__(self, mean=0.0):
        self.mean = mean

    def __getitem__(self, name):
        return self.mean
"""


def screen_of(project: Project, *arguments: str, code: int = 0) -> str:
    """Run Kedro, and return what it has printed; a traceback is no sentence."""
    result = project.kedro(*arguments, code=code)
    screen = said(result.stdout + result.stderr)
    assert "Traceback" not in screen
    return screen


def does_not_predict(project: Project) -> Callable[[], None]:
    project.edit(INFERENCE, 'instances["x"]', 'instances["y"]')
    return lambda: project.edit(INFERENCE, 'instances["y"]', 'instances["x"]')


def is_not_trusted(project: Project) -> Callable[[], None]:
    project.write(f"src/{PACKAGE}/estimators.py", OWN_ESTIMATOR)
    project.edit(TRAINING, 'return {"mean": float(patients["y"].mean())}', "return own(patients)")
    source = (project.folder / TRAINING).read_text("utf-8")
    own = 'def own(patients):\n    return Mean(float(patients["y"].mean()))\n'
    project.write(TRAINING, f"from ...estimators import Mean\n{source}\n{own}")
    entry = f"{{type: {PACKAGE}.mlops.SkopsDataset, filepath: data/state.skops}}"
    old = "{type: json.JSONDataset, filepath: data/state.json}"
    project.edit("conf/base/catalog.yml", old, entry)
    trusting = entry.replace("}", f", trusted: [{PACKAGE}.estimators.Mean]}}")
    return lambda: project.edit("conf/base/catalog.yml", entry, trusting)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(does_not_predict, "KeyError: 'y'. ", marks=weekly),
        (
            is_not_trusted,
            f"skops does not trust every type in state.skops: {PACKAGE}.estimators.Mean. If you "
            f"know where the object comes from, add `trusted: [{PACKAGE}.estimators.Mean]` to its "
            "entry in catalog.yml. ",
        ),
    ],
)
def test_the_run_is_finished_and_its_model_is_registered_once_the_cause_is_fixed(
    project: Project, spoil: Callable[[Project], Callable[[], None]], reason: str
) -> None:
    fix = spoil(little(project, mean=2.0))
    screen = screen_of(project, "run")
    sentence = f"This run registers no version of '{PACKAGE}': {reason}"
    assert sentence in screen, screen
    (run,) = project.runs()
    run_id = run.data.tags["kedro.run_id"]
    kept = f"What it has fitted is kept: once this is fixed, `{REGISTER} {run_id}` registers it."
    assert f"{sentence}{kept}" in screen
    assert run.info.status == "FINISHED"
    assert run.data.tags["model.registered"] == f"no: {reason.rstrip('. ')}"
    assert run.data.metrics["evaluation/rmse"] == 1.0
    trace = project.folder / ".kedro_mlflow/unregistered" / run_id / "reason.txt"
    assert "Traceback (most recent call last)" in trace.read_text("utf-8")
    assert f"{run_id}: its model is not registered (" in screen_of(project, "mlflow", "sync")
    # It cannot be registered yet.
    screen = screen_of(project, "mlflow", "register", run.info.run_id, code=1)
    assert f"The model of the run {run_id} cannot be registered: {reason}".rstrip() in screen
    fix()
    screen = screen_of(project, "mlflow", "register", "latest")
    assert f"Registered {PACKAGE} version 1 (champion), of the run {run.info.run_id}." in screen
    screen_of(project, "run", "--pipelines", "inference")
    assert [float(line.split(",")[0]) for line in predicted(project)] == [12.0, 22.0]


def test_it_is_the_model_of_that_run_whatever_has_run_since(project: Project) -> None:
    fix = does_not_predict(little(project, mean=2.0))
    screen_of(project, "run")
    (first,) = project.runs()
    project.write("data/patients.csv", "x,y\n1.0,99.0\n2.0,101.0\n")
    screen_of(project, "run")
    second, _ = project.runs()
    fix()
    screen = screen_of(project, "mlflow", "register", first.data.tags["kedro.run_id"])
    assert f"Registered {PACKAGE} version 1 (champion), of the run {first.info.run_id}." in screen
    screen = screen_of(project, "mlflow", "register", "latest")
    assert f"Registered {PACKAGE} version 2 (challenger), of the run {second.info.run_id}" in screen
    assert screen_of(project, "mlflow", "register", "latest") == "No model waits to be registered."
    screen = screen_of(project, "mlflow", "register", "nobody", code=1)
    assert "No model of a run 'nobody' waits to be registered (those that wait: none)." in screen
    client = project.client
    for version, run in (("1", first), ("2", second)):
        made = client.get_model_version(PACKAGE, version)
        assert made.run_id == run.info.run_id
        assert f"| Kedro run | {run.data.tags['kedro.run_id']} |" in (made.description or "")
        (model,) = client.search_logged_models(
            [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
        )
        assert {each.key: each.value for each in model.metrics or ()} == {"evaluation/rmse": 1.0}
        again = client.get_run(run.info.run_id)
        assert again.info.end_time == run.info.end_time
        assert again.data.tags["model.registered"] == "yes, by `kedro mlflow register`"
        assert again.data.metrics == run.data.metrics
        project.kedro("run", "--pipelines", "inference", "--params", f"model_version={version}")
        mean = 2.0 if version == "1" else 100.0
        assert [float(line.split(",")[0]) for line in predicted(project)] == [10 + mean, 20 + mean]
    assert not (project.folder / ".kedro_mlflow/registering").exists() or not list(
        (project.folder / ".kedro_mlflow/registering").iterdir()
    )


def test_a_version_that_the_registry_refuses_is_registered_later(
    project: Project, proxy: Proxy, server: str
) -> None:
    name = "refused_by_the_registry"
    little(project)
    config = (project.folder / "conf/base/mlflow.yml").read_text("utf-8")
    config = config.replace("sqlite:///mlflow.db", proxy.url).replace(
        f"name: {PACKAGE}", f"name: {name}"
    )
    project.write("conf/base/mlflow.yml", config)

    def refuse(asked: Request) -> int | None:
        return 403 if "model-versions/create" in asked.path else None

    proxy.guard = refuse
    screen = screen_of(project, "run")
    (run,) = runs(MlflowClient(server), name)
    run_id = run.data.tags["kedro.run_id"]
    assert run.info.status == "FINISHED"
    assert "refuses the model" in screen
    assert f"`uv run kedro mlflow register {run_id}` tries again" in screen
    proxy.guard = lambda _: None
    screen = screen_of(project, "mlflow", "register", run.info.run_id)
    assert f"Registered {name} version 1 (champion), of the run {run.info.run_id}." in screen
    # A run that MLflow has not got yet is delivered first.
    fix = does_not_predict(project)
    proxy.guard = lambda _: 503
    assert "registers no version" in screen_of(project, "run")
    fix()
    assert "does not have the run" in screen_of(project, "mlflow", "register", "latest", code=1)
    proxy.guard = lambda _: None
    assert f"Registered {name} version 2" in screen_of(project, "mlflow", "register", "latest")
