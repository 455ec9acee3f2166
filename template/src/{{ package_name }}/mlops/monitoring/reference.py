"""The reference: what the training data and the predictions for them were like, in shares.

A model keeps it as one of its files. It is made from counts: no row is in it, no value that fewer
than ten rows have, and no share of fewer than ten rows. Shares have two digits, so that the
difference of two says nothing of a few rows either.
"""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import ceil, floor, inf, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ..model.columns import is_gap
from ..model.schema import as_table
from ..redaction import mask_text
from . import statistics

if TYPE_CHECKING:
    from ..model.schema import Schema

FILE = "reference.json"

# Fewer rows are never told apart.
SMALLEST_GROUP = 10
_BUCKETS = 10
_MOST_CATEGORIES = 20
_TAIL = 0.2
# Of numbers beyond it, or nearer to each other as a share of them, none are told apart.
_LARGEST, _NEAREST = 1e290, 1e-9
_NUMBERS = {"double", "float", "long", "integer", "decimal"}
_CATEGORIES = {"string", "category", "boolean"}
# Of predictions that are saved: the version is no prediction.
_NOT_PREDICTED = {"model_version", "model_run_id"}

# By name, whichever library their table is of.
Columns = Mapping[str, "pd.Series[Any]"]


class Counts(NamedTuple):
    """How many values are in each bucket, missing, and beyond what training had."""

    buckets: Sequence[int]
    missing: int
    beyond: int

    def __add__(self, other: "Counts") -> "Counts":  # type: ignore[override]
        buckets = [one + two for one, two in zip(self.buckets, other.buckets, strict=True)]
        return Counts(buckets, self.missing + other.missing, self.beyond + other.beyond)

    @property
    def rows(self) -> int:
        """All values."""
        return sum(self.buckets) + self.missing


@dataclass(frozen=True)
class Distribution:
    """How the values of a column were spread, by buckets: the last of categories is all others.

    Without bounds and names it has one bucket: too few rows, or values of a kind that is not
    counted, such as dates.
    """

    shares: Sequence[float] = (1.0,)  # Of the values that are not missing.
    missing: float = 0.0  # Of all values.
    bounds: Sequence[float] = ()  # Between the buckets of numbers.
    names: Sequence[str] = ()  # Of categories.
    outside: float = 0.0  # Of the numbers that are not missing, those beyond the fence.

    @property
    def buckets(self) -> list[str]:
        """Name the buckets."""
        if self.names:
            return [*self.names, "(other)"]
        if not self.bounds:
            return ["(all)"]
        between = zip(self.bounds, self.bounds[1:], strict=False)
        inner = [f"{low:g} to {high:g}" for low, high in between]
        return [f"below {self.bounds[0]:g}", *inner, f"from {self.bounds[-1]:g}"]

    @cached_property
    def fence(self) -> tuple[float, float]:
        """Bounds beyond which a number is out of range.

        As far outside of the bounds as these are apart: Tukey's fence, from deciles. The extremes
        would be values of one row each.
        """
        if not self.bounds or max(self.shares[0], self.shares[-1]) > _TAIL:
            return -inf, inf  # Too few rows: the bounds are no tails.
        low, high = self.bounds[0], self.bounds[-1]
        return low - (high - low), high + (high - low)

    @property
    def before(self) -> dict[str, float]:
        """Return what of the shares that `drift` measures the training had already."""
        others = self.shares[-1] if self.names else 0.0
        return {"missing": self.missing, "unseen": others, "out_of_range": self.outside}

    def count(self, values: "pd.Series[Any]") -> Counts:
        """Count values in the buckets."""
        if self.bounds:
            numbers = _numbers(values)
            known = numbers[~np.isnan(numbers)]
            places = np.searchsorted(self.bounds, known, side="right")
            buckets = np.bincount(places, minlength=len(self.shares)).tolist()
            low, high = self.fence
            return Counts(
                buckets, len(numbers) - len(known), int(((known < low) | (known > high)).sum())
            )
        missing = int(values.isna().sum())
        if not self.names:
            return Counts([len(values) - missing], missing, 0)
        found = _texts(values)
        buckets = [found.pop(name, 0) for name in self.names]
        others = sum(found.values())
        return Counts([*buckets, others], len(values) - sum(buckets) - others, others)

    def drift(self, rows: float, counts: Counts) -> dict[str, float]:
        """Measure how far counts are from this: PSI, the probability of chance, and shares.

        `rows` is how many the shares are of.
        """
        found = {"missing": counts.missing / max(counts.rows, 1)}
        known = sum(counts.buckets)
        if known and (self.bounds or self.names):
            test = statistics.chi_square if self.names else statistics.kolmogorov_smirnov
            found["psi"] = statistics.psi(self.shares, counts.buckets)
            found["p_value"] = test(self.shares, rows, counts.buckets)[1]
            found["unseen" if self.names else "out_of_range"] = counts.beyond / known
        return found


@dataclass(frozen=True)
class Group:
    """All rows, or those of one value of a column that mlflow.yml's monitoring watches."""

    rows: float = 0
    columns: Mapping[str, Distribution] = field(default_factory=dict)
    predictions: Mapping[str, Distribution] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """What the training had, of all rows ("") and of groups by `column=value`."""

    groups: Mapping[str, Group]

    @classmethod
    def read(cls, path: Path) -> "Reference":
        """Read what `write` has written."""
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = ("columns", "predictions")
        return cls(
            {
                name: Group(
                    group["rows"],
                    *({key: Distribution(**each) for key, each in group[p].items()} for p in parts),
                )
                for name, group in content["groups"].items()
            }
        )

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        path.write_text(mask_text(text), encoding="utf-8")

    def members(self, columns: Columns) -> Iterator[tuple[str, Any]]:
        """Yield each group's name, and which rows of a table are in it: a mask, or all."""
        known: dict[str, Any] = {}
        for name in self.groups:
            column, _, value = name.partition("=")
            if not name:
                yield name, slice(None)
            elif column in columns:
                if column not in known:
                    known[column] = columns[column].map(text_of)
                yield name, (known[column] == value).to_numpy()


def distribution_of(values: "pd.Series[Any]", kind: str) -> Distribution:
    """Describe the values of a column, of a type of the schema's."""
    numbers = _numbers(values) if kind in _NUMBERS else np.empty(0)
    rows = len(values)
    missing = int(np.isnan(numbers).sum()) if kind in _NUMBERS else int(values.isna().sum())
    if rows - missing < SMALLEST_GROUP:
        return Distribution(missing=1.0 if missing >= SMALLEST_GROUP else 0.0)
    share = _rounded(missing / rows) if missing >= SMALLEST_GROUP else 0.0
    if kind in _CATEGORIES or (
        kind in _NUMBERS and len(np.unique(numbers[~np.isnan(numbers)])) <= _BUCKETS
    ):
        names, shares = _categories(_texts(values))
        return Distribution(shares, share, names=names) if names else Distribution(missing=share)
    if kind not in _NUMBERS:
        return Distribution(missing=share)
    known = numbers[~np.isnan(numbers)]
    bounds = _bounds(known)
    counts = np.bincount(np.searchsorted(bounds, known, side="right"), minlength=len(bounds) + 1)
    found = Distribution([_rounded(each / len(known)) for each in counts.tolist()], share, bounds)
    beyond = found.count(values).beyond
    outside = _rounded(beyond / len(known)) if beyond >= SMALLEST_GROUP else 0.0
    return replace(found, outside=outside)


def kind_of(values: "pd.Series[Any]") -> str:
    """Return the schema's type, or one as good, of a column of predictions."""
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_numeric_dtype(dtype):
        return "double"
    return "string" if pd.api.types.infer_dtype(values, skipna=True) == "string" else ""


def groups_of(columns: Columns, slices: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the rows of each group that is large enough to be described."""
    yield "", slice(None)
    for column in slices:
        if column in columns:
            texts = columns[column].map(text_of)
            for name in _categories(_texts(columns[column]))[0]:
                yield f"{column}={name}", (texts == name).to_numpy()


def describe(columns: Columns, kinds: Mapping[str, str]) -> dict[str, Distribution]:
    """Describe the columns of a table."""
    return {name: distribution_of(columns[name], kinds[name]) for name in kinds if name in columns}


def reference_of(
    rows: Columns,
    schema: "Schema",
    predicted: Mapping[str, Mapping[str, Distribution]],
    slices: Sequence[str] = (),
) -> Reference:
    """Describe the training's rows, whose predictions are described by group."""
    kinds = {each.name: each.type for each in schema.columns if not each.is_id}
    return Reference(
        {
            name: Group(
                _rounded(float(len(next(iter(part.values()), ())))),
                describe(part, kinds),
                predicted.get(name, {}),
            )
            for name, members in groups_of(rows, slices)
            for part in [{label: each[members] for label, each in rows.items()}]
        }
    )


def predictions_by_group(
    predictions: Columns, rows: Columns, slices: Sequence[str], ids: Sequence[Hashable] = ()
) -> dict[str, dict[str, Distribution]]:
    """Describe what was predicted for rows, of all and of each group."""
    left_out = {*map(str, ids)} | _NOT_PREDICTED
    kinds = {name: kind_of(each) for name, each in predictions.items() if name not in left_out}
    return {
        name: describe({label: predictions[label][members] for label in kinds}, kinds)
        for name, members in groups_of(rows, slices)
    }


def as_columns(table: Any) -> Columns:
    """Return the columns of a table of pandas or Polars."""
    if isinstance(table, pd.DataFrame):
        return {str(name): table.iloc[:, place] for place, name in enumerate(table.columns)}
    return {str(name): pd.Series(table[name].to_list()) for name in table.columns}


def as_table_of(predictions: Any) -> Any:
    """Return predictions as a table; a ValueError says that they are no rows."""
    library = type(predictions).__module__.partition(".")[0]
    table = as_table(predictions, "polars" if library == "polars" else "pandas")
    if table is None:
        raise ValueError(f"predictions of {type(predictions).__name__} are no table")
    return table


def text_of(value: Any) -> str | None:
    """Return the text of a category, however it has arrived; none for a gap."""
    if is_gap(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _texts(values: "pd.Series[Any]") -> dict[str, int]:
    """Count the texts of categories, the most frequent first."""
    found: dict[str, int] = {}
    for value, count in values.astype(object).map(_hashable).value_counts().items():
        if (text := text_of(value)) is not None:
            found[text] = found.get(text, 0) + count
    return found


def _hashable(value: Any) -> Any:
    return value if isinstance(value, Hashable) else str(value)


def _numbers(values: "pd.Series[Any]") -> "np.ndarray[Any, Any]":
    numbers = pd.to_numeric(values, errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=float, na_value=np.nan))


def _categories(found: Mapping[str, int]) -> tuple[list[str], list[float]]:
    """Return the names of categories that are frequent enough, and shares, the last of all others.

    Others of fewer than ten rows would be known by subtraction: the smallest category joins them.
    """
    total = sum(found.values())
    kept = sorted(found.items(), key=lambda each: (-each[1], each[0]))[:_MOST_CATEGORIES]
    kept = [each for each in kept if each[1] >= SMALLEST_GROUP]
    others = total - sum(count for _, count in kept)
    while kept and 0 < others < SMALLEST_GROUP:
        others += kept.pop()[1]
    counts = [*(count for _, count in kept), others]
    return [name for name, _ in kept], [_rounded(count / max(total, 1)) for count in counts]


def _bounds(values: "np.ndarray[Any, Any]") -> list[float]:
    """Cut numbers into at most ten buckets of about as many rows, each of ten rows or more.

    A bound is a short decimal near a decile, and no row's own value.
    """
    rows = np.sort(values[np.abs(values) < _LARGEST])
    total, last, bounds = len(rows), 0, list[float]()
    wanted = min(_BUCKETS, total // SMALLEST_GROUP)
    near = max(SMALLEST_GROUP // 2, total // 100)
    for part in range(1, wanted):
        low = rows[max(part * total // wanted - near, 0)]
        beyond = max(part * total // wanted, int(np.searchsorted(rows, low, side="right"))) + near
        bound = _short_decimal(float(low), float(rows[min(beyond, total - 1)]), rows)
        if bound is None:
            continue
        below = int(np.searchsorted(rows, bound))
        if min(below - last, total - below) >= SMALLEST_GROUP:
            bounds.append(bound)
            last = below
    return bounds


def _short_decimal(low: float, high: float, rows: "np.ndarray[Any, Any]") -> float | None:
    """Return a number of few digits between two that no row has; none if they are too near."""
    if high - low <= max(_NEAREST * max(abs(low), abs(high)), 1 / _LARGEST):
        return None
    digits = floor(-log10(high - low))
    for more in range(4):
        step = 10.0 ** -(digits + more)
        found = np.arange(floor(low / step) + 1, ceil(high / step)) * step
        found = np.round(found, digits + more)
        found = found[(found > low) & (found < high) & ~np.isin(found, rows)]
        if len(found):
            return float(found[len(found) // 2])
    return None


def _rounded(value: float) -> float:
    """Round to two digits."""
    return float(f"{value:.2g}")
