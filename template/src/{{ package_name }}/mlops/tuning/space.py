"""The search space: what tuning.yml says, held against the project, and drawn from by trials."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline

from ..errors import TrackingError, listed
from .options import FILE, ChoicesOptions, RangeOptions, SearchOptions

if TYPE_CHECKING:
    from optuna import Trial

_MISSING = object()


@dataclass(frozen=True)
class Space:
    """Parameters by their dotted names, those that others depend on first."""

    options: Mapping[str, SearchOptions]
    current: Mapping[str, Any]  # Their values in the project.

    def draw(self, trial: "Trial") -> dict[str, Any]:
        """Let Optuna choose the values of a trial; what does not apply keeps the project's."""
        drawn: dict[str, Any] = {}
        for name in ordered(self.options):
            if self._applies(name, drawn):
                drawn[name] = self._suggest(trial, name)
        return drawn

    def _applies(self, name: str, drawn: Mapping[str, Any]) -> bool:
        return all(
            other in drawn and drawn[other] in wanted
            for other, wanted in conditions(self.options[name]).items()
        )

    def _suggest(self, trial: "Trial", name: str) -> Any:
        options = self.options[name]
        if isinstance(options, ChoicesOptions):
            return trial.suggest_categorical(name, options.choices)
        low, high, log, step = options.low, options.high, options.log, options.step
        if is_whole(options, self.current[name]):
            return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=log)
        return trial.suggest_float(name, low, high, step=step, log=log)


def is_whole(options: RangeOptions, current: Any) -> bool:
    """Return whether a range is of integers: by the project's value, or else by its bounds."""
    numbers = [options.low, options.high, options.step or 1]
    of_bounds = all(float(each).is_integer() for each in numbers)
    return of_bounds and not isinstance(current, float)


def ordered(search: Mapping[str, SearchOptions]) -> list[str]:
    """Name the searched parameters, those that others depend on first."""
    try:
        graph = {name: conditions(options).keys() for name, options in search.items()}
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise TrackingError(f"{FILE}: the conditions go round in a circle: {circle}.") from error
    return [name for name in order if name in search]


def conditions(options: SearchOptions) -> dict[str, list[Any]]:
    """Return the values that other parameters must have."""
    return {
        name: wanted if isinstance(wanted, list) else [wanted]
        for name, wanted in options.when.items()
    }


def space_of(
    search: Mapping[str, SearchOptions], parameters: Mapping[str, Any], pipeline: Pipeline
) -> Space:
    """Hold a search against the project; a TrackingError has a line for each thing that is wrong.

    The pipeline is what the metric needs.
    """
    read = parameters_read(pipeline.inputs())
    known = list(leaves(parameters))
    wrong, current = [], {}
    for name, options in search.items():
        value = lookup(parameters, name)
        if value is _MISSING:
            near = get_close_matches(name, known, n=1, cutoff=0.0)
            meant = f"; the nearest one is '{near[0]}'" if near else ""
            wrong.append(f"search.{name}: the project has no such parameter{meant}.")
        elif isinstance(value, dict | list):
            wrong.append(f"search.{name}: it holds several values: name one of them.")
        elif not any(touches(name, each) for each in read):
            wrong.append(f"search.{name}: no node that the metric needs reads it.")
        elif isinstance(options, RangeOptions) and not _is_number(value):
            wrong.append(f"search.{name}: it is {value!r} in the project: give it choices.")
        elif problem := _problem_of_range(options, value):
            wrong.append(f"search.{name}: {problem}")
        current[name] = value
        wrong += _problems_of_conditions(name, options, search)
    if wrong:
        raise TrackingError("\n".join(f"{FILE}: {line}" for line in wrong))
    ordered(search)
    return Space(search, current)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _problem_of_range(options: SearchOptions, value: Any) -> str | None:
    if not isinstance(options, RangeOptions) or not isinstance(value, int):
        return None
    if is_whole(options, value):
        return None
    return f"it is the whole number {value} in the project: give it whole bounds, and a whole step."


def _problems_of_conditions(
    name: str, options: SearchOptions, search: Mapping[str, SearchOptions]
) -> Sequence[str]:
    wrong = []
    for other, wanted in conditions(options).items():
        condition = search.get(other)
        if not isinstance(condition, ChoicesOptions):
            wrong.append(f"search.{name}.when: '{other}' is not searched by choices.")
            continue
        for value in wanted:
            if value not in condition.choices:
                some = listed(condition.choices)
                wrong.append(f"search.{name}.when: {other} is never {value!r} (it is: {some}).")
    return wrong


def parameters_read(inputs: Iterable[str]) -> set[str]:
    """Return the names of the parameters among the inputs of nodes."""
    return {name.removeprefix("params:") for name in inputs if is_parameter(name)}


def touches(parameter: str, read: str) -> bool:
    """Return whether a node that reads `read` reads something of a parameter."""
    return (
        read == "parameters"
        or f"{parameter}.".startswith(f"{read}.")
        or f"{read}.".startswith(f"{parameter}.")
    )


def lookup(parameters: Mapping[str, Any], name: str) -> Any:
    """Return the value of a dotted name."""
    value: Any = parameters
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def leaves(parameters: Mapping[str, Any], before: str = "") -> list[str]:
    """List the dotted names of all single values."""
    found: list[str] = []
    for key, value in parameters.items():
        name = f"{before}{key}"
        found += leaves(value, f"{name}.") if isinstance(value, Mapping) else [name]
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into the nested parameters that Kedro takes."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *parents, last = name.split(".")
        place = found
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return found
