"""What a laptop's MLflow may hold beside the runs of a project: every kind, edges included."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
)

EXPERIMENT = "by hand"
SHARED = "shared_model"
STEPS = 1100


def furnish(client: MlflowClient, folder: Path) -> dict[str, str]:
    """Add runs and models of every kind; their ids by a name of their own."""
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 5000)
    experiment = client.create_experiment(
        EXPERIMENT, (folder / "artifacts").as_uri(), {"team": "progression"}
    )
    ids: dict[str, str] = {}

    def run(name: str, status: str | None = "FINISHED", **tags: str) -> str:
        made = client.create_run(experiment, 1_700_000_000_000 + len(ids), tags, name)
        ids[name] = str(made.info.run_id)
        if status:
            client.set_terminated(ids[name], status, 1_700_000_900_000 + len(ids))
        return ids[name]

    parent = run("parent")
    run("child", "FAILED", **{"mlflow.parentRunId": parent, "note": "näher & <so>"})
    running = run("still running", None)
    run("child of one that runs", **{"mlflow.parentRunId": running})
    client.delete_run(run("deleted"))
    run("killed", "KILLED")
    _log_values(client, parent)
    client.log_artifact(parent, str(folder / "weights.bin"), "deep/er")
    client.log_text(parent, "", "empty.txt")
    ids["model"] = _log_model(client, experiment, parent, folder)
    client.log_inputs(ids["killed"], models=[LoggedModelInput(ids["model"])])
    _register(client, ids["model"], parent, folder)
    return ids


def _log_values(client: MlflowClient, run_id: str) -> None:
    start = 1_700_000_000_000
    values = [Metric("loss", 1 / (step + 1), start + step, step) for step in range(STEPS)]
    for first in range(0, STEPS, 1000):
        client.log_batch(run_id, values[first : first + 1000])
    odd = [math.nan, math.inf, -math.inf, 0.1 + 0.2]
    client.log_batch(run_id, [Metric("odd", value, start, 0) for value in odd])
    client.log_batch(run_id, params=[Param(f"p{number}", "x" * 6000) for number in range(100)])
    client.log_batch(run_id, params=[Param(f"q{number}", str(number)) for number in range(50)])
    patients = Dataset("patients", "d1gest", "local", '{"uri": "data/patients.csv"}', profile="{}")
    client.log_inputs(run_id, [DatasetInput(patients, [InputTag("mlflow.data.context", "train")])])


def _log_model(client: MlflowClient, experiment: str, run_id: str, folder: Path) -> str:
    model = client.create_logged_model(
        experiment, "ridge", run_id, {"stage": "try"}, {"alpha": "0.1"}, "linear"
    )
    mlmodel = folder / "MLmodel"
    mlmodel.write_text(
        f"artifact_path: {model.artifact_location}\nrun_id: {run_id}\n"
        f"model_id: {model.model_id}\nmodel_uuid: {model.model_id}\nflavors: {{}}\n"
    )
    client.log_model_artifact(model.model_id, str(mlmodel))
    client.log_model_artifact(model.model_id, str(folder / "weights.bin"), "data")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 7)])
    score = Metric("rmse", 50.0, 1_700_000_000_500, 0, model.model_id, "patients", "d1gest")
    client.log_batch(run_id, [score])
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _register(client: MlflowClient, model_id: str, run_id: str, folder: Path) -> None:
    """Versions 2 and 3, for 1 was deleted; 3 is of a run's files, as MLflow 2 made them."""
    source = client.get_logged_model(model_id).artifact_location
    client.create_registered_model("gapped", {"owner": "eve"}, "Has lost a version.")
    client.create_model_version("gapped", source, run_id)
    client.delete_model_version("gapped", "1")
    client.create_model_version("gapped", source, run_id, {"checked": "yes"}, description="Good.")
    in_run = f"{client.get_run(run_id).info.artifact_uri}/deep"
    client.create_model_version("gapped", in_run, run_id)
    client.set_registered_model_alias("gapped", "champion", "2")
    client.create_registered_model(SHARED)
    for _ in range(2):
        client.create_model_version(SHARED, source, run_id)
    client.set_registered_model_alias(SHARED, "champion", "2")
    client.set_registered_model_alias(SHARED, "candidate", "1")


def settle(client: MlflowClient) -> None:
    """Let somebody else have registered a model of the same name at the new place."""
    run: Any = client.create_run("0")
    client.set_terminated(run.info.run_id)
    client.create_registered_model(SHARED)
    client.create_model_version(SHARED, f"{run.info.artifact_uri}/model", run.info.run_id)
    client.set_registered_model_alias(SHARED, "champion", "1")
