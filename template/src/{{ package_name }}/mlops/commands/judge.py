"""`kedro mlflow judge`: how good predictions were, now that the truth is known."""

import time
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import pandas as pd

from ..backend.client import connect
from ..config import KedroMlflowConfig
from ..errors import TrackingError, listed, one_line
from ..model.batch import VERSION_TAG
from ..monitoring.judgements import (
    DATE_TAG,
    FOLDER,
    PROMISED,
    ROWS_TAG,
    TRUTH,
    Measured,
    judgements_of,
    table_of,
    write_judgements,
)
from ..redaction import mask
from ..registry.comparison import evaluating_node, measure, without_prefix
from ..registry.rules import Metrics, judge
from ..registry.versions import champion_of, find_version
from . import Project, for_project

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

VERSION = "model_version"
_OF_A_BATCH = (VERSION, "model_run_id")  # What its predictions have beside what was predicted.
_READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Judgement(NamedTuple):
    """What a version has promised, and what has come of it."""

    version: "ModelVersion"
    rows: int
    promised: Metrics
    found: Metrics


@click.command("judge")
@click.option("--predictions", type=_FILE, required=True, help="What was predicted: CSV, Parquet.")
@click.option(
    "--truth", type=_FILE, required=True, help="What came true, with the groups' columns."
)
@click.option("--on", multiple=True, metavar="COLUMN", help="Joins them. [default: their order]")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day that the predictions are of. [default: today]",
)
@for_project
def command(
    project: Project, predictions: Path, truth: Path, on: tuple[str, ...], day: datetime | None
) -> None:
    """Evaluate predictions by the project's own evaluation, once the truth is known.

    Each version among them gets a run with its metrics, over all rows and by group, beside those of
    its training, and all judgements of the version by date. Exits with 1 if a limit of
    promotion.yml does not hold on the truth.
    """
    config = project.config
    if config.model is None:
        raise TrackingError("mlflow.yml names no registered model: set model.name.")
    client = connect(config.server)
    table, columns = _joined(_read(predictions), _read(truth), on)
    inputs = _inputs(project, config)
    broken = False
    for judged in _judge(client, config, table, columns, inputs):
        run_id, history = _log(client, config, judged, (day or datetime.now(timezone.utc)).date())
        click.echo(
            f"Version {judged.version.version} of {judged.version.name}, on {judged.rows} rows "
            f"(run {run_id}):"
        )
        for line in _table(judged):
            click.echo(line)
        if len({each.run_id for each in history}) > 1:
            click.echo(f"All judgements of version {judged.version.version}:")
            for line in table_of(history):
                click.echo(line)
        for check in judge(config.promotion, judged.found):
            if not check.holds:
                broken = True
                click.secho(f"{check.complaint}.", fg="red")
    if broken:
        raise click.exceptions.Exit(1)


def _read(path: Path) -> pd.DataFrame:
    read = _READERS.get(path.suffix)
    if read is None:
        raise TrackingError(f"{path} is neither CSV nor Parquet.")
    return read(path)


def _joined(
    predictions: pd.DataFrame, truth: pd.DataFrame, on: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str]]:
    """Put truth and predictions side by side; also return the names of what was predicted.

    There it is called `predicted …`, since the truth may have a column of its name.
    """
    keys, truth = list(on), truth.drop(columns=list(_OF_A_BATCH), errors="ignore")
    for name, table in (("--predictions", predictions), ("--truth", truth)):
        if missing := [key for key in keys if key not in table.columns]:
            raise TrackingError(f"{name} has no column {listed(missing, 10, str)} to join on.")
        if keys and table.dropna(subset=keys).duplicated(keys).any():
            raise TrackingError(f"{name} has several rows of the same {listed(keys, 10, str)}.")
    if VERSION not in predictions.columns:
        raise TrackingError(
            f"--predictions has no column {VERSION}, which a scoring run adds (model.traced in "
            "mlflow.yml): it does not say which version has predicted."
        )
    columns = [name for name in predictions.columns if name not in {*keys, *_OF_A_BATCH}]
    renamed = predictions.rename(columns={name: _predicted(name) for name in columns})
    renamed = renamed[[*keys, VERSION, *map(_predicted, columns)]]
    if not keys and len(truth) != len(predictions):
        raise TrackingError(
            f"--predictions has {len(predictions)} rows and --truth {len(truth)}: name the columns "
            "that join them by --on."
        )
    # By their place: Parquet keeps an index. A row without a key joins no other, and has no truth.
    sides = [each.dropna(subset=keys).reset_index(drop=True) for each in (truth, renamed)]
    try:
        joined = pd.merge(*sides, on=keys) if keys else pd.concat(sides, axis=1)
    except ValueError as error:
        why = one_line(error).partition(".")[0]
        raise TrackingError(f"--predictions and --truth cannot be joined: {why}.") from error
    if joined.empty:
        raise TrackingError("No row of --predictions has its truth.")
    if left := len(predictions) - len(joined):
        click.echo(f"{left} of {len(predictions)} predictions have no truth yet.")
    return joined, columns


def _predicted(name: str) -> str:
    return f"predicted {name}"


def _inputs(project: Project, config: KedroMlflowConfig) -> dict[str, Any]:
    """Load what the evaluating node reads beside rows and predictions, as its parameters."""
    from kedro.framework.session import KedroSession

    options = config.promotion
    session = KedroSession.create(project.path, save_on_close=False, env=project.env)
    catalog = session.load_context().catalog
    others = set(evaluating_node(options).inputs) - {options.holdout, options.predictions}
    return {name: catalog.load(name) for name in others}


def _judge(
    client: "MlflowClient",
    config: KedroMlflowConfig,
    table: pd.DataFrame,
    columns: list[str],
    inputs: Mapping[str, Any],
) -> Iterator[Judgement]:
    assert config.model
    options, node = config.promotion, evaluating_node(config.promotion)
    for number, part in table.groupby(VERSION):
        version = find_version(config.model.name, config.server, str(number))
        rows = part.reset_index(drop=True)
        predicted = rows[[_predicted(name) for name in columns]].set_axis(columns, axis=1)
        own = rows.drop(columns=[VERSION, *map(_predicted, columns)])
        found = measure(options, node, {**inputs, str(options.holdout): own}, predicted)
        run = client.get_run(str(version.run_id))
        promised = without_prefix(run.data.metrics, options)
        yield Judgement(version, len(rows), promised, found)


def _log(
    client: "MlflowClient", config: KedroMlflowConfig, judged: Judgement, day: date
) -> tuple[str, list[Measured]]:
    """Log a run below that of the version's training, with the champion of now.

    Return its id, and what was measured of the version until now.
    """
    from mlflow.entities import Metric

    version, name = judged.version, config.tracking.experiment.name
    champion = champion_of(client, version.name)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise TrackingError(f"MLflow at {mask('', config.server.uri)} has no experiment '{name}'.")
    tags = {
        "mlflow.parentRunId": str(version.run_id),  # Below the training of the version.
        ROWS_TAG: str(judged.rows),
        DATE_TAG: day.isoformat(),
        "judge.champion": str(champion.version) if champion else "",
        "model.name": version.name,
        VERSION_TAG: str(version.version),
        "model.run_id": str(version.run_id),
    }
    run = client.create_run(
        experiment.experiment_id, tags=tags, run_name=f"judge version {version.version}"
    )
    now = int(time.time() * 1000)
    parts = ((TRUTH, judged.found), (PROMISED, judged.promised))
    metrics = [
        Metric(f"{part}{key}", value, now, 0) for part, each in parts for key, value in each.items()
    ]
    run_id = str(run.info.run_id)
    client.log_batch(run_id, metrics)
    history = judgements_of(client, experiment.experiment_id, version)
    with TemporaryDirectory() as folder:
        write_judgements(history, Path(folder))
        client.log_artifacts(run_id, folder, FOLDER)
    client.set_terminated(run_id)
    return run_id, history


def _table(judged: Judgement) -> Iterator[str]:
    names = [*judged.found]
    width = max(map(len, [*names, "Metric"]))
    yield f"{'Metric':{width}}  {'truth':>10}  {'promised':>10}  {'difference':>10}"
    for name in names:
        found, before = judged.found[name], judged.promised.get(name)
        shown = f"{before:10.5g}  {found - before:+10.5g}" if before is not None else ""
        yield f"{name:{width}}  {found:10.5g}  {shown}"
