"""The holdout: what a run was measured on, kept on this machine so that others are measured on it.

Its rows stay in the project's own folder, which git ignores. The run gets the holdout's digest: two
runs that have the same one were asked the same question.
"""

import hashlib
import inspect
import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import PromotionOptions
from ..errors import TrackingError
from ..project import State
from ..tracking.listeners import RunListener

if TYPE_CHECKING:
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


DIGEST_TAG, ROWS_TAG = "holdout.digest", "holdout.rows"


_MOST_BYTES = 200_000_000


_MOST_KEPT = 5


class HoldoutKeeping(RunListener):
    """Keeps the rows that the evaluating node of a run has read."""

    subject = "The holdout"

    def __init__(self, options: PromotionOptions, state: State) -> None:
        self._options, self._state = options, state

    def node_finished(self, node: "Node", inputs: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the holdout's digest and number of rows as tags."""
        return keep_holdout(self._state, self._options, node, inputs)


def keep_holdout(
    state: State, options: PromotionOptions, node: "Node", inputs: Mapping[str, Any]
) -> dict[str, str]:
    """Keep what a node has measured on, if it is the one that evaluates.

    Args:
        state: the project's state folder.
        options: which node that is, and which of its inputs are the model's predictions.
        node: the node that has run.
        inputs: what it has read.

    Returns:
        Tags of the run: the holdout's digest and number of rows. None for any other node.
    """
    if options.evaluation not in node.outputs or options.holdout not in inputs:
        return {}
    asked = {name: inputs[name] for name in sorted(inputs) if name != options.predictions}
    digest = _digest(node, asked)
    _keep(state.holdouts / f"{digest}.pickle", asked)
    tags = {DIGEST_TAG: digest}
    with suppress(TypeError):
        tags[ROWS_TAG] = str(len(asked[str(options.holdout)]))
    return tags


def load_holdout(state: State, digest: str) -> dict[str, Any] | None:
    """Read a holdout; none if it is not on this machine.

    Raises:
        TrackingError: it cannot be read, as the project's own classes in it have changed.
    """
    path = state.holdouts / f"{digest}.pickle"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            content: dict[str, Any] = pickle.load(file)
    except Exception as error:
        raise TrackingError(
            f"The holdout in {path} cannot be read ({type(error).__name__}: {error}): train anew."
        ) from error
    return content


def _keep(path: Path, asked: Mapping[str, Any]) -> None:
    """Write the holdout down, unless it is there or too large, and drop the oldest ones."""
    if path.is_file():
        path.touch()
        return
    content = pickle.dumps(asked, protocol=pickle.HIGHEST_PROTOCOL)
    if len(content) > _MOST_BYTES:
        logger.warning(
            "The holdout of this run is too large to be kept (%d MB): its model can be compared "
            "with those alone that were measured on the same one.",
            len(content) // 1_000_000,
        )
        return
    path.parent.mkdir(exist_ok=True)
    half_written = path.with_suffix(f".{id(content)}")
    half_written.write_bytes(content)
    half_written.replace(path)
    newest_first = sorted(path.parent.glob("*.pickle"), key=lambda each: -each.stat().st_mtime)
    for old in newest_first[_MOST_KEPT:]:
        old.unlink(missing_ok=True)


def _digest(node: "Node", asked: Mapping[str, Any]) -> str:
    """Compute a digest of what is asked, and of the module of the function that asks it."""
    digest = hashlib.sha256(_source(node).encode())
    for name, value in asked.items():
        digest.update(f"\n{name}\n".encode())
        for part in _content(name, value):
            digest.update(part)
    return digest.hexdigest()[:32]


def _source(node: "Node") -> str:
    function = inspect.unwrap(getattr(node.func, "func", node.func))
    with suppress(OSError, TypeError):
        if module := inspect.getmodule(function):
            return inspect.getsource(module)
    return str(getattr(function, "__qualname__", function))


def _content(name: str, value: Any) -> Iterator[bytes]:
    if type(value).__module__.startswith("pandas.") and hasattr(value, "columns"):
        from pandas.util import hash_pandas_object

        yield repr([(str(column), str(kind)) for column, kind in value.dtypes.items()]).encode()
        yield hash_pandas_object(value, index=True).to_numpy().tobytes()
    elif type(value).__module__ == "numpy" and value.dtype != object:
        yield f"{value.dtype} {value.shape}".encode() + value.tobytes()
    elif name == "parameters" or name.startswith("params:"):
        yield repr(value).encode()  # A pickle of it may look different in each process.
    else:
        yield pickle.dumps(value, protocol=4)
