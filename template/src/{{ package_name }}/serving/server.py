"""Serve a model over HTTP: `python server.py HOST PORT`, its folder and name on standard input.

A process in which the project's package is not imported yet: the model brings the package it was
trained with. It needs neither the registry nor its credentials.
"""

import logging
import sys

import mlflow
import uvicorn
from mlflow.pyfunc import scoring_server


def main(host: str, port: str) -> None:
    """Load the model and answer requests until stopped.

    Routes: /ping and /health answer 200 once the model is loaded, /version gives MLflow's,
        /invocations predicts; see
        https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    folder, name = (sys.stdin.readline().strip() for _ in range(2))
    if not folder:  # Whoever started this has found no model, and says so.
        sys.exit(1)
    app = scoring_server.init(mlflow.pyfunc.load_model(folder))
    print(f"Serving {name} on http://{host}:{port}/invocations; Ctrl-C stops it.", flush=True)
    uvicorn.run(app, host=host, port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
