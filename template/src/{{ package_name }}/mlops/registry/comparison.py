"""Two versions of the model, measured on one holdout by one function."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kedro.pipeline.node import Node

from ..backend.client import if_exists, muted
from ..config import KedroMlflowConfig, MetricsOptions, PromotionOptions, ServerOptions
from ..errors import TrackingError, one_line
from ..model.own_process import predictions_of
from ..project import State, registered_pipelines
from ..tracking.capture.findings import find, metrics_of
from ..tracking.capture.values import Names, valid_name
from .columns import Columns, columns_in, columns_of, difference, lacking, listed
from .holdout import DIGEST_TAG, ROWS_TAG, TOO_LARGE_TAG, load_holdout, load_shared
from .rules import Metrics, Verdict, judge, unknown_names
from .versions import download, run_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_SECONDS_TO_PREDICT = 600
# Whatever mlflow.yml has a run keep, rules may be about all of it.
_NO_LIMIT = MetricsOptions(max_names=sys.maxsize)


@dataclass(frozen=True)
class Elsewhere:
    """A version of another server, with what is needed to judge it: its run, and its files here."""

    version: "ModelVersion"
    run: "Run"
    folder: Path


# Returns the folder with a version's files.
_Fetch: TypeAlias = "Callable[[ModelVersion], Path]"


def judge_version(
    client: "MlflowClient",
    config: KedroMlflowConfig,
    state: State,
    version: "ModelVersion",
    champion: "ModelVersion | None",
    forced: bool = False,
    new: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Verdict:
    """Judge a version by the rules and, if one compares with the champion, measure that as well.

    If they cannot be compared, a forced verdict says so; otherwise it is a TrackingError. A `new`
    champion, of another problem, is not compared.
    """
    options = config.promotion
    run = elsewhere.run if elsewhere else run_of(client, version)
    folder = elsewhere.folder if elsewhere else None

    def fetch(each: "ModelVersion") -> Path:
        return folder if folder and each is version else download(each, config.server)

    metrics, rows = without_prefix(run.data.metrics, options), run.data.tags.get(ROWS_TAG)
    notes = unknown_names(options, registered_pipelines())
    if notes and not forced:
        raise TrackingError("\n".join(notes))
    theirs: Metrics | None = None
    how = ""
    if champion:
        reads = [
            columns_of(folder) if folder else columns_of_version(version, config.server),
            columns_of_version(champion, config.server),
        ]
        notes += filter(None, [difference(reads, str(champion.version))])
        if new:
            notes.append(f"It was not compared with version {champion.version} (--new-champion).")
        elif options.improvement:
            try:
                ours, theirs, how = _compare(
                    client, config, state, run, version, champion, reads, fetch
                )
                metrics |= ours
            except TrackingError as error:
                if not forced:
                    raise
                theirs = {}
                notes.append(str(error.message))
    number = str(champion.version) if champion else None
    checks = judge(options, metrics, theirs)
    return Verdict(version.name, str(version.version), number, checks, rows, how, " ".join(notes))


def _compare(
    client: "MlflowClient",
    config: KedroMlflowConfig,
    state: State,
    run: "Run",
    version: "ModelVersion",
    champion: "ModelVersion",
    reads: Sequence[Columns | None],
    fetch: _Fetch,
) -> tuple[Metrics, Metrics, str]:
    """Return metrics of both on the same holdout, and how they were measured, as a sentence.

    What the champion's own run has measured counts if it answers the same question: the same rows,
    parameters and module. Else both versions predict again for the candidate's holdout, each with
    the code that it brings along, and today's function measures both. A TrackingError says why that
    is not possible, and what is.
    """
    options, number = config.promotion, version.version
    digest = run.data.tags.get(DIGEST_TAG)
    other = if_exists(client.get_run, str(champion.run_id))
    if digest and other and other.data.tags.get(DIGEST_TAG) == digest:
        how = f"Both runs have measured on the same holdout ({digest[:8]})."
        return {}, without_prefix(other.data.metrics, options), how
    subject = f"Version {number} cannot be compared with the champion, version {champion.version}: "
    way = "`--force --reason TEXT` promotes it without that comparison."
    inputs = load_holdout(state, digest) if digest else None
    if digest and inputs is None:
        inputs = load_shared(fetch(version), evaluating_node(options))
    offered = columns_in(inputs.get(str(options.holdout))) if inputs else None
    if missing := lacking(reads[1], offered or reads[0]):
        command = config.typed(f"promote --version {number} --new-champion --reason TEXT")
        raise TrackingError(
            f"{subject}it is for another problem. The champion reads {listed(missing)}, which the "
            f"data of version {number} do not have. `{command}` makes it the champion without a "
            "comparison."
        )
    if digest is None or inputs is None or options.holdout not in inputs:
        raise TrackingError(f"{subject}{_why_no_holdout(options, run, number, inputs)} {way}")
    folders = [fetch(each) for each in (version, champion)]
    try:
        environment = config.model.environment if config.model else ()
        ours, theirs = evaluate_again(options, inputs, folders, environment)
    except TrackingError as error:
        why = str(error.message).rstrip(".")
        for each, folder in zip((version, champion), folders, strict=True):
            why = why.replace(f"The model in {folder}", f"version {each.version}")
        raise TrackingError(f"{subject}{why}. {way}") from error
    how = f"Both have predicted again for the holdout of version {number} ({digest[:8]})."
    return ours, theirs, how


def _why_no_holdout(
    options: PromotionOptions, run: "Run", number: str, inputs: Mapping[str, Any] | None
) -> str:
    """Say why there are no rows to measure a version on, and what to do, as sentences."""
    if DIGEST_TAG not in run.data.tags:
        return (
            f"its run has not evaluated it on '{options.holdout}'. Train again in a run with the "
            f"node '{evaluating_node(options).name}'."
        )
    its = f"they were measured on different holdouts, and that of version {number}"
    if inputs is not None:
        return (
            f"{its} has no '{options.holdout}' ({options.at('holdout')}): it was called otherwise. "
            "Train again."
        )
    if size := run.data.tags.get(TOO_LARGE_TAG):
        return f"{its} was too large to be kept ({size})."
    return (
        f"{its} is not on this machine. Promote it where it was trained, or train again: with "
        "`share_holdout: true` a version brings it along."
    )


def columns_of_version(version: "ModelVersion", server: ServerOptions) -> Columns | None:
    """Return which columns a version reads; none if it does not say, or cannot be asked."""
    try:
        return columns_of(download(version, server, "MLmodel"))
    except TrackingError:
        return None


def evaluate_again(
    options: PromotionOptions,
    inputs: Mapping[str, Any],
    folders: Sequence[Path],
    environment: Sequence[str] = (),
) -> list[dict[str, float]]:
    """Let models predict for a holdout at the same time, and measure each by the project's node."""
    node = evaluating_node(options)
    found = predict_again(options, inputs, folders, environment)
    return [measure(options, node, inputs, predictions) for predictions in found]


def predict_again(
    options: PromotionOptions,
    inputs: Mapping[str, Any],
    folders: Sequence[Path],
    environment: Sequence[str] = (),
) -> list[Any]:
    """Let models predict for a holdout at the same time, each in a process of its own."""
    rows = inputs[str(options.holdout)]
    return predictions_of(folders, rows, False, _SECONDS_TO_PREDICT, environment)


def measure(
    options: PromotionOptions, node: Node, inputs: Mapping[str, Any], predictions: Any
) -> dict[str, float]:
    """Measure predictions by the project's node."""
    try:
        with muted("kedro.pipeline.node"):
            outputs = node.run({**inputs, str(options.predictions): predictions})
    except Exception as error:
        raise TrackingError(
            f"the node '{node.name}' cannot evaluate it on this holdout: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from error
    measured = find(outputs[options.evaluation], _NO_LIMIT)
    metrics = metrics_of(options.evaluation, measured, _NO_LIMIT, Names())
    return without_prefix({name: value for name, value, _ in metrics}, options)


def without_prefix(metrics: Mapping[str, float], options: PromotionOptions) -> dict[str, float]:
    """Return the metrics of the evaluation, by their names in it."""
    prefix = f"{valid_name(options.evaluation)}/"
    return {
        name.removeprefix(prefix): value
        for name, value in metrics.items()
        if name.startswith(prefix)
    }


def evaluating_node(options: PromotionOptions) -> Node:
    """Find the node that the rules of promotion are about; a TrackingError if there is none."""
    for pipeline in registered_pipelines().values():
        for node in pipeline.nodes:
            if options.evaluation in node.outputs and options.predictions in node.inputs:
                return node
    raise TrackingError(
        f"No node reads '{options.predictions}' ({options.at('predictions')}) and makes "
        f"'{options.evaluation}' ({options.at('evaluation')})."
    )
