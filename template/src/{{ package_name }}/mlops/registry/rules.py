"""The rules of promotion, on plain numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf, isfinite

from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline

from ..config import BoundOptions, ImprovementOptions, PromotionOptions
from ..directions import direction_of

Metrics = Mapping[str, float]

# What two ways of adding up the same numbers may differ by.
_ROUNDING = 1e-9
# So many names are listed where one is unknown.
_MOST_NAMES = 10


@dataclass(frozen=True)
class Check:
    """One rule, and whether it holds: not for a number that was not measured or is not finite."""

    key: str  # The rule's key in the owner's file, as `slices.rmse`.
    rule: str  # As a person reads it.
    value: float | None
    champion: float | None  # The champion's value, where the rule compares with it.
    bound: str  # What the value must be, as a person reads it.
    holds: bool | None  # None if it was not compared with the champion's.
    missing: str = ""  # What was not measured, as part of a sentence.

    @property
    def complaint(self) -> str:
        """Why it does not hold, as part of a sentence."""
        if self.missing:
            return self.missing
        if self.holds is None:
            return f"{self.rule} is not compared"
        return f"{self.rule} is {self.value:.5g}, and must be {self.bound}"


@dataclass(frozen=True)
class Verdict:
    """What the rules say about a version of a registered model."""

    name: str
    version: str
    champion: str | None  # The number of the version that is the champion so far.
    checks: Sequence[Check] = ()
    rows: str | None = None  # How many the holdout has.
    how: str = ""  # How the two were measured, a sentence; empty if they were not compared.
    note: str = ""  # Why they were not compared although a rule does, a sentence.

    @property
    def holds(self) -> bool:
        """Whether all rules hold."""
        return all(check.holds for check in self.checks)

    @property
    def why(self) -> str:
        """Why all rules hold, as part of a sentence."""
        count = len(self.checks)
        if count == 0:
            return "there are no rules"
        return "its rule holds" if count == 1 else f"all {count} rules hold"

    @property
    def broken(self) -> str:
        """The rules that do not hold, as a list in a sentence."""
        return ", ".join(check.rule for check in self.checks if not check.holds)

    @property
    def complaints(self) -> str:
        """Why the rules do not hold that do not, as part of a sentence."""
        return "; ".join(check.complaint for check in self.checks if not check.holds)

    @property
    def not_compared(self) -> str:
        """The rules that were not compared with the champion, as a list in a sentence."""
        return ", ".join(check.rule for check in self.checks if check.holds is None)

    @property
    def title(self) -> str:
        """What is judged, on how many rows."""
        against = f" against the champion, version {self.champion}" if self.champion else ""
        rows = f", on {self.rows} rows" if self.rows else ""
        return f"Version {self.version} of {self.name}{against}{rows}"


def judge(
    options: PromotionOptions, candidate: Metrics, champion: Metrics | None = None
) -> list[Check]:
    """Check a candidate's numbers against the rules, in the order of the owner's file.

    The metrics are by name, that of a group by ``group/metric``. Without a champion nothing is
    compared; what could not be compared with it does not hold.
    """
    checks = [
        _check(f"thresholds.{name}", name, candidate.get(name), bound, _missing(name, candidate))
        for name, bound in options.thresholds.items()
    ]
    checks += [_check_slices(name, candidate, bound) for name, bound in options.slices.items()]
    if champion is not None:
        checks += [
            _compare(name, candidate, champion, comparison)
            for name, comparison in options.improvement.items()
        ]
    return checks


def _check_slices(name: str, metrics: Metrics, bound: BoundOptions) -> Check:
    """Check the group that is farthest from the overall value, on the side that is bounded."""
    key, overall = f"slices.{name}", metrics.get(name)
    groups = {}
    for path, value in metrics.items():
        group, _, metric = path.rpartition("/")
        if group and metric == name:
            groups[group] = value
    if not (groups and overall):
        missing = f"{name} is measured for no group ({_measured(name, metrics)})"
        if overall is None:
            missing = _missing(name, metrics)
        elif groups:
            missing = f"{name} is {overall:g} overall, of which no group's is a share"
        return _check(key, f"{name} of each group / overall", None, bound, missing)
    ratios = {group: value / overall for group, value in groups.items()}
    low, high = _limits(bound)

    def excess(group: str) -> float:
        ratio = ratios[group]
        return max(ratio - high, low - ratio) if isfinite(ratio) else inf

    worst = max(ratios, key=excess)
    return _check(key, f"{name} of {worst} / overall", ratios[worst], bound)


def _compare(name: str, ours: Metrics, theirs: Metrics, options: ImprovementOptions) -> Check:
    key, rule = f"improvement.{name}", f"{name} against the champion"
    value, champion = ours.get(name), theirs.get(name)
    lower = (options.better or direction_of(name)) == "lower"
    if champion is None or not isfinite(champion):
        bound = f"at {'most' if lower else 'least'} the champion's"
        if value is None:
            return Check(key, rule, None, None, bound, False, _missing(name, ours))
        why = f"the champion's {name} is {'not measured' if champion is None else champion}"
        return Check(key, rule, value, None, bound, None, why if theirs else "")
    allowed = options.tolerance * abs(champion)
    limits = {"max": champion + allowed} if lower else {"min": champion - allowed}
    return _check(key, rule, value, BoundOptions(**limits), _missing(name, ours), champion)


def _missing(name: str, metrics: Metrics) -> str:
    return f"{name} is not measured ({_measured(name, metrics)})"


def _measured(name: str, metrics: Metrics) -> str:
    return f"measured: {nearest_first(name, metrics)}"


def _check(
    key: str,
    rule: str,
    value: float | None,
    bound: BoundOptions,
    missing: str = "",
    champion: float | None = None,
) -> Check:
    low, high = _limits(bound)
    low, high = low - _ROUNDING * abs(low), high + _ROUNDING * abs(high)
    holds = value is not None and isfinite(value) and low <= value <= high
    missing = missing if value is None else ""
    return Check(key, rule, value, champion, _describe(bound), holds, missing)


def _limits(bound: BoundOptions) -> tuple[float, float]:
    return -inf if bound.min is None else bound.min, inf if bound.max is None else bound.max


def _describe(bound: BoundOptions) -> str:
    if bound.min is None:
        return f"at most {bound.max:.5g}"
    if bound.max is None:
        return f"at least {bound.min:.5g}"
    return f"{bound.min:.5g} to {bound.max:.5g}"


def unknown_names(options: PromotionOptions, pipelines: Mapping[str, Pipeline]) -> list[str]:
    """Say, in a sentence each, which data sets that the rules name no pipeline has.

    Without rules and holdout nothing is measured, and no name matters.
    """
    rules = options.thresholds or options.slices or options.improvement
    if not (rules or options.holdout or options.predictions):
        return []
    nodes = [node for pipeline in pipelines.values() for node in pipeline.nodes]
    evaluating = [node for node in nodes if options.evaluation in node.outputs]
    if not evaluating:
        made = nearest_first(options.evaluation, {name for node in nodes for name in node.outputs})
        return [
            f"{options.at('evaluation')} names the data set '{options.evaluation}', which no node "
            f"makes (nodes make: {made})."
        ]
    names = {"holdout": options.holdout, "predictions": options.predictions}
    node = max(evaluating, key=lambda node: len(set(names.values()).intersection(node.inputs)))
    read = [name for name in node.inputs if not is_parameter(name)]
    return [
        f"{options.at(key)} names the data set '{name}', which '{node.name}', the node that makes "
        f"'{options.evaluation}', does not read (it reads: {nearest_first(name, read)})."
        for key, name in names.items()
        if name and name not in node.inputs
    ]


def nearest_first(wanted: str, names: Iterable[str]) -> str:
    """List the names that there are, those that look like the one that is wanted first."""
    left = sorted(set(names))
    near = get_close_matches(wanted, left, n=_MOST_NAMES)
    found = near + [name for name in left if name not in near]
    more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
    return (", ".join(found[:_MOST_NAMES]) or "nothing") + more
