"""The rules of promotion, on plain numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite

from ..config import BoundOptions, ImprovementOptions, PromotionOptions

Metrics = Mapping[str, float]

# What two ways of adding up the same numbers may differ by.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Check:
    """One rule, and whether it holds: not for a number that was not measured or is not finite.

    Attributes:
        key: the rule's key in mlflow.yml below `promotion`, as `slices.rmse`.
        rule: the rule as a person reads it.
        value: the candidate's number.
        champion: the champion's, where the rule compares with it.
        bound: what the number must be, as a person reads it.
        holds: whether it is.
    """

    key: str
    rule: str
    value: float | None
    champion: float | None
    bound: str
    holds: bool


@dataclass(frozen=True)
class Verdict:
    """What the rules say about a version of a registered model.

    Attributes:
        champion: the number of the version that is the champion so far.
        rows: how many rows the holdout has.
        how: how the two were measured, a sentence; empty if they were not compared.
        note: why they were not compared although a rule does, a sentence.
    """

    name: str
    version: str
    champion: str | None
    checks: Sequence[Check] = field(default_factory=list)
    rows: str | None = None
    how: str = ""
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether all rules hold."""
        return all(check.holds for check in self.checks)

    @property
    def why(self) -> str:
        """Why all rules hold, as part of a sentence."""
        count = len(self.checks)
        if count == 0:
            return "there are no rules in mlflow.yml"
        return "its rule holds" if count == 1 else f"all {count} rules hold"

    @property
    def broken(self) -> str:
        """The rules that do not hold, as a list in a sentence."""
        return ", ".join(check.rule for check in self.checks if not check.holds)

    @property
    def title(self) -> str:
        """What is judged, on how many rows."""
        against = f" against the champion, version {self.champion}" if self.champion else ""
        rows = f", on {self.rows} rows" if self.rows else ""
        return f"Version {self.version} of {self.name}{against}{rows}"


def judge(
    options: PromotionOptions, candidate: Metrics, champion: Metrics | None = None
) -> list[Check]:
    """Check a candidate's numbers against the rules, in the order of mlflow.yml.

    Args:
        options: the rules.
        candidate: its metrics by name; that of a group is ``group/metric``.
        champion: the champion's on the same holdout; without a champion nothing is compared.
    """
    checks = [
        _check(f"thresholds.{name}", name, candidate.get(name), bound)
        for name, bound in options.thresholds.items()
    ]
    checks += [_check_slices(name, candidate, bound) for name, bound in options.slices.items()]
    if champion is not None:
        checks += [
            _compare(name, candidate.get(name), champion.get(name), comparison)
            for name, comparison in options.improvement.items()
        ]
    return checks


def _check_slices(name: str, metrics: Metrics, bound: BoundOptions) -> Check:
    """Check the group that is farthest from the overall value, on the side that is bounded."""
    key, overall = f"slices.{name}", metrics.get(name)
    ratios = {}
    for path, value in metrics.items():
        group, _, metric = path.rpartition("/")
        if overall and group and metric == name:
            ratios[group] = value / overall
    if not ratios:
        return _check(key, f"{name} of each group / overall", None, bound)

    def excess(group: str) -> float:
        ratio = ratios[group]
        if not isfinite(ratio):
            return inf
        above = -inf if bound.max is None else ratio - bound.max
        below = -inf if bound.min is None else bound.min - ratio
        return max(above, below)

    worst = max(ratios, key=excess)
    return _check(key, f"{name} of {worst} / overall", ratios[worst], bound)


def _compare(
    name: str, value: float | None, champion: float | None, options: ImprovementOptions
) -> Check:
    key, rule = f"improvement.{name}", f"{name} against the champion"
    if champion is None or not isfinite(champion):
        return Check(key, rule, value, None, "the champion's is not measured", False)
    allowed = options.tolerance * abs(champion)
    if options.better == "lower":
        bound = BoundOptions(max=champion + allowed)
    else:
        bound = BoundOptions(min=champion - allowed)
    return _check(key, rule, value, bound, champion)


def _check(
    key: str, rule: str, value: float | None, bound: BoundOptions, champion: float | None = None
) -> Check:
    low = -inf if bound.min is None else bound.min - _ROUNDING * abs(bound.min)
    high = inf if bound.max is None else bound.max + _ROUNDING * abs(bound.max)
    holds = value is not None and isfinite(value) and low <= value <= high
    return Check(key, rule, value, champion, _describe(bound), holds)


def _describe(bound: BoundOptions) -> str:
    if bound.min is None:
        return f"at most {bound.max:.5g}"
    if bound.max is None:
        return f"at least {bound.min:.5g}"
    return f"{bound.min:.5g} to {bound.max:.5g}"
