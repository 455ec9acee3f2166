"""The garbage collector, out of the way while a library is loaded."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Load libraries without garbage collection.

    MLflow and SQLAlchemy make several hundred thousand objects that stay. Each time their number
    has grown by a quarter Python looks at all of them: half of what their import costs.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:
            # There and back: the new objects count as old ones, and are not looked at right now.
            gc.freeze()
            gc.unfreeze()
        if was_on:
            gc.enable()
