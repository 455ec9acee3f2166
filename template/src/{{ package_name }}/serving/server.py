"""Serve the champion of a registered model over HTTP: `python server.py NAME HOST PORT`.

A process in which the project's package is not imported yet: the model brings the package it was
trained with.
"""

import logging
import sys

import mlflow
import uvicorn
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

CHAMPION = "champion"


def main(name: str, host: str, port: str) -> None:
    """Load the champion and answer requests until stopped.

    Routes: /ping and /health answer 200 once the model is loaded, /version gives MLflow's,
        /invocations predicts; see
        https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        version = mlflow.MlflowClient().get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        sys.exit(
            f"Error: no version of the model '{name}' is the {CHAMPION} yet: train one with "
            f"`uv run kedro run`. ({error})"
        )
    app = scoring_server.init(mlflow.pyfunc.load_model(f"models:/{name}/{version.version}"))
    print(
        f"Serving {name} version {version.version} ({CHAMPION}) on "
        f"http://{host}:{port}/invocations; Ctrl-C stops it.",
        flush=True,
    )
    uvicorn.run(app, host=host, port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
