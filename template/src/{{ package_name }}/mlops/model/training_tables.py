"""The schemas of the tables that a training run reads: there the types of the model come from."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError
from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline

from ..errors import TrackingError
from ..tracking.capture.inputs import is_table

if TYPE_CHECKING:
    from kedro.io import DataCatalog

    from .schema import Schema


class TrainingTables:
    """The schemas of a training run's tables that may have the columns of the model's input."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._seen: set[str] = set()
        self._found: dict[str, Schema] = {}

    def expect(self, training: Pipeline, inference: Pipeline, name: str) -> None:
        """Note which data sets of a training pipeline to look at for the inference's input."""
        found = dict.fromkeys(candidates(training, inference, name))
        self._names = [each for each in found if each != name]  # One run may train and score.

    def look(self, inputs: Mapping[str, Any]) -> None:
        """Read the schemas of tables that a node is about to read."""
        for name in self._names:
            if name not in inputs or name in self._seen:
                continue
            self._seen.add(name)
            if is_table(inputs[name]):
                from .inferred_schema import of_table  # With pandas, which a run may do without.

                with suppress(TrackingError):  # It has columns that the model need not have.
                    self._found[name] = of_table(inputs[name])

    def schemas(self, catalog: "DataCatalog") -> "Iterator[Schema]":
        """Yield what was found, the best first; what worker processes have read is read again."""
        for name in self._names:
            if name not in self._seen:
                with suppress(DatasetError):
                    self.look({name: catalog.load(name)})
            if name in self._found:
                yield self._found[name]


def candidates(training: Pipeline, inference: Pipeline, name: str) -> Iterator[str]:
    """Yield the data sets that are to training what a data set is to inference.

    First those that the same function gets in the same place, then the raw data, then what the
    model is fitted on.
    """
    for reader in inference.nodes:
        for place, read in enumerate(reader.inputs):
            if read == name:
                twins = [node for node in training.nodes if node.func is reader.func]
                yield from (node.inputs[place] for node in twins if place < len(node.inputs))
    yield from sorted(each for each in training.inputs() if not is_parameter(each))
    fitted = inference.inputs()
    for node in training.nodes:
        if fitted.intersection(node.outputs):
            yield from (each for each in node.inputs if not is_parameter(each))
