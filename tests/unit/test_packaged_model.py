"""A packaged pipeline: what is in it, that it predicts, is scored and is served the same."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import re
import shutil
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner

from tests.support.profiles import IS_WEEKLY
from tests.support.rooms import Rooms
from tests.support.tracked import RUN_PARAMS, config_of, runs_of, started, work

MODEL = {"name": "one.two.sales", "pipeline": "inference", "input": "rows"}


def fit(rows: pd.DataFrame) -> dict[str, float]:
    return {"factor": float(rows["x"].max())}


def predict(rows: pd.DataFrame, state: dict[str, float], shift: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"y": rows["x"] * state["factor"] + shift["by"]})


INFERENCE = Pipeline([node(predict, ["rows", "state", "params:shift"], "predictions")])
TRAINING = Pipeline([node(fit, "table", "state", name="fit")])
ROWS = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]})


@pytest.fixture(scope="module", autouse=True)
def registry(mlops: Rooms) -> Iterator[None]:
    """The pipelines of the project, and what it requires."""
    pipelines = {"inference": INFERENCE, "training": TRAINING, "__default__": TRAINING}
    requires = ["pandas>=2", "numpy>=99; python_version < '3'", "pytest; extra == 'dev'"]
    requires += ["uvicorn[standard]>=0.1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlops("project"), "registered_pipelines", lambda *_: pipelines)
        distribution = SimpleNamespace(requires=requires)
        patch.setattr(mlops("model.packaging"), "_distribution", lambda: distribution)
        yield


def catalog_in(folder: Path) -> DataCatalog:
    """A catalog with the rows to score, what training has fitted, and a parameter."""
    state = {"type": "pickle.PickleDataset", "filepath": str(folder / "state.pkl")}
    rows = {"type": "pandas.CSVDataset", "filepath": str(folder / "rows.csv")}
    catalog = DataCatalog.from_config({"state": state, "rows": rows})
    ROWS.to_csv(folder / "rows.csv", index=False)
    catalog["state"].save({"factor": 10.0})
    catalog["params:shift"] = MemoryDataset({"by": 0.5})
    catalog["table"] = MemoryDataset(ROWS)
    return catalog


def options_of(mlops: Rooms, **changed: Any) -> Any:
    return mlops("config").ModelOptions(**MODEL | changed)


@pytest.fixture(scope="module")
def packaged(mlops: Rooms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged_in(tmp_path_factory.mktemp("packaged"), mlops)


def packaged_in(folder: Path, mlops: Rooms) -> Path:
    catalog = catalog_in(folder)
    with pytest.MonkeyPatch.context() as patch:
        (folder / "uv.lock").write_text("# CANARY", encoding="utf-8")
        patch.chdir(folder)
        mlops("model.packaging").package(options_of(mlops), catalog, folder / "model")
    (folder / "state.pkl").unlink()
    assert sorted(path.name for path in folder.iterdir()) == ["model", "rows.csv", "uv.lock"]
    return folder / "model"


def test_it_predicts_what_was_trained_with_files_of_its_own(packaged: Path) -> None:
    model = mlflow.pyfunc.load_model(str(packaged))
    assert model.predict(ROWS)["y"].tolist() == [value * 10 + 0.5 for value in ROWS["x"]]
    assert model.metadata.get_input_schema().input_names() == ["x"]
    assert model.metadata.get_output_schema().input_names() == ["y"]


def test_it_holds_code_requirements_and_an_example_and_nothing_of_the_machine(
    mlops: Rooms, tmp_path: Path
) -> None:
    package = mlops("project").PACKAGE
    packaged = packaged_in(tmp_path, mlops)  # Python writes bytecode where a model is loaded
    files = {path.relative_to(packaged).as_posix() for path in packaged.rglob("*")}
    assert {f"code/{package}/mlops/model/plan.py", "artifacts/state.pkl"} <= files
    assert f"code/{package}/mlops/hook.py" not in files
    assert not [name for name in files if "lock" in name or "__pycache__" in name]
    requirements = (packaged / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==")[0] for line in requirements]
    assert pins == ["mlflow", "pandas", "uvicorn[standard]"]
    example = json.loads((packaged / "input_example.json").read_text(encoding="utf-8"))
    assert example["columns"] == ["x"]
    assert len(example["data"]) == 1
    config = mlflow.models.Model.load(packaged).flavors["python_function"]["config"]
    entry = config["datasets"].pop("state")
    assert entry.pop("type").endswith("PickleDataset")
    assert "filepath" not in entry
    kind = config["input_entry"].pop("type")
    assert kind.endswith("CSVDataset")
    assert list(config.pop("nodes")) == [node.name for node in INFERENCE.nodes]
    assert config == {
        "package": package,
        "pipeline": "inference",
        "input": "rows",
        "output": "predictions",
        "datasets": {},
        "parameters": {"shift": {"by": 0.5}},
        "validator": None,
        "lookups": [],
        "input_entry": {"load_args": {}},
        "modules": [],
    }


def test_rows_that_its_validator_refuses_are_the_callers_to_fix(
    mlops: Rooms, packaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro.validation import DataValidationError
    from mlflow.exceptions import MlflowException

    def refuse(self: Any, rows: Any) -> None:
        raise DataValidationError("no such rows")

    model = mlflow.pyfunc.load_model(str(packaged))
    monkeypatch.setattr(mlops("model.plan").InferencePlan, "predict", refuse)
    with pytest.raises(MlflowException, match="no such rows") as refused:
        model.predict(ROWS)
    assert refused.value.get_http_status_code() == 400


def test_it_is_served_without_mlflows_own_checks(mlops: Rooms, packaged: Path) -> None:
    model = mlops("serving.model").Model.load(packaged, "sales", "3", 10)
    prediction, rows = model.predict({"x": [1.0, 2.0]})
    assert (prediction["y"].tolist(), rows) == ([10.5, 20.5], 2)
    assert [(one.name, one.type) for one in model.schema.columns] == [("x", "double")]
    assert [(one["name"], one["type"]) for one in model.outputs] == [("y", "double")]
    assert type(model._predict.__self__).__name__ == "InferencePlan"
    sys.path.remove(str(packaged / "code"))


# A model of another kind.
SUM = """
import mlflow
class Sum(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input < 0).any(axis=None):
            raise ValueError("below zero")
        return model_input.sum(axis=1)
mlflow.models.set_model(Sum())
"""


def sum_model(folder: Path, example: pd.DataFrame, sign: bool = True) -> Path:
    signature = mlflow.models.infer_signature(example, pd.Series([3.0])) if sign else None
    code = folder.with_suffix(".py")
    code.write_text(SUM, encoding="utf-8")
    mlflow.pyfunc.save_model(str(folder), python_model=str(code), pip_requirements=[])
    model = mlflow.models.Model.load(folder)
    model.signature = signature
    content = {"columns": list(example), "data": example.to_numpy().tolist()}
    (folder / "example.json").write_text(json.dumps(content), encoding="utf-8")
    model.saved_input_example_info = {
        "type": "dataframe",
        "pandas_orient": "split",
        "artifact_path": "example.json",
    }
    model.save(folder / "MLmodel")
    return folder


def test_every_other_model_is_served_as_mlflow_predicts(mlops: Rooms, tmp_path: Path) -> None:
    load = mlops("serving.model").Model.load
    model = load(sum_model(tmp_path / "a", pd.DataFrame({"a": [1.0], "b": [2.0]})), "m", "1", 10)
    assert model.predict({"a": [1, 2], "b": [1, 1]})[0].tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match="below zero"):
        load(sum_model(tmp_path / "b", pd.DataFrame({"a": [-1.0]})), "m", "1", 10)
    with pytest.raises(ValueError, match="its signature has neither named columns"):
        load(sum_model(tmp_path / "c", pd.DataFrame({"a": [1.0]}), sign=False), "m", "1", 10)


@pytest.mark.parametrize("name", ["50%20off a#%25?b&c=d", "a%23", "my  model ", "it's Übung 😀"])
def test_one_in_a_folder_of_any_name_is_served_too(mlops: Rooms, tmp_path: Path, name: str) -> None:
    model = sum_model(tmp_path / "a", pd.DataFrame({"a": [1.0]}))
    (tmp_path / name).mkdir()
    folder = model.rename(tmp_path / name / "model")
    served = mlops("serving.model").Model.load(folder, "m", "1", 10)
    assert served.predict({"a": [1, 2]})[0].tolist() == [1.0, 2.0]


def test_another_model_of_an_array_is_served_too(mlops: Rooms, tmp_path: Path) -> None:
    folder = sum_model(tmp_path / "a", pd.DataFrame({"a": [1.0]}))
    saved = mlflow.models.Model.load(folder)
    saved.signature = mlflow.models.infer_signature(np.array([[1.0, 2.0]]))
    vars(saved)["saved_input_example_info"] = None
    saved.save(folder / "MLmodel")
    model = mlops("serving.model").Model.load(folder, "m", "1", 10)
    assert model.predict([[1, 2], [1, 1]])[0].tolist() == [3.0, 2.0]
    with pytest.raises(mlops("serving.app").RefusalError, match=r"the shape \[n, 2\], not of"):
        model.predict([[1]])


def test_code_that_somebody_has_changed_is_mlflows_to_run(
    mlops: Rooms, packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    flavor = mlflow.models.Model.load(packaged).flavors["python_function"]
    plan_of = mlops("model.predict").plan_of
    assert plan_of(packaged, flavor)
    changed = shutil.copytree(packaged, tmp_path / "changed")
    (changed / "pyfunc_code.py").write_text("# other code", encoding="utf-8")
    assert plan_of(changed, flavor) is None
    (changed / "pyfunc_code.py").unlink()
    assert plan_of(changed, flavor) is None


def test_a_worker_of_the_servers_serves_it(
    mlops: Rooms, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = mlops("serving.server")
    files = sum_model(tmp_path / "a", pd.DataFrame({"a": [1.0], "b": [2.0]}))
    answers: list[Any] = []

    def ask(url: str, token: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{url}/invocations", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answers.append((response.headers["x-model-version"], response.read()))
        except urllib.error.HTTPError as error:
            answers.append(error.code)

    async def main() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"

            async def meanwhile() -> None:
                try:
                    for token, body in (
                        ("t", b'{"inputs": {"a": [1], "b": [2]}}'),
                        ("x", b"{}"),
                        ("t", b" " * 101),
                        ("t", b'{"inputs": {"a": [1, 2, 3], "b": [1, 2, 3]}}'),
                    ):
                        await server.in_thread(partial(ask, url, token, body))
                finally:
                    signal.raise_signal(signal.SIGTERM)

            supervisor = server.Supervisor(listener, 1)
            limits = mlops("config").KedroMlflowConfig.model_validate(
                {"serving": {"max_megabytes": 0.0001, "max_rows": 2}}
            )
            settings = {"token": "t", "environment": {}, **limits.serving.model_dump()}
            worker = supervisor.start_worker()
            version = server.ServedVersion("sales", "3", files)
            await supervisor.serve(version, worker, settings, "Serving.", meanwhile)
            assert await worker.ended == 0

    before = [(each, signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT)]
    try:
        asyncio.run(main())
    finally:
        for each, handler in before:
            signal.signal(each, handler)
    (number, content), *refused = answers
    assert (number, json.loads(content)["predictions"]) == ("3", [{"0": 3.0}])
    assert refused == [401, 413, 413]
    assert "Traceback" not in capfd.readouterr().err


# --- from a training run, into a scoring one ---


@pytest.mark.parametrize(
    ("fits", "alias", "given"),
    [
        (True, "challenger", "champion"),
        # A request's is not the champion, not even as the first version of all.
        (True, "pull_request_7", "pull_request_7"),
        (False, "challenger", ""),
    ],
)
def test_a_run_that_fits_all_of_it_adds_the_model(
    mlops: Rooms, tmp_path: Path, database: str, fits: bool, alias: str, given: str
) -> None:
    catalog = catalog_in(tmp_path)
    config = config_of(mlops, tmp_path, database, model=MODEL | {"alias": alias})
    listeners = [mlops("model.packaging").Packaging(config.model)]
    listeners.append(mlops("registry.versions").Registration(config))
    pipeline = TRAINING if fits else Pipeline([node(fit, "table", "other", name="fit")])
    (tmp_path / "state.pkl").rename(tmp_path / "kept.pkl")
    run = started(mlops, tmp_path, config, pipeline, listeners, catalog)
    (tmp_path / "kept.pkl").rename(tmp_path / "state.pkl")
    work(run, pipeline.nodes[0], {}, {pipeline.nodes[0].outputs[0]: 1})
    run.complete(catalog)
    run.finish("FINISHED")
    (found,) = runs_of(database)
    client = mlflow.MlflowClient(database)
    models = client.search_logged_models([found.info.experiment_id])
    versions = client.search_model_versions(f"run_id = '{found.info.run_id}'")
    if not fits:
        assert (list(models), list(versions)) == ([], [])
        return
    (model,), (version,) = models, versions
    assert (model.name, str(model.status)) == ("sales", "READY")
    assert version.name == "one.two.sales"
    assert list(client.get_registered_model(version.name).aliases) == [given]
    assert str(version.description).startswith("# Model card: one.two.sales")
    assert found.outputs
    assert [each.model_id for each in found.outputs.model_outputs] == [model.model_id]
    assert Path(model.artifact_location.removeprefix("file://"), "MODEL_CARD.md").is_file()


def test_a_run_that_is_to_register_says_so_from_the_start(mlops: Rooms, tmp_path: Path) -> None:
    given = {"project_path": str(tmp_path)}
    packaging = mlops("model.packaging").Packaging(options_of(mlops))
    for pipeline, registers in (
        (TRAINING, "one.two.sales"),
        (TRAINING + INFERENCE, "one.two.sales"),
        (INFERENCE, None),
    ):
        start = mlops("tracking").RunStart(given, ["x"], pipeline, DataCatalog())
        start.is_tracked = False  # Else it is asked whether it can.
        packaging.run_starts(start)
        assert start.registers == registers


REFUSED_OPTIONS = [
    ({"pipeline": "infer"}, r"model.pipeline names the pipeline 'infer', .* \(it has: inference,"),
    ({"input": "row"}, r"names the data set 'row', .*does not read \(it reads: rows, state\)"),
    ({"input": "params:shift"}, "which the pipeline 'inference' does not read"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED_OPTIONS, ids=range(len(REFUSED_OPTIONS)))
def test_a_model_that_mlflow_yml_names_wrongly_is_refused(
    mlops: Rooms, changed: dict[str, str], message: str
) -> None:
    with pytest.raises(mlops("errors").TrackingError, match=message):
        mlops("model.parts").fitted_inputs(options_of(mlops, **changed))


def test_a_pipeline_of_two_outputs_is_no_model(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = INFERENCE + Pipeline([node(fit, "rows", "more")])
    monkeypatch.setattr(mlops("project"), "registered_pipelines", lambda *_: {"inference": two})
    with pytest.raises(mlops("errors").TrackingError, match=r"outputs more, predictions; a model"):
        mlops("model.parts").fitted_inputs(options_of(mlops))


def test_a_secret_among_the_parameters_is_not_packaged(mlops: Rooms, tmp_path: Path) -> None:
    catalog = catalog_in(tmp_path)
    catalog["params:shift"] = MemoryDataset({"by": 1.0, "api_key": "CANARY"})
    with pytest.raises(mlops("errors").TrackingError, match="'shift' looks like a secret") as told:
        mlops("model.packaging").package(options_of(mlops), catalog, tmp_path / "model")
    assert "CANARY" not in told.value.message
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("returned", "problem"),
    [({"a": {"b": 1}}, "'a' holds objects"), (object(), "the class object has no form in JSON")],
    ids=["nested", "an object"],
)
def test_what_no_protocol_can_carry_is_refused(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returned: Any, problem: str
) -> None:
    pipeline = Pipeline([node(lambda rows, state, shift: returned, INFERENCE.nodes[0].inputs, "y")])
    monkeypatch.setattr(
        mlops("project"), "registered_pipelines", lambda *_: {"inference": pipeline}
    )
    message = f"What the model returns cannot be served: {problem}"
    with pytest.raises(mlops("errors").TrackingError, match=message):
        mlops("model.packaging").package(
            options_of(mlops), catalog_in(tmp_path), tmp_path / "model"
        )


def test_an_input_that_training_did_not_have_is_refused(mlops: Rooms, tmp_path: Path) -> None:
    tables = [mlops("model.inferred_schema").of_table(pd.DataFrame({"x": ["a text"]}))]
    with pytest.raises(
        mlops("errors").TrackingError, match=r"'rows' .* x must be a text \(data row"
    ):
        mlops("model.packaging").package(
            options_of(mlops), catalog_in(tmp_path), tmp_path / "model", (), tables
        )


def test_an_input_that_gives_no_rows_is_refused(mlops: Rooms, tmp_path: Path) -> None:
    catalog = catalog_in(tmp_path)
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(mlops("errors").TrackingError, match=r"'rows' .* has no file at"):
        mlops("model.packaging").package(options_of(mlops), catalog, tmp_path / "model")
    catalog["rows"] = MemoryDataset([1, 2])
    with pytest.raises(mlops("errors").TrackingError, match=r"is a builtins\.list"):
        mlops("model.packaging").package(options_of(mlops), catalog, tmp_path / "model")


@pytest.mark.parametrize(("traced", "columns"), [(True, 3), (False, 1)])
def test_a_scoring_run_reads_the_files_of_a_version(
    mlops: Rooms, packaged: Path, tmp_path: Path, traced: bool, columns: int
) -> None:
    catalog = catalog_in(tmp_path)
    catalog["state"].save({"factor": -1.0})
    output = {"type": "pandas.CSVDataset", "filepath": str(tmp_path / "out.csv")}
    catalog["predictions"] = DataCatalog.from_config({"o": output})["o"]
    version = SimpleNamespace(name="sales", version="4", run_id="r4", aliases=["champion", "x"])
    start = mlops("tracking").RunStart({}, ["inference"], INFERENCE, catalog)
    options = options_of(mlops, traced=traced)
    tags = mlops("model.batch").use_version(options, version, packaged, start)
    assert tags == {"model.name": "sales", "model.version": "4", "model.run_id": "r4"}
    assert catalog.load("state") == {"factor": 10.0}
    catalog.save("predictions", pd.DataFrame({"y": [1.0]}))
    saved = pd.read_csv(tmp_path / "out.csv")
    assert saved.shape == (1, columns)
    if traced:
        assert saved.loc[0].tolist() == [1.0, 4, "r4"]


def predicting(folder: Path) -> tuple[Any, SimpleNamespace, DataCatalog]:
    """A run of the inference pipeline, a version to score with, and the run's catalog."""
    catalog = catalog_in(folder)
    catalog["predictions"] = MemoryDataset()
    version = SimpleNamespace(name="sales", version="4", run_id="r4", aliases=[])
    return Pipeline(INFERENCE.nodes), version, catalog


def test_parameters_and_the_way_to_read_are_those_of_the_version(
    mlops: Rooms, packaged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline, version, _ = predicting(tmp_path)
    rows = {"type": "pandas.CSVDataset", "filepath": str(tmp_path / "rows.csv")}
    state = {"type": "pickle.PickleDataset", "filepath": str(tmp_path / "state.pkl")}
    entries: dict[str, Any] = {
        "rows": {**rows, "load_args": {"nrows": 1}, "validator": "no.such"},
        "state": state,
    }
    catalog = DataCatalog.from_config(entries)
    catalog["params:shift"] = MemoryDataset({"by": 9.5})
    start = mlops("tracking").RunStart({}, ["inference"], pipeline, catalog)
    with caplog.at_level(logging.INFO):
        mlops("model.batch").use_version(options_of(mlops), version, packaged, start)
    assert catalog.load("params:shift") == {"by": 0.5}
    pd.testing.assert_frame_equal(catalog.load("rows"), ROWS)
    assert "parameters shift.by (0.5, now 9.5); how rows is read. It predicts" in caplog.text
    assert [each.name for each in start.pipeline.nodes] == [INFERENCE.nodes[0].name]


def doubled(rows: Any) -> Any:
    """A validator."""
    return rows * 2


def test_the_entries_stay_what_they_are(mlops: Rooms, packaged: Path, tmp_path: Path) -> None:
    """Their classes on the screen, their validators, their places in the lineage."""
    check = f"{__name__}.doubled"
    entries: dict[str, dict[str, Any]] = {
        "rows": {"validator": check},
        "predictions": {"validator": {"class": check, "on": ["save"]}},
    }
    for name, entry in entries.items():
        entry |= {"type": "pandas.CSVDataset", "filepath": str(tmp_path / name)}
    state = {"type": "pickle.PickleDataset", "filepath": str(tmp_path / "state.pkl")}
    catalog = DataCatalog.from_config(entries | {"state": state})
    catalog["params:shift"] = MemoryDataset({"by": 0.5})
    ROWS.to_csv(tmp_path / "rows", index=False)
    validators, copy = catalog.validators, with_config(mlops, packaged, tmp_path, validator=check)
    start = mlops("tracking").RunStart({}, ["inference"], INFERENCE, catalog)
    version = SimpleNamespace(name="sales", version="4", run_id="r4", aliases=[])
    mlops("model.batch").use_version(options_of(mlops), version, copy, start)
    assert catalog.validators == validators
    assert {type(catalog[name]).__name__ for name in entries} == {"CSVDataset"}
    assert catalog.load("rows")["x"].tolist() == [x * 2 for x in ROWS["x"]]
    catalog.save("predictions", pd.DataFrame({"y": [1.0]}))
    saved = catalog.load("predictions")
    assert saved.to_dict("records") == [{"y": 2.0, "model_version": 4, "model_run_id": "r4"}]


def with_config(mlops: Rooms, packaged: Path, folder: Path, **changed: Any) -> Path:
    """A copy of a packaged model with another configuration; None takes a key away."""
    copy = shutil.copytree(packaged, folder / "changed")
    model = mlflow.models.Model.load(copy)
    config = {**model.flavors["python_function"]["config"], **changed}
    kept = {name: config[name] for name in config if name not in changed or changed[name]}
    model.flavors["python_function"]["config"] = kept
    model.save(copy / "MLmodel")
    return Path(copy)


@pytest.mark.parametrize("path", ["../../x.pkl", "{}/x.pkl", "artifacts/../../x.pkl"])
def test_a_file_of_a_version_is_a_file_of_the_version(
    mlops: Rooms, packaged: Path, tmp_path: Path, path: str
) -> None:
    copy = Path(shutil.copytree(packaged, tmp_path / "changed"))
    (tmp_path / "x.pkl").touch()
    model = mlflow.models.Model.load(copy)
    for part in ("state", "code"):
        flavor = model.flavors["python_function"]
        changed = {**flavor, "code": path.format(tmp_path)}
        if part == "state":
            artifacts = flavor["artifacts"] | {"state": {"path": path.format(tmp_path), "uri": ""}}
            changed = {**flavor, "artifacts": artifacts}
        (copy / "MLmodel").unlink()
        mlflow.models.Model(flavors={"python_function": changed}).save(copy / "MLmodel")
        pipeline, version, catalog = predicting(tmp_path)
        start = mlops("tracking").RunStart({}, ["inference"], pipeline, catalog)
        with pytest.raises(mlops("errors").TrackingError, match="names a file that is not in it"):
            mlops("model.batch").use_version(options_of(mlops), version, copy, start)


def test_a_version_of_an_older_template_says_less_and_predicts(
    mlops: Rooms, packaged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = dict.fromkeys(("lookups", "input_entry", "nodes", "modules"))
    old = with_config(mlops, packaged, tmp_path, **new)
    pipeline, version, catalog = predicting(tmp_path)
    start = mlops("tracking").RunStart({}, ["inference"], pipeline, catalog)
    with caplog.at_level(logging.INFO):
        mlops("model.batch").use_version(options_of(mlops), version, old, start)
    assert catalog.load("state") == {"factor": 10.0}
    assert "has changed" not in caplog.text
    assert mlflow.pyfunc.load_model(str(old)).predict(ROWS)["y"].tolist()[0] == 10.5
    prediction, _ = mlops("serving.model").Model.load(old, "sales", "3", 10).predict({"x": [1.0]})
    assert prediction["y"].tolist() == [10.5]
    sys.path.remove(str(old / "code"))


def test_other_code_predicts_in_one_node_and_a_process_of_its_own(
    mlops: Rooms, packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = mlops("model.batch")
    asked: list[Any] = []

    def predictions_of(folders: Any, rows: Any, all_columns: bool, environment: Any) -> list[Any]:
        asked.append((folders, list(rows["x"]), all_columns))
        return [rows.assign(y=1.0)]

    monkeypatch.setattr(batch, "predictions_of", predictions_of)
    other = with_config(mlops, packaged, tmp_path, nodes={"another": "digest"})
    pipeline, version, catalog = predicting(tmp_path)
    start = mlops("tracking").RunStart({}, ["inference"], pipeline, catalog)
    batch.use_version(options_of(mlops), version, other, start)
    (node,) = pipeline.nodes
    assert (node.name, node.inputs) == ("predict_with_version_4", ["rows", "params:shift"])
    SequentialRunner().run(pipeline, catalog)
    assert asked == [([other], list(ROWS["x"]), True)]
    assert set(catalog.load("predictions")["model_version"]) == {4}
    pickle.loads(pickle.dumps(node))  # For the workers of a ParallelRunner.
    start = mlops("tracking").RunStart({}, ["inference"], Pipeline([]), catalog)
    with pytest.raises(mlops("errors").TrackingError, match="so a part of 'inference' cannot run"):
        batch.use_version(options_of(mlops), version, other, start)


def test_rows_that_a_version_refuses_in_its_own_process_are_refused_as_here(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro.validation import DataValidationError

    batch, error = mlops("model.batch"), mlops("errors").TrackingError
    for cause, raised in (
        (DataValidationError("no such rows"), DataValidationError),
        (None, error),
    ):
        failure = error("It does not predict.")
        failure.__cause__ = cause

        def fail(*_: Any, _failure: Any = failure, **__: Any) -> None:
            raise _failure

        monkeypatch.setattr(batch, "predictions_of", fail)
        said = "for dataset 'rows'\nno such rows" if cause else "does not predict"
        with pytest.raises(raised, match=said):
            batch.OwnProcess(Path("model"), "4", "rows")(ROWS)


def test_a_model_is_not_loaded_beside_other_code_of_the_same_name(
    mlops: Rooms, packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = with_config(mlops, packaged, tmp_path, modules=["rules.py", "shop/__init__.py", "a.so"])
    for name, content in (("rules.py", "x = 1"), ("shop/__init__.py", "")):
        for place in (copy / "code", tmp_path):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(f"# {place}\n{content}", encoding="utf-8")
    for name, file in (("rules", "rules.py"), ("shop", "shop/__init__.py")):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__=str(tmp_path / file)))
    mlflow.pyfunc.load_model(str(copy))
    (tmp_path / "rules.py").write_text("x = 2", encoding="utf-8")
    with pytest.raises(
        mlflow.MlflowException, match=r"'rules' is imported already, from .*rules\.py"
    ):
        mlflow.pyfunc.load_model(str(copy))


def test_a_project_may_be_reloaded_after_its_model(
    mlops: Rooms, packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ("late.py", "late_package/__init__.py", "late_package/rules.py", "bare/late.py")
    copy = with_config(mlops, packaged, tmp_path, modules=[*files, "gone.py"])
    for name in files:
        for place in (copy / "code", tmp_path / "src"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    before = list(sys.path)
    mlflow.pyfunc.load_model(str(copy))
    assert sys.path == [*before, str(copy / "code")]
    for name in ("late", "late_package", "late_package.rules", "bare.late"):
        assert str(import_module(name).__file__).startswith(str(copy / "code"))
    for name in ("late", "late_package", "late_package.rules", "bare.late", "bare"):
        monkeypatch.delitem(sys.modules, name)
    assert import_module("late").__file__ == str(tmp_path / "src" / "late.py")


# --- look-up tables ---


def with_lookup(mlops: Rooms, folder: Path, monkeypatch: pytest.MonkeyPatch) -> DataCatalog:
    """A project whose inference reads a table that no pipeline makes."""
    inputs = ["rows", "state", "params:shift", "rates"]
    pipelines = {
        "inference": Pipeline([node(predict_with_rates, inputs, "predictions", name="predict")]),
        "training": TRAINING,
    }
    monkeypatch.setattr(mlops("project"), "registered_pipelines", lambda *_: pipelines)
    catalog = catalog_in(folder)
    rates = {"type": "pandas.CSVDataset", "filepath": str(folder / "rates.csv")}
    entry = DataCatalog.from_config({"rates": {**rates, "load_args": {"sep": ";"}}})
    catalog["rates"] = entry["rates"]
    (folder / "rates.csv").write_text("a;b\n1.0;2.0\n", encoding="utf-8")
    return catalog


def predict_with_rates(rows: Any, state: Any, shift: Any, rates: Any) -> pd.DataFrame:
    return predict(rows, state, shift) + float(rates["b"].iloc[0])


def test_a_look_up_table_goes_into_the_model_as_its_file_is(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = with_lookup(mlops, tmp_path, monkeypatch)
    options = options_of(mlops)
    assert mlops("model.parts").fitted_inputs(options) == {"state"}
    assert mlops("model.parts").lookup_inputs(options) == {"rates"}
    start = mlops("tracking").RunStart(
        {"project_path": str(tmp_path)}, ["training"], TRAINING, catalog
    )
    mlops("model.packaging").Packaging(options).run_starts(start)
    assert start.registers == options.name
    mlops("model.packaging").package(options, catalog, tmp_path / "model")
    packed = (tmp_path / "model/artifacts/rates.csv").read_text("utf-8")
    assert packed == "a;b\n1.0;2.0\n"
    (tmp_path / "rates.csv").write_text("a;b\n1.0;7.0\n", encoding="utf-8")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert model.predict(ROWS)["y"].tolist() == [x * 10 + 2.5 for x in ROWS["x"]]


@pytest.mark.parametrize("reason", ["large", "none is allowed", "in memory", "no file"])
def test_a_look_up_table_that_cannot_go_along_is_named_before_the_first_node(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    catalog = with_lookup(mlops, tmp_path, monkeypatch)
    if reason == "in memory":
        catalog["rates"] = MemoryDataset(ROWS)
    if reason == "no file":
        (tmp_path / "rates.csv").unlink()
    limits = {"large": 1e-6, "none is allowed": 0}
    options = options_of(mlops, max_lookup_megabytes=limits.get(reason, 100))
    start = mlops("tracking").RunStart(
        {"project_path": str(tmp_path)}, ["training"], TRAINING, catalog
    )
    path = re.escape(str(tmp_path / "rates.csv"))
    what = {"in memory": "give it an entry with a filepath in", "no file": f"put it at {path}"}
    said = what.get(reason, "more than model.max_lookup_megabytes in mlflow.yml")
    message = f"The pipeline 'inference' reads 'rates'.*{said}"
    with pytest.raises(mlops("errors").TrackingError, match=message):
        mlops("model.packaging").Packaging(options).run_starts(start)
    with pytest.raises(mlops("errors").TrackingError, match=message):
        mlops("model.packaging").package(options, catalog, tmp_path / "model")


def test_a_run_that_fits_a_part_or_a_model_that_nothing_fits_is_told(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pipelines = {"inference": INFERENCE, "training": TRAINING}
    both = Pipeline([node(predict_with_rates, ["rows", "state", "params:shift", "other"], "out")])
    pipelines |= {"inference": both, "others": Pipeline([node(fit, "table", "other")])}
    monkeypatch.setattr(mlops("project"), "registered_pipelines", lambda *_: pipelines)
    packaging = mlops("model.packaging").Packaging(options_of(mlops))
    with caplog.at_level(logging.INFO):
        packaging.run_ends(SimpleNamespace(outputs=lambda: [("state", "")]), DataCatalog())
    assert "registers no version of one.two.sales: it has not made other, which" in caplog.text
    caplog.clear()
    packaging.run_ends(SimpleNamespace(outputs=lambda: [("x", "")]), DataCatalog())
    assert caplog.text == ""
    pipelines |= {"training": Pipeline([]), "others": Pipeline([])}
    for names, said in ((["training"], True), (["inference"], False)):
        caplog.clear()
        start = mlops("tracking").RunStart({}, names, Pipeline([]), DataCatalog())
        packaging.run_starts(start)
        assert ("no pipeline makes anything that 'inference'" in caplog.text) is said


@pytest.mark.parametrize(
    ("names", "runtime_params", "asked"),
    [
        (["inference"], {}, None),
        (["inference"], {"model_version": 2}, "2"),
        (["inference"], None, None),
        (["training"], {}, "nobody"),
        (["inference", "training"], {}, "nobody"),
    ],
)
def test_only_a_run_of_the_models_pipeline_asks_for_a_version(
    mlops: Rooms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    runtime_params: Any,
    asked: str | None,
) -> None:
    versions = mlops("registry.versions")
    found: list[Any] = []

    version = SimpleNamespace(name="sales", version="7", aliases=[])

    def find_version(*given: Any) -> Any:
        found.append(given)
        return version

    monkeypatch.setattr(versions, "find_version", find_version)
    monkeypatch.setattr(versions, "download", lambda *given: tmp_path)
    monkeypatch.setattr(versions, "use_version", lambda *given: {"given": given[1:3]})
    config = config_of(mlops, tmp_path, f"sqlite:///{tmp_path}/mlflow.db", model=MODEL)
    given = RUN_PARAMS | {"runtime_params": runtime_params}
    start = mlops("tracking").RunStart(given, names, INFERENCE, DataCatalog())
    versions.Registration(config).run_starts(start)
    if asked == "nobody":
        assert (found, start.tags) == ([], {})
    else:
        assert found == [("one.two.sales", config.server, asked)]
        assert start.tags == {"given": (version, tmp_path)}
    without = config_of(mlops, tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    versions.Registration(without).run_starts(start)


@pytest.mark.parametrize("lost", [False, True])
def test_a_version_is_registered_once_and_the_first_is_the_champion(
    mlops: Rooms, tmp_path: Path, database: str, lost: bool
) -> None:
    client = mlflow.MlflowClient(database)
    experiment_id = client.create_experiment("study", tmp_path.as_uri())
    config = config_of(mlops, tmp_path, database, model=MODEL)
    registration = mlops("registry.versions").Registration(config)
    registration.shipping_starts(client, SimpleNamespace(data={"registers": "sales"}))
    registration.shipping_starts(client, SimpleNamespace(data={}))
    aliases = []
    for number in range(3):
        run_id = client.create_run(experiment_id).info.run_id
        model = client.create_logged_model(experiment_id, "sales", run_id)
        delivery = mlops("tracking.shipping").Delivery(tmp_path / f"{number}.json")
        shipment = mlops("tracking").Shipment(client, delivery, run_id, config.server)
        record = SimpleNamespace(data={"register": "sales", "path": str(tmp_path)})
        for again in range(2):
            registration.model_shipped(shipment, model, record)
            if lost and again == 0:  # Its number has not reached us.
                delivery.versions[model.model_id] = []
                if number == 1:
                    delivery.versions, delivery.resumed = {}, True
        aliases.append(delivery.versions[model.model_id])
    assert aliases == [
        ["sales", "1", "champion"],
        ["sales", "2", "challenger"],
        ["sales", "3", "challenger"],
    ]
    versions = client.search_model_versions("name = 'sales'")
    assert sorted(str(each.version) for each in versions) == ["1", "2", "3"]
    models = client.search_logged_models([experiment_id])
    assert {each.source for each in versions} == {f"models:/{each.model_id}" for each in models}
    found = client.get_registered_model("sales").aliases
    assert {key: str(value) for key, value in found.items()} == {
        "champion": "1",
        "challenger": "3",
    }
    nothing = SimpleNamespace(data={"register": None, "path": str(tmp_path)})
    registration.model_shipped(shipment, model, nothing)
    assert len(client.search_model_versions("name = 'sales'")) == 3


def test_who_takes_part_in_a_run_is_for_mlflow_yml_to_say(mlops: Rooms, tmp_path: Path) -> None:
    listeners_of = mlops("registry").listeners_of
    state = mlops("project").State.of(tmp_path)
    for content, names in (
        ({}, ["Registration", "HoldoutCapture"]),
        ({"model": MODEL}, ["Packaging", "Registration", "HoldoutCapture"]),
        (
            {"model": MODEL, "promotion": {"auto": True}},
            ["Packaging", "Registration", "HoldoutCapture", "Promotion"],
        ),
        ({"promotion": {"auto": True}}, ["Registration", "HoldoutCapture"]),
    ):
        listeners = listeners_of(mlops("config").parse_config(content), state)
        assert [type(each).__name__ for each in listeners] == names


# --- compared with another version ---


def test_two_models_predict_again_for_one_holdout(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(rows: pd.DataFrame, predictions: pd.Series) -> dict[str, float]:
        assert list(predictions.index) == list(rows.index)
        return {"error": float((rows["target"] - predictions).abs().max()), "rows": len(rows)}

    comparison = mlops("registry.comparison")
    evaluating = Pipeline([node(evaluate, ["rows", "predictions"], "evaluation")])
    monkeypatch.setattr(comparison, "registered_pipelines", lambda *_: {"training": evaluating})
    options = mlops("config").PromotionOptions(holdout="rows", predictions="predictions")
    folders = [
        sum_model(tmp_path / "one", pd.DataFrame({"a": [1.0]})),
        sum_model(tmp_path / "two", pd.DataFrame({"a": [1.0], "b": [1.0]})),
    ]
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [5.0, 0.0], "target": [1.0, 2.0]}, index=[7, 9])
    # Both get the columns that they read, and what they return has the index of the rows.
    found = comparison.evaluate_again(options, {"rows": rows}, folders)
    assert found == [{"error": 0.0, "rows": 2.0}, {"error": 5.0, "rows": 2.0}]
    if IS_WEEKLY:  # A process more; tests/unit/test_own_process.py has what is told.
        below = rows.assign(a=-1.0)
        with pytest.raises(mlops("errors").TrackingError, match="does not predict for these rows"):
            comparison.evaluate_again(options, {"rows": below}, folders[:1])


def test_without_a_node_that_evaluates_nothing_can_be_compared(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = mlops("registry.comparison")
    monkeypatch.setattr(comparison, "registered_pipelines", lambda *_: {"training": INFERENCE})
    options = mlops("config").PromotionOptions(holdout="rows", predictions="predictions")
    with pytest.raises(
        mlops("errors").TrackingError,
        match=r"No node reads .predictions. \(promotion.yml: predictions\) and makes .evalu",
    ):
        comparison.evaluate_again(options, {"rows": ROWS}, [])
