"""Ask a model for its predictions: `python predict.py MODEL ROWS PREDICTIONS`, the latter pickled.

A process in which the project's package is not imported yet: the model brings the package that it
was trained with, and two versions of a package do not fit into one process.
"""

import logging
import pickle
import sys
from pathlib import Path

import mlflow


def main(folder: str, rows_path: str, predictions_path: str) -> None:
    """Predict for rows that may have more columns than the model reads, such as the target."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # What the model logs and traces by itself here belongs to no run.
    mlflow.tracing.disable()
    mlflow.set_tracking_uri(f"sqlite:///{predictions_path}.db")
    model = mlflow.pyfunc.load_model(folder)
    rows = pickle.loads(Path(rows_path).read_bytes())
    if hasattr(rows, "columns") and (schema := model.metadata.get_input_schema()):
        rows = rows[schema.input_names()]
    config = model.metadata.flavors["python_function"].get("config") or {}
    if (
        "pipeline" in config
    ):  # It knows more types than MLflow's own check of the rows lets through.
        predictions = model.unwrap_python_model().predict(None, rows)
    else:
        predictions = model.predict(rows)
    if hasattr(predictions, "index") and hasattr(rows, "index"):
        predictions.index = rows.index  # The evaluation may use it.
    Path(predictions_path).write_bytes(pickle.dumps(predictions))


if __name__ == "__main__":
    main(*sys.argv[1:])
