"""The rules of promotion, on plain numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite

from ..config import BoundOptions, ImprovementOptions, PromotionOptions

Metrics = Mapping[str, float]


# What two ways of adding up the same numbers may differ by.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Check:
    """One rule, and what became of it.

    Attributes:
        key: the rule's place in mlflow.yml below `promotion`, as `slices.rmse`.
        rule: the rule as a person reads it.
        value: the candidate's number; none if it was not measured.
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


def judge(
    options: PromotionOptions, candidate: Metrics, champion: Metrics | None = None
) -> list[Check]:
    """Hold a candidate's numbers against the rules.

    Args:
        options: the rules.
        candidate: its metrics by name; that of a group is ``group/metric``.
        champion: the champion's on the same holdout; none when there is no champion, and then
            nothing to compare with.

    Returns:
        A check a rule, in the order of mlflow.yml. A number that was not measured, or is none,
        holds no rule.
    """
    checks = [
        _check(f"thresholds.{name}", name, candidate.get(name), bound)
        for name, bound in options.thresholds.items()
    ]
    for name, bound in options.slices.items():
        checks.append(_judge_slices(name, candidate, bound))
    if champion is not None:
        for name, comparison in options.improvement.items():
            checks.append(_compare(name, candidate.get(name), champion.get(name), comparison))
    return checks


def _judge_slices(name: str, metrics: Metrics, bound: BoundOptions) -> Check:
    """Judge the group that is farthest from the overall value, to the side that is bounded."""
    key, overall = f"slices.{name}", metrics.get(name)
    groups = dict(_groups(name, metrics))
    if not groups or not overall:
        return _check(key, f"{name} of each group / overall", None, bound)
    ratios = {group: value / overall for group, value in groups.items()}

    def excess(group: str) -> float:
        ratio = ratios[group]
        if not isfinite(ratio):
            return float("inf")
        above = ratio - bound.max if bound.max is not None else -float("inf")
        below = bound.min - ratio if bound.min is not None else -float("inf")
        return max(above, below)

    worst = max(ratios, key=excess)
    return _check(key, f"{name} of {worst} / overall", ratios[worst], bound)


def _groups(name: str, metrics: Metrics) -> Iterator[tuple[str, float]]:
    for path, value in metrics.items():
        group, _, metric = path.rpartition("/")
        if group and metric == name:
            yield group, value


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
    holds = value is not None and isfinite(value)
    if holds and value is not None and bound.min is not None:
        holds = value >= bound.min - _ROUNDING * abs(bound.min)
    if holds and value is not None and bound.max is not None:
        holds = value <= bound.max + _ROUNDING * abs(bound.max)
    return Check(key, rule, value, champion, _words(bound), holds)


def _words(bound: BoundOptions) -> str:
    if bound.min is None:
        return f"at most {bound.max:.5g}"
    if bound.max is None:
        return f"at least {bound.min:.5g}"
    return f"{bound.min:.5g} to {bound.max:.5g}"
