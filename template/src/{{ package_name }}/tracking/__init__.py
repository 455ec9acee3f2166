"""Tracking of Kedro runs with MLflow: capture, journal, ship.

    Kedro events ──> capture ──> journal ──> shipper ──> MLflow

`hook.py` hears Kedro's events, `capture/` decides what of them is worth keeping, `journal.py`
writes it to disk at once and `shipper.py` sends it to MLflow from a thread of its own.
`pipeline_model/` turns the inference pipeline into the model that is registered, served and used
for batch scoring.

Nothing here imports `mlflow` before a run starts: `kedro --help` stays fast and never touches the
network.
"""

from .errors import TrackingError
from .hook import MlflowHook

__all__ = ["MlflowHook", "TrackingError"]
