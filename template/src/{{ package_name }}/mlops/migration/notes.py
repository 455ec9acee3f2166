"""What cannot be moved, or compared, is noted with its reason; what comes next goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..backend.client import is_transient, reason_of
from ..errors import TrackingError


@contextmanager
def noted(notes: list[str], what: str) -> Iterator[None]:
    """Note why the block has failed; raise what would fail all that comes next as well."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, TrackingError, OSError) as error:
        if is_transient(error):
            raise
        notes.append(f"{what}: {reason_of(error)}")
