"""The same search without the template: `python tuned_by_hand.py bare|nested|storage TRIALS`."""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import uuid4

from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner


def main(how: str, trials: int) -> None:
    """Search, and track it in one of three ways."""
    bootstrap_project(Path.cwd())
    parameters = KedroSession.create(save_on_close=False).load_context().params
    pipeline = pipelines["__default__"]

    def loss(alpha: float) -> float:
        values = {f"params:{name}": value for name, value in parameters.items()}
        values["params:alpha"] = alpha
        catalog = DataCatalog({name: MemoryDataset(value) for name, value in values.items()})
        result = SequentialRunner().run(pipeline, catalog)
        return float(result["evaluation"].load()["loss"])

    if how == "bare":
        for number in range(trials):
            loss(number)
        return
    import mlflow
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri("sqlite:///by-hand.db")
    experiment = mlflow.set_experiment("by hand")
    sampler = optuna.samplers.TPESampler()
    if how == "storage":
        from mlflow.optuna.storage import MlflowStorage

        storage = MlflowStorage(experiment_id=experiment.experiment_id)
        study = optuna.create_study(storage=storage, study_name=uuid4().hex, sampler=sampler)
        study.optimize(lambda trial: loss(trial.suggest_float("alpha", 0, 10)), trials)
        return

    def objective(trial: optuna.Trial) -> float:
        alpha = trial.suggest_float("alpha", 0, 10)
        with mlflow.start_run(nested=True):
            mlflow.log_params({"alpha": alpha, **parameters} | {"alpha": alpha})
            value = loss(alpha)
            mlflow.log_metric("loss", value)
        return value

    with mlflow.start_run():
        study = optuna.create_study(sampler=sampler)
        study.optimize(objective, trials)
        mlflow.log_metric("best", study.best_value)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
