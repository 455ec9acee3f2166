"""Runs compared: their metrics, and which differences are more than chance.

Whether a difference means something is told by a paired bootstrap: the holdout's rows are drawn
again with replacement, and the project's own node measures both models on the same draw. If 95 % of
the differences are on one side of 0, it is not by chance of the rows (Efron and Tibshirani 1993,
"An Introduction to the Bootstrap", chapter 13: the percentile interval).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backend.client import connect
from ..config import KedroMlflowConfig, PromotionOptions
from ..directions import direction_of
from ..errors import TrackingError
from ..model.card import Table
from ..project import State
from ..tracking.capture.values import valid_name
from .comparison import evaluating_node, measure, predict_again, without_prefix
from .holdout import DIGEST_TAG, load_holdout, load_shared
from .report import number
from .versions import download

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

Interval = tuple[float, float]
CHANCE, SAME, NOT_KNOWN = "may be chance", "the same", ""
_SEED, _PERCENT = 0, (2.5, 97.5)


@dataclass(frozen=True)
class Compared:
    """A run beside the first one: metrics by name, and the interval of each difference."""

    run_id: str
    first: Mapping[str, float]
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    better: Mapping[str, str]  # "higher" or "lower", by metric, where the owner says it.

    def table(self) -> Table:
        """Write a line per metric, those of groups behind the others."""
        rows = [["Metric", "First", "This", "Difference", "95 %", "Says"]]
        names = self.first.keys() | self.metrics.keys()
        for name in sorted(names, key=lambda each: ("/" in each, each)):
            old, new = self.first.get(name), self.metrics.get(name)
            difference = "" if old is None or new is None else f"{new - old:+.4g}"
            low_high = self.intervals.get(name)
            interval = f"{low_high[0]:+.4g} to {low_high[1]:+.4g}" if low_high else ""
            meaning = says(low_high, _direction(self.better, name))
            rows.append([name, number(old), number(new), difference, interval, meaning])
        return rows


def says(interval: Interval | None, better: str | None) -> str:
    """Say what a difference means, of which 95 % are in this interval."""
    if interval is None:
        return NOT_KNOWN
    low, high = interval
    if low == high == 0:
        return SAME
    if low <= 0 <= high:
        return CHANCE
    if better is None:
        return "differs"
    return "better" if (low > 0) == (better == "higher") else "worse"


def compare_runs(
    config: KedroMlflowConfig, state: State, run_ids: Sequence[str], resamples: int
) -> tuple[list[Compared], str]:
    """Compare runs with the first of them; also return how, as a sentence.

    Where each has a version of the model and the first one's holdout is at hand, all predict for
    that again. Otherwise what the runs have logged is compared, and nothing says what is chance.
    """
    client, options = connect(config.server), config.promotion
    runs = [client.get_run(run_id) for run_id in run_ids]
    better = {name: each.better for name, each in options.improvement.items() if each.better}
    versions = [_version_of(client, config, run_id) for run_id in run_ids]
    missing = [run.info.run_id for run, each in zip(runs, versions, strict=True) if each is None]
    try:
        if missing:
            raise TrackingError(f"no version of the model is of the run {missing[0]}")
        inputs = _holdout_of(config, state, runs[0], versions[0])
        folders = [download(each, config.server) for each in versions if each]
        environment = config.model.environment if config.model else ()
        predictions = predict_again(options, inputs, folders, environment)
        found, differences = bootstrap(options, inputs, predictions, resamples)
        how = f"All have predicted again for the holdout of the first, drawn {resamples} times."
    except TrackingError as error:
        found = [without_prefix(run.data.metrics, options) for run in runs]
        differences = [{} for _ in runs]
        digests = {run.data.tags.get(DIGEST_TAG) for run in runs}
        same = len(digests) == 1 and None not in digests
        on = "the same holdout" if same else "other rows each"
        how = f"As the runs have logged it, on {on}. What is chance is not known: {error.message}."
    rest = zip(run_ids[1:], found[1:], differences[1:], strict=True)
    return [Compared(run_id, found[0], each, by, better) for run_id, each, by in rest], how


def best_runs(config: KedroMlflowConfig, count: int, metric: str | None) -> list[str]:
    """Return the ids of the finished runs that are best by a metric, the best first."""
    options, client = config.promotion, connect(config.server)
    name = metric or next(iter(options.improvement), None)
    if name is None:
        raise TrackingError("promotion.yml has no improvement: name a metric by --metric.")
    told = {metric: each.better for metric, each in options.improvement.items() if each.better}
    better = _direction(told, name)
    if better is None:
        raise TrackingError(
            f"Whether '{name}' is better high or low is not known: say it in promotion.yml, "
            f"improvement.{name}.better."
        )
    experiment = client.get_experiment_by_name(config.tracking.experiment.name)
    key = f"{valid_name(options.evaluation)}/{name}"
    order = "DESC" if better == "higher" else "ASC"
    found = client.search_runs(
        [experiment.experiment_id] if experiment else [],
        "attributes.status = 'FINISHED'",
        order_by=[f"metrics.`{key}` {order}"],
        max_results=count,
    )
    return [str(run.info.run_id) for run in found if key in run.data.metrics]


def _direction(told: Mapping[str, str], name: str) -> str | None:
    """Return the direction of a metric: its own, that of all rows, or what its name tells."""
    return told.get(name) or told.get(name.rpartition("/")[2]) or direction_of(name)


def _version_of(
    client: "MlflowClient", config: KedroMlflowConfig, run_id: str
) -> "ModelVersion | None":
    if config.model is None:
        return None
    found = client.search_model_versions(f"run_id = '{run_id}'")
    return next((each for each in found if each.name == config.model.name), None)


def _holdout_of(
    config: KedroMlflowConfig, state: State, run: "Run", version: "ModelVersion | None"
) -> dict[str, Any]:
    digest = run.data.tags.get(DIGEST_TAG)
    inputs = load_holdout(state, digest) if digest else None
    if digest and inputs is None and version:
        folder = download(version, config.server)
        inputs = load_shared(folder, evaluating_node(config.promotion))
    if inputs is None:
        raise TrackingError("the holdout of the first run is not on this machine")
    return inputs


def bootstrap(
    options: PromotionOptions,
    inputs: Mapping[str, Any],
    predictions: Sequence[Any],
    resamples: int,
) -> tuple[list[dict[str, float]], list[dict[str, Interval]]]:
    """Measure models on a holdout, and the difference of each to the first on draws of its rows.

    Returns metrics by name, and 95 % intervals by name, for each model. The draws are the same each
    time.
    """
    import numpy as np

    node = evaluating_node(options)
    whole = [measure(options, node, inputs, each) for each in predictions]
    count = len(inputs[str(options.holdout)])
    draws: list[dict[str, list[float]]] = [{} for _ in predictions]
    generator = np.random.default_rng(_SEED)
    for _ in range(resamples):
        drawn = _drawer(generator.integers(0, count, count))
        rows = {name: drawn(value) for name, value in inputs.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of groups that have one row left.
                first, *others = (measure(options, node, rows, drawn(each)) for each in predictions)
        except TrackingError:  # A draw may lack a class, which a metric needs.
            continue
        for found, other in zip(draws[1:], others, strict=True):
            for name in first.keys() & other.keys():
                found.setdefault(name, []).append(other[name] - first[name])
    # A small group is not in every draw, and some may have no metric there.
    kept = [{name: each for name, each in by.items() if len(each) > resamples / 2} for by in draws]
    ends = [{name: np.nanpercentile(each, _PERCENT) for name, each in by.items()} for by in kept]
    return whole, [{name: (float(a), float(b)) for name, (a, b) in by.items()} for by in ends]


def _drawer(places: Any) -> Callable[[Any], Any]:
    """Return what draws these rows of a table or an array of as many, and leaves others alone."""

    def draw(value: Any) -> Any:
        if not hasattr(value, "shape") or not value.shape or value.shape[0] != len(places):
            return value
        if hasattr(value, "iloc"):  # By its place: a label would be there twice.
            return value.iloc[places].reset_index(drop=True)
        return value[places]

    return draw
