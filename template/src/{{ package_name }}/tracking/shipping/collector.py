"""The garbage collector, out of the way of a library that makes very many objects that stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Do something that is over soon without garbage collection."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def frozen_afterwards() -> Iterator[None]:
    """Load libraries without garbage collection, and leave out later what was loaded.

    MLflow and SQLAlchemy make several hundred thousand objects that stay. Each time their number
    has grown by a quarter Python looks at all of them: half of what their import costs.
    """
    with paused_collector():
        yield
        if gc.get_freeze_count() == 0:
            gc.freeze()


@contextmanager
def thawed_afterwards() -> Iterator[None]:
    """Let the collector look at all objects again at the end, unless somebody else froze some."""
    untouched = gc.get_freeze_count() == 0
    try:
        yield
    finally:
        if untouched:
            gc.unfreeze()
