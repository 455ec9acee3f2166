"""The registry: versions of the model, and when one becomes the champion.

`versions.py` registers, finds and downloads versions; `promote.py` moves the champion's alias if
`rules.py` allows; `comparison.py` measures two versions on the same `holdout.py`, each in a process
of its own; `report.py` shows the verdict.
"""

import os
from importlib import import_module

from ..config import SCRATCH, KedroMlflowConfig
from ..project import State
from ..tracking import RunListener


def listeners_of(config: KedroMlflowConfig, state: State) -> list[RunListener]:
    """Return what takes part in a run beside its tracking: packaging, registration, promotion."""
    from ..model.packaging import Packaging
    from ..tracking.scratch import KeptInProject
    from .holdout import HoldoutCapture
    from .promote import Promotion
    from .versions import CHALLENGER, Registration

    listeners: list[RunListener] = [Registration(config), HoldoutCapture(config.promotion, state)]
    if config.model:
        listeners.insert(0, Packaging(config.model, config.redaction.patterns))
        if config.promotion.auto and config.model.alias == CHALLENGER:
            listeners.append(Promotion(config, state))
        if config.monitoring:  # An answer has asked for that room.
            listeners.append(import_module("..monitoring", __package__).listener_of(config))
    if SCRATCH in os.environ:
        listeners.append(KeptInProject())
    return listeners
