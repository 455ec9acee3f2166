"""What of a node's output is tracked: numbers, histories of numbers, figures and models."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from ...config import MetricsOptions
from .artifacts import is_figure
from .foreign import entries_of, number_of, size_of, step_of, text_of, type_name
from .models import flavor_of
from .values import Metric, Names, valid_name

# The keys that lead to an entry, in nested dictionaries and lists.
Keys = tuple[str, ...]
# A number's step, and the number.
Point = tuple[int, float]

# How many of the entries that are not tracked are named.
_NAMED = 10


@dataclass
class Findings:
    """What was found in one output, by the keys that lead to it."""

    points: dict[Keys, list[Point]] = field(default_factory=dict)
    figures: dict[Keys, Any] = field(default_factory=dict)
    models: dict[Keys, Any] = field(default_factory=dict)
    rest: dict[Keys, str] = field(default_factory=dict)  # What is none of these, and what it is.
    has_numbers: bool = False  # Whether somebody may expect metrics of it.


def find(value: Any, options: MetricsOptions) -> Findings:
    """Look through an output: itself, and what dictionaries, lists and tuples in it hold.

    A number is a history of one point. A history is a list of numbers, whose steps count from 0, of
    (step, number) pairs or of ``{"value": …, "step": …}``; one of these alone; or ``{step: number,
    …}``. Other numbers in lists are data, and so is what has more entries than `options` allow.
    """
    search = _Search(options)
    try:
        search.look((), value, (), in_list=False)
    except _TooManyError:
        search.found.points.clear()
        search.found.rest = {(): f"more than {options.max_names} entries"}
    return search.found


def metrics_of(
    dataset: str, found: Findings, options: MetricsOptions, names: Names
) -> list[Metric]:
    """Name what was found and choose from it, as ``tracking.metrics`` in mlflow.yml says.

    The name is ``dataset`` for the output itself and ``dataset/key`` for an entry (MLflow's page
    groups metrics by what is before a slash).
    """
    wanted = {keys: "/".join((dataset, *keys)) for keys in found.points}
    valid = {keys: valid_name(name) for keys, name in wanted.items()}
    # A name that MLflow takes as it is comes before one that becomes the same.
    first = sorted(wanted, key=lambda keys: valid[keys] != wanted[keys])
    named = {keys: names.name((dataset, *keys), valid[keys]) for keys in first}
    return [
        (named[keys], number, step)
        for keys, points in found.points.items()
        if _fits(named[keys], options.include) and not _fits(named[keys], options.exclude)
        for step, number in points
    ]


def left_out(found: Findings) -> str:
    """List what is not tracked of an output with numbers; empty for an output without any."""
    if not found.has_numbers:
        return ""
    named = [f"{'/'.join(keys)} ({what})" if keys else what for keys, what in found.rest.items()]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{', '.join(named[:_NAMED])}{more}"


def history_of(value: Any, longest: int) -> list[Point] | None:
    """Read a history; its gaps are left out. None if it is no history, empty if it is too long."""
    if not issubclass(type(value), list | dict):
        return None
    some = list(islice(entries_of(value), longest + 1))
    first = next((entry for entry in some if entry[1] is not None), (None, None))
    readers = (_by_step,) if issubclass(type(value), dict) else (_by_step, _pair, _record)
    read = next((read for read in readers if read(*first)), None)
    if read is None:
        return None
    if len(some) > longest:
        return []
    read_points = [read(*entry) for entry in some if entry[1] is not None]
    points = [point for point in read_points if point]
    return points if len(points) == len(read_points) else None


class _TooManyError(Exception):
    """There are more entries than are looked at."""


class _Search:
    def __init__(self, options: MetricsOptions) -> None:
        self.found = Findings()
        self._options = options
        self._looked_at = -1  # The output itself is no entry.

    def look(self, keys: Keys, value: Any, above: tuple[int, ...], in_list: bool) -> None:
        """Look at an entry; what is in a list may be a model or a figure, and is no metric."""
        self._looked_at += 1
        if self._looked_at > self._options.max_names:
            raise _TooManyError
        if (number := number_of(value)) is not None:
            self._add(keys, [(0, number)], in_list)
        elif point := _record(0, value):
            self._add(keys, [point], in_list)
        elif is_figure(value):
            self.found.figures[keys] = value
        elif flavor_of(value):
            self.found.models[keys] = value
        elif (size := size_of(value)) and id(value) not in above:
            points = None if in_list else history_of(value, self._options.max_history)
            if points:
                self._add(keys, points)
                if gaps := size - len(points):
                    self.found.rest[keys] = f"None at {gaps} of {size} steps"
            elif points is not None or size > self._options.max_names:
                _, first = next(iter(entries_of(value)), (0, None))
                self.found.has_numbers |= points is not None or number_of(first) is not None
                self._leave_out(keys, value, in_list)
            else:
                self._look_inside(keys, value, (*above, id(value)), in_list)
        else:
            self._leave_out(keys, value, in_list)

    def _look_inside(self, keys: Keys, value: Any, above: tuple[int, ...], in_list: bool) -> None:
        before = len(self.found.figures) + len(self.found.models)
        is_list = not issubclass(type(value), dict)
        for key, entry in entries_of(value):
            self.look((*keys, text_of(key)), entry, above, in_list or is_list)
        if is_list and len(self.found.figures) + len(self.found.models) == before:
            self._leave_out(keys, value, in_list)

    def _add(self, keys: Keys, points: list[Point], in_list: bool = False) -> None:
        if not in_list:
            self.found.points[keys] = points
            self.found.has_numbers = True

    def _leave_out(self, keys: Keys, value: Any, in_list: bool) -> None:
        if not in_list:
            entries = f" of {size} entries" if (size := size_of(value)) else ""
            self.found.rest[keys] = f"{type_name(value)}{entries}"


def _by_step(step: Any, value: Any) -> Point | None:
    step, number = step_of(step), number_of(value)
    return None if step is None or number is None else (step, number)


def _pair(_: Any, value: Any) -> Point | None:
    """Read ``(step, number)``."""
    if not issubclass(type(value), list | tuple) or size_of(value) != 2:
        return None
    (_, step), (_, number) = entries_of(value)
    return _by_step(step, number)


def _record(_: Any, value: Any) -> Point | None:
    """Read ``{"value": …, "step": …}``, as kedro-mlflow has it; the time is MLflow's own."""
    if not issubclass(type(value), dict) or size_of(value) not in (2, 3):
        return None
    entries = {text_of(key): entry for key, entry in entries_of(value)}
    if not entries.keys() <= {"value", "step", "timestamp"}:
        return None
    return _by_step(entries.get("step"), entries.get("value"))


def _fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
