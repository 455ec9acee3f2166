"""Which nodes a trial runs: those that the metric needs and that a searched parameter touches."""

from collections.abc import Collection
from dataclasses import dataclass

from kedro.pipeline import Pipeline

from ..errors import TrackingError
from ..orchestration.project import pipeline_of
from .options import FILE
from .space import parameters_read, touches


@dataclass(frozen=True)
class Slices:
    """A pipeline in two parts."""

    shared: Pipeline  # Runs once in each process, and gives every trial the same.
    trial: Pipeline

    @property
    def between(self) -> set[str]:
        """The data sets that trials read and that the shared nodes make."""
        between = self.shared.all_outputs() & self.trial.inputs()
        return {name for name in between if "@" not in name}


def needed_for(dataset: str, pipeline: str) -> Pipeline:
    """Return the nodes that a data set needs; a TrackingError says that none makes it."""
    whole = pipeline_of([pipeline])
    if dataset not in whole.all_outputs():
        made = ", ".join(sorted(whole.outputs()))
        raise TrackingError(
            f"{FILE}: the metric is in the data set '{dataset}', which no node of the pipeline "
            f"'{pipeline}' makes (its last ones: {made}): name another one under `dataset`."
        )
    return whole.to_outputs(dataset)


def slices_of(pipeline: Pipeline, searched: Collection[str]) -> Slices:
    """Divide a pipeline into what a search does not touch, and the rest."""
    touched: set[str] = set()
    trial = []
    for node in pipeline.nodes:  # Each comes after those that it depends on.
        read = parameters_read(node.inputs)
        is_searched = any(touches(name, each) for name in searched for each in read)
        if is_searched or touched & {_data(name) for name in node.inputs}:
            touched.update(map(_data, node.outputs))
            trial.append(node)
    return Slices(Pipeline([node for node in pipeline.nodes if node not in trial]), Pipeline(trial))


def _data(name: str) -> str:
    """Return what a data set is called however it is read: `rows` for `rows@polars`."""
    return name.partition("@")[0]
