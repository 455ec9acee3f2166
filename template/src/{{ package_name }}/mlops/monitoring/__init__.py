"""Monitoring: whether what a model gets, and predicts, is still like what it was trained on.

Training writes `reference.py`'s file into the model, from counts and never rows. A scoring run is
measured against it (`batches.py`) by the owner's rules (`options.py`), and shown (`report.py`);
a served model counts what it gets (`traffic.py`), and Prometheus does the rest. The mathematics is
in `statistics.py`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config import KedroMlflowConfig
    from ..tracking import RunListener


def listener_of(config: "KedroMlflowConfig") -> "RunListener":
    """Return what watches a run: one that trains, and one that scores."""
    from .batches import Monitoring

    return Monitoring(config)
