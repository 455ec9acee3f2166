"""All judgements of a version, by date: how each group is served as time passes."""

import csv
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backend.client import pages
from ..model.batch import VERSION_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

FOLDER = "judgements"
ROWS_TAG, DATE_TAG = "judge.rows", "judge.date"
TRUTH, PROMISED = "truth/", "promised/"
_MOST_SHOWN = 6
_WIDTH, _ACROSS = 10, 2


class Measured(NamedTuple):
    """What came of a version's predictions of one date: a metric of one group."""

    date: date
    run_id: str
    rows: int
    group: str  # "" for all rows.
    metric: str
    truth: float
    promised: float | None


def judgements_of(
    client: "MlflowClient", experiment_id: str, version: "ModelVersion"
) -> list[Measured]:
    """Read what was measured of a version, the earliest date first."""
    of_version = (
        f"tags.`{ROWS_TAG}` LIKE '%' AND tags.`{VERSION_TAG}` = '{version.version}' "
        f"AND tags.`model.run_id` = '{version.run_id}'"
    )
    found = pages(client.search_runs, [experiment_id], of_version)
    runs = sorted(found, key=lambda run: (_date_of(run), run.info.start_time))
    return [each for run in runs for each in _measured(run)]


def _date_of(run: "Run") -> date:
    if found := run.data.tags.get(DATE_TAG):
        return date.fromisoformat(found)
    return datetime.fromtimestamp(run.info.start_time / 1000, timezone.utc).date()


def _measured(run: "Run") -> Iterator[Measured]:
    metrics, rows = run.data.metrics, int(run.data.tags[ROWS_TAG])
    for name in sorted(metrics):
        if name.startswith(TRUTH):
            path = name.removeprefix(TRUTH)
            group, _, metric = path.rpartition("/")
            promised = metrics.get(PROMISED + path)
            about = (_date_of(run), run.info.run_id, rows)
            yield Measured(*about, group, metric, metrics[name], promised)


def table_of(found: Sequence[Measured]) -> Iterator[str]:
    """Yield lines for the screen: each metric of each group, the newest dates as columns."""
    runs = list(dict.fromkeys((each.date, each.run_id) for each in found))[-_MOST_SHOWN:]
    values = {(each.run_id, each.metric, each.group): each.truth for each in found}
    names = sorted({(each.metric, each.group) for each in found})
    width = max(len(f"{metric} {group}") for metric, group in names)
    yield "  ".join([f"{'Date':{width}}", *(f"{day.isoformat():>{_WIDTH}}" for day, _ in runs)])
    for metric, group in names:
        row = [values.get((run_id, metric, group)) for _, run_id in runs]
        texts = [f"{'' if each is None else format(each, '.5g'):>{_WIDTH}}" for each in row]
        yield "  ".join([f"{f'{metric} {group}':{width}}", *texts])


def write_judgements(found: Sequence[Measured], folder: Path) -> None:
    """Write them as a table, and as a figure with a line for each group."""
    with (folder / "judgements.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Measured.__annotations__)
        writer.writerows(found)
    _draw(found, folder / "judgements.png")


def _draw(found: Sequence[Measured], path: Path) -> None:
    from matplotlib.figure import Figure

    metrics = sorted({each.metric for each in found})
    down = -(-len(metrics) // _ACROSS)
    figure = Figure(figsize=(6 * _ACROSS, 3 * down), layout="constrained")
    for place, metric in enumerate(metrics, 1):
        axes = figure.add_subplot(down, _ACROSS, place)
        for group in sorted({each.group for each in found if each.metric == metric}):
            line = [each for each in found if (each.metric, each.group) == (metric, group)]
            days: Any = [each.date for each in line]
            color = None if group else "black"
            values, label = [each.truth for each in line], group or "all"
            (drawn,) = axes.plot(days, values, marker="o", color=color, label=label)
            if (promised := line[-1].promised) is not None:
                axes.axhline(promised, linestyle=":", linewidth=1, color=drawn.get_color())
        axes.set_title(f"{metric}; dotted: promised", fontsize=9)
        axes.tick_params(axis="x", rotation=30, labelsize=7)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
