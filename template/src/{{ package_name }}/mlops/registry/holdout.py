"""The holdout: what a run was measured on, kept on this machine so that others are measured on it.

Its rows stay in the project's own folder, which git ignores, unless the owner lets them go with the
version: as files without pickles. The run gets the holdout's digest: two runs that have the same
one were asked the same question.
"""

import hashlib
import inspect
import logging
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation import ParameterValidator

from ..config import KedroMlflowConfig, PromotionOptions
from ..disk import write_atomically
from ..errors import TrackingError, one_line
from ..model import transfer
from ..project import State
from ..redaction import Patterns, mask
from ..tracking import PackagedModel, RunListener
from ..tracking.capture.foreign import is_a, size_of
from ..tracking.capture.inputs import describe_table
from ..tracking.capture.values import plain, valid_name
from ..tracking.journal import Journal, all_records

if TYPE_CHECKING:
    from kedro.io import DataCatalog

    from ..tracking.capture import RunCapture

logger = logging.getLogger(__name__)

DIGEST_TAG, ROWS_TAG = "holdout.digest", "holdout.rows"
PREDICTIONS_TAG = "predictions.digest"  # Of what the model has predicted for the holdout.
TOO_LARGE_TAG = "holdout.too_large"  # Its size, if it was not kept for that.
_SHARED = "holdout"  # The folder in a version's files.
_MAX_BYTES = 200_000_000
_MAX_SHARED_BYTES = 2 * _MAX_BYTES  # Other files than a pickle's may be larger.
_MAX_KEPT = 5
# Of a run that makes no evaluation, more metrics than these say nothing of a model.
_MAX_METRICS = 100


class HoldoutCapture(RunListener):
    """Keeps what the evaluating node of a run has read, except the model's predictions."""

    subject = "The holdout"

    def __init__(self, options: PromotionOptions, state: State) -> None:
        self._options, self._state = options, state

    def node_called(self, node: Node, inputs: Mapping[str, Any]) -> dict[str, str]:
        """Return the holdout's digest and number of rows as tags; none for any other node."""
        options = self._options
        if options.evaluation not in node.outputs or options.holdout not in inputs:
            return {}
        kept = {name: inputs[name] for name in sorted(inputs) if name != options.predictions}
        digest = _digest(node, kept)
        tags = {DIGEST_TAG: digest, **_digest_of_predictions(inputs.get(str(options.predictions)))}
        if too_large := _save(self._state.holdouts / f"{digest}.pickle", kept):
            tags[TOO_LARGE_TAG] = too_large
        rows = kept[str(options.holdout)]
        count = describe_table(rows)["rows"]
        if (count := size_of(rows) if count is None else count) is not None:
            tags[ROWS_TAG] = str(count)
        return tags

    def model_packaged(
        self,
        config: KedroMlflowConfig,
        journal: Journal,
        catalog: "DataCatalog",
        model: PackagedModel,
    ) -> None:
        """Write the holdout into the folder of a run's model, if it may go with the version."""
        shared = self._options.share_holdout
        if shared is None:
            shared = config.model is not None and config.model.example == "rows"
        digest = _measured(journal.folder, self._options.evaluation).tags.get(DIGEST_TAG)
        inputs = load_holdout(self._state, digest) if shared and digest else None
        if not inputs:
            return
        try:
            transfer.write(_plain(inputs, config.redaction.patterns), model.folder / _SHARED)
        except Exception as error:
            shutil.rmtree(model.folder / _SHARED, ignore_errors=True)
            logger.warning(
                "The holdout does not go with the version, which can be compared on this machine "
                "alone: %s has no form without a pickle.",
                one_line(error),
            )

    def restore(self, pipeline: Pipeline, catalog: "DataCatalog") -> None:
        """Read the holdout again, for a run whose evaluating node ran in another process."""
        for node in pipeline.nodes:
            if self._options.evaluation in node.outputs and self._options.holdout in node.inputs:
                names = [name for name in node.inputs if name != self._options.predictions]
                self.node_called(node, {name: catalog.load(name) for name in names})

    def run_ends(self, run: "RunCapture", catalog: "DataCatalog") -> None:
        """Capture how the run's models were measured, so that MLflow can rank them.

        The evaluation is of the pipeline as a model, and of what it has been fitted with if that is
        one model; of several, none is known to be meant.
        """
        found = _measured(run.journal.folder, self._options.evaluation)
        if found.models and found.values:
            digest, rows = found.tags.get(DIGEST_TAG), found.tags.get(ROWS_TAG)
            on: dict[str, Any] | None = None
            if digest:
                on = {"name": self._options.holdout, "type": "evaluation", "source": None}
                on |= {"digest": digest, "rows": int(rows) if rows else None}
            run.journal.append("measured", models=found.models, values=found.values, on=on)


class _Measured(NamedTuple):
    """What of a run's journal says how good its models are: `values` are name, value, step, ms."""

    models: list[str]  # The folders that they were saved in.
    values: list[tuple[str, float, int, int]]
    tags: dict[str, str]


def _measured(journal: Path, evaluation: str) -> _Measured:
    prefix = f"{valid_name(evaluation)}/"
    fitted: list[str] = []
    packaged: list[str] = []
    measured: dict[str, tuple[str, float, int, int]] = {}
    others: dict[str, tuple[str, float, int, int]] = {}
    tags: dict[str, str] = {}
    for record in all_records(journal):
        if record.data.get("namespace"):  # A child run has its own.
            continue
        if record.kind == "model":
            of_pipeline = record.data.get("pipeline")
            (packaged if of_pipeline else fitted).append(Path(record.data["path"]).name)
        elif record.kind == "tags":
            tags |= record.data["values"]
        elif record.kind == "metrics":
            for name, value, step in record.data["values"]:
                kept = measured if name.startswith(prefix) else others
                if kept is measured or name in kept or len(others) <= _MAX_METRICS:
                    kept[name] = name, value, step, record.time
    values = list(measured.values())
    if not values and len(others) <= _MAX_METRICS:
        values = list(others.values())
    return _Measured(packaged + (fitted if len(fitted) == 1 else []), values, tags)


def load_holdout(state: State, digest: str) -> dict[str, Any] | None:
    """Return the inputs of the evaluating node; none if they are not on this machine."""
    path = state.holdouts / f"{digest}.pickle"
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = pickle.loads(path.read_bytes())
    except Exception as error:  # The project's own classes in it may have changed.
        raise TrackingError(
            f"The holdout in {path} cannot be read ({type(error).__name__}: {error}): train again."
        ) from error
    return content


def load_shared(model: Path, node: Node) -> dict[str, Any] | None:
    """Return the inputs of the evaluating node that a version brings along; none if it does not.

    Nothing is unpickled. Parameters have the types again that the node asks for.
    """
    folder = model / _SHARED
    if not folder.is_dir():
        return None
    try:
        if (size := sum(path.stat().st_size for path in folder.iterdir())) > _MAX_SHARED_BYTES:
            raise ValueError(f"it has {size // 1_000_000} MB")
        inputs: dict[str, Any] = transfer.read(folder)
        values = {
            name.removeprefix("params:"): value
            for name, value in inputs.items()
            if name.startswith("params:")
        }
        typed = ParameterValidator({"": Pipeline([node])}).validate_raw_params(values)
    except Exception as error:
        raise TrackingError(
            f"The holdout that the version brings along cannot be read: {one_line(error)}"
        ) from error
    return inputs | {f"params:{name}": typed[name] for name in values}


def _plain(inputs: Mapping[str, Any], secrets: Patterns) -> dict[str, Any]:
    values = {name: plain(value) if is_parameter(name) else value for name, value in inputs.items()}
    for name in filter(is_parameter, values):
        if mask(name, values[name], secrets) != values[name]:
            raise TypeError(f"'{name}' looks like a secret, which")
    return values


def _save(path: Path, inputs: Mapping[str, Any]) -> str | None:
    """Write the holdout, unless it exists, and delete the oldest ones; return a size too large."""
    if path.is_file():
        path.touch()
        return None
    content = pickle.dumps(inputs, protocol=pickle.HIGHEST_PROTOCOL)
    if len(content) > _MAX_BYTES:
        size = f"{len(content) // 1_000_000} MB"
        logger.warning(
            "The holdout of this run is too large to be kept (%s): its model can only be "
            "compared with models that were measured on the same holdout.",
            size,
        )
        return size
    write_atomically(path, content)
    newest_first = sorted(path.parent.glob("*.pickle"), key=lambda each: -each.stat().st_mtime)
    for old in newest_first[_MAX_KEPT:]:
        old.unlink(missing_ok=True)
    return None


def _digest(node: Node, inputs: Mapping[str, Any]) -> str:
    """Compute a digest of what is read, and of the module of the function that reads it."""
    digest = hashlib.sha256(_source(node).encode())
    for name, value in inputs.items():
        digest.update(f"\n{name}\n".encode())
        for part in _content(name, value):
            digest.update(part)
    return digest.hexdigest()[:32]


def _digest_of_predictions(value: Any) -> dict[str, str]:
    """Return the digest of predictions as a tag; none of what has another one in each process."""
    value = value.to_frame() if is_a(value, "pandas", "Series") else value
    is_array = type(value).__module__ == "numpy" and value.dtype != object
    if not (is_array or is_a(value, "pandas", "DataFrame")):
        return {}
    digest = hashlib.sha256(b"".join(_content("predictions", value)))
    return {PREDICTIONS_TAG: digest.hexdigest()[:32]}


def _source(node: Node) -> str:
    function = inspect.unwrap(getattr(node.func, "func", node.func))
    with suppress(OSError, TypeError):
        if module := inspect.getmodule(function):
            return inspect.getsource(module)
    return str(getattr(function, "__qualname__", function))


def _content(name: str, value: Any) -> Iterator[bytes]:
    # Pandas 3 says that its classes are of `pandas` itself. A pickle is another in each process.
    if is_a(value, "pandas", "DataFrame"):
        from pandas.util import hash_pandas_object

        yield repr([(str(column), str(kind)) for column, kind in value.dtypes.items()]).encode()
        yield hash_pandas_object(value, index=True).to_numpy().tobytes()
    elif type(value).__module__ == "numpy" and value.dtype != object:
        yield f"{value.dtype} {value.shape}".encode() + value.tobytes()
    elif is_parameter(name):
        yield repr(value).encode()  # A pickle of it may look different in each process.
    else:
        yield pickle.dumps(value, protocol=4)
