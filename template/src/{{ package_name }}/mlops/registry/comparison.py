"""Two versions of the model, measured on one holdout by one function."""

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..backend.client import is_missing, muted
from ..config import KedroMlflowConfig, MetricsOptions, PromotionOptions
from ..errors import TrackingError
from ..project import State, registered_pipelines
from ..tracking.capture.values import mend_name, metrics_of
from .holdout import DIGEST_TAG, ROWS_TAG, load_holdout
from .versions import download

if TYPE_CHECKING:
    from kedro.pipeline.node import Node
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_SECONDS_TO_PREDICT = 600


@dataclass(frozen=True)
class Measured:
    """What two versions have reached.

    Attributes:
        candidate: the candidate's metrics by name, without the data set's before it.
        champion: the champion's; none without a champion, or where no rule asks for it.
        rows: how many rows the holdout has, as far as that is known.
        how: what the comparison rests on, a sentence; empty without one.
    """

    candidate: Mapping[str, float]
    champion: Mapping[str, float] | None = None
    rows: str | None = None
    how: str = ""


def measure(
    client: "MlflowClient",
    config: KedroMlflowConfig,
    state: State,
    candidate: "ModelVersion",
    champion: "ModelVersion | None",
) -> Measured:
    """Bring together the numbers that the rules are about.

    What the champion's own run has measured counts if it was asked the same: the same rows, the
    same parameters, the same module. Else both versions predict anew for the candidate's holdout,
    each with the code that it brings along, and today's function measures both.

    Args:
        client: the tracking server's.
        config: mlflow.yml, its places absolute.
        state: the project's state folder.
        candidate: the version that may become the champion.
        champion: the version that is.

    Raises:
        TrackingError: they cannot be compared.
    """
    options = config.promotion
    run = client.get_run(str(candidate.run_id))
    metrics, rows = logged_metrics(run, options), run.data.tags.get(ROWS_TAG)
    if champion is None or not options.improvement:
        return Measured(metrics, None, rows)
    digest = run.data.tags.get(DIGEST_TAG)
    other = _run_of(client, champion)
    if digest and other and other.data.tags.get(DIGEST_TAG) == digest:
        how = f"Both runs have measured on the same holdout ({digest[:8]})."
        return Measured(metrics, logged_metrics(other, options), rows, how)
    asked = load_holdout(state, digest) if digest else None
    if digest is None or asked is None:
        where = "is not on this machine" if digest else "was not kept"
        raise TrackingError(
            f"Version {candidate.version} cannot be compared with the champion, version "
            f"{champion.version}: they were measured on different holdouts, and that of version "
            f"{candidate.version} {where}. Promote it where it was trained, train anew, or use "
            "`--force --reason`."
        )
    both = [download(version, config.server) for version in (candidate, champion)]
    ours, theirs = measure_anew(options, asked, both)
    how = f"Both have predicted anew for the holdout of version {candidate.version} ({digest[:8]})."
    return Measured({**metrics, **ours}, theirs, rows, how)


def logged_metrics(run: "Run", options: PromotionOptions) -> dict[str, float]:
    """Pick the metrics of the evaluation out of a run's, without their common beginning."""
    return _without_prefix(run.data.metrics, options)


def measure_anew(
    options: PromotionOptions, asked: Mapping[str, Any], folders: Sequence[Path]
) -> list[dict[str, float]]:
    """Let models predict for a holdout, at once, and measure each by the project's own node.

    Args:
        options: which node it is.
        asked: what it reads, the predictions aside.
        folders: the models.

    Raises:
        TrackingError: there is no such node, or a model does not predict.
    """
    node = _evaluating_node(options)
    found = []
    for predictions in _predictions(asked[str(options.holdout)], folders):
        with muted("kedro.pipeline.node"):
            outputs = node.run({**asked, str(options.predictions): predictions})
        metrics = metrics_of(options.evaluation, outputs[options.evaluation], MetricsOptions())
        found.append(_without_prefix({name: value for name, value, _ in metrics}, options))
    return found


def _without_prefix(metrics: Mapping[str, float], options: PromotionOptions) -> dict[str, float]:
    prefix = f"{mend_name(options.evaluation)}/"
    return {
        name.removeprefix(prefix): value
        for name, value in metrics.items()
        if name.startswith(prefix)
    }


def _predictions(rows: Any, folders: Sequence[Path]) -> list[Any]:
    script = str(Path(__file__).with_name("predict.py"))
    with TemporaryDirectory() as scratch:
        given = Path(scratch) / "rows"
        given.write_bytes(pickle.dumps(rows))
        made = [Path(scratch) / f"predictions-{number}" for number, _ in enumerate(folders)]
        programs = [
            subprocess.Popen(
                # Isolated: neither this folder nor PYTHONPATH comes before the model's own code.
                [sys.executable, "-I", script, str(folder), str(given), str(path)],
                cwd=scratch,
                env={**os.environ, "KEDRO_DISABLE_TELEMETRY": "true"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for folder, path in zip(folders, made, strict=True)
        ]
        try:
            for program, folder in zip(programs, folders, strict=True):
                _, errors = program.communicate(timeout=_SECONDS_TO_PREDICT)
                if program.returncode:
                    reason = (errors.strip().splitlines() or ["it says nothing"])[-1]
                    raise TrackingError(
                        f"The model in {folder} does not predict for the holdout: {reason}"
                    )
        finally:
            for program in programs:
                program.kill()
                program.wait()
        return [pickle.loads(path.read_bytes()) for path in made]


def _evaluating_node(options: PromotionOptions) -> "Node":
    pipelines = registered_pipelines()
    for pipeline in pipelines.values():
        for node in pipeline.nodes:
            if options.evaluation in node.outputs and options.predictions in node.inputs:
                found: Node = node
                return found
    raise TrackingError(
        f"mlflow.yml: no node reads '{options.predictions}' (promotion.predictions) and makes "
        f"'{options.evaluation}' (promotion.evaluation)."
    )


def _run_of(client: "MlflowClient", version: "ModelVersion") -> "Run | None":
    """Ask for the run that has trained a version; none if it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(str(version.run_id))
    except MlflowException as error:
        if is_missing(error):
            return None
        raise
