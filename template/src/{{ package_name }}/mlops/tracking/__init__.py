"""Tracking of a run: capture, journal, ship.

    Kedro events ──> capture ──> journal ──> shipper ──> MLflow

`capture/` decides what of an event is worth keeping, `journal.py` writes it to disk at once, and
`shipping/` sends it to MLflow from a thread of its own. `listeners.py` is how other rooms take
part. `mlflow` is imported only when a run starts.
"""
