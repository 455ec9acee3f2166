"""The model card: what the run knows of the model, and what its owner says, as one document.

It lies in the model's folder, and is the description of its version in the registry. It holds no
rows of data. What model cards are for: https://arxiv.org/abs/1810.03993.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

from ..config import KedroMlflowConfig
from ..redaction import mask_text
from ..tracking.capture.nodes import inputs_of, records_of
from ..tracking.journal import Record, all_records

if TYPE_CHECKING:
    from mlflow.types import Schema

FILE = "MODEL_CARD.md"


# As much as the registry of a database takes as a description.
_LONGEST_DESCRIPTION = 5000


_MOST_PARAMETERS = 100


_KEPT = ("run_started", "input", "metrics", "params", "tags")


def write_card(config: KedroMlflowConfig, project: Path, journal: Path, folder: Path) -> None:
    """Write the card of a packaged model into its folder, and where mlflow.yml wants it as well.

    Args:
        config: mlflow.yml.
        project: the project's folder.
        journal: the folder of the run that has fitted the model.
        folder: the model, in MLflow's format.
    """
    assert config.model
    options = config.model.card
    prefix = f"{config.promotion.evaluation}/"
    # A run may have a million metrics: the card holds those of its evaluation.
    records = [
        record
        for record in all_records(journal)
        if record.kind in _KEPT
        and (record.kind != "metrics" or record.data["values"][0][0].startswith(prefix))
    ]
    own = ""
    if options.text and (path := project / options.text).is_file():
        own = path.read_text(encoding="utf-8")
    card = _card(config, records, folder, own, project)
    (folder / FILE).write_text(card, encoding="utf-8")
    if options.file:
        copy = project / options.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(card, encoding="utf-8")


def description_of(folder: Path) -> str | None:
    """Read a model's card as a description of its version: as many sections of it as fit."""
    path = folder / FILE
    if not path.is_file():
        return None
    card = path.read_text(encoding="utf-8")
    if len(card) <= _LONGEST_DESCRIPTION:
        return card
    note = f"\n\nMore stands in `{FILE}` among the model's files."
    return card[: _LONGEST_DESCRIPTION - len(note)].rpartition("\n## ")[0].rstrip() + note


def _card(
    config: KedroMlflowConfig, records: Sequence[Record], folder: Path, own: str, project: Path
) -> str:
    from mlflow.models import Model

    assert config.model
    (start, *_) = records_of("run_started", records)
    tags: dict[str, str] = dict(start.data["tags"])
    for record in records_of("tags", records):
        tags |= record.data["values"]
    signature = Model.load(folder).signature
    day = strftime("%Y-%m-%d %H:%M UTC", gmtime(start.time / 1000))
    metrics, slices = _metrics(records, f"{config.promotion.evaluation}/")
    sections = [
        f"# Model card: {config.model.name}",
        f"Trained on {day} by the pipeline `{start.data['name']}`.",
        _own(own, config.model.card.text),
        _section("Metrics", _measured_on(config, tags), metrics),
        _section("Groups", "The same, for each group alone.", slices) if slices else "",
        _section("Data", "What the run has read.", _data(records, project)),
        _section("Input", "", _columns(signature.inputs)),
        _section("Output", "", _columns(signature.outputs)),
        _section("Parameters", "", _parameters(records)),
        _section("Lineage", "", _lineage(tags)),
    ]
    return mask_text("\n\n".join(filter(None, sections)) + "\n")


def _own(text: str, path: str | None) -> str:
    """Take the owner's sections: what stands before the first is about the file itself."""
    _, heading, sections = f"\n{text}".partition("\n## ")
    if heading:
        return f"## {sections.strip()}"
    place = f"`{path}`" if path else "a file that mlflow.yml names (model.card.text)"
    return (
        f"## Intended use and limits\n\nNobody has written them down yet: they belong into {place}."
    )


def _section(title: str, text: str, rows: Sequence[Sequence[str]]) -> str:
    """Write a section with a table, whose first row is its heading."""
    if len(rows) < 2:
        return f"## {title}\n\nNot known."
    heading, *body = rows
    lines = [_row(heading), "|" + "---|" * len(heading), *map(_row, body)]
    return "\n\n".join(filter(None, [f"## {title}", text, "\n".join(lines)]))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"


def _measured_on(config: KedroMlflowConfig, tags: Mapping[str, str]) -> str:
    holdout, rows = config.promotion.holdout, tags.get("holdout.rows")
    return f"On {rows} rows of `{holdout}`." if rows else ""


def _metrics(records: Iterable[Record], prefix: str) -> tuple[list[list[str]], list[list[str]]]:
    """Make a table of the evaluation's overall metrics, and one with a row a group."""
    overall: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for record in records_of("metrics", records):
        for name, value, _ in record.data["values"]:
            if name.startswith(prefix):
                group, _, metric = name.removeprefix(prefix).rpartition("/")
                (groups.setdefault(group, {}) if group else overall)[metric] = f"{value:.4g}"
    names = list(dict.fromkeys(metric for values in groups.values() for metric in values))
    table = [[group, *(values.get(name, "") for name in names)] for group, values in groups.items()]
    return (
        [["Metric", "Value"], *(list(item) for item in overall.items())],
        [["Group", *names], *table] if table else [],
    )


def _data(records: Iterable[Record], project: Path) -> list[list[str]]:
    home = f"{project.absolute().as_uri()}/"
    rows = [["Data set", "From", "Rows", "Columns", "Digest"]]
    for data in inputs_of(records):
        columns = data.get("schema")
        rows.append(
            [
                data["name"],
                (data["source"] or "memory").removeprefix(home),
                _number(data.get("rows")),
                _number(columns and len(columns)),
                (data["digest"] or "")[:12],
            ]
        )
    return rows


def _number(value: Any) -> str:
    return f"{value:,}" if value else ""


def _columns(schema: "Schema | None") -> list[list[str]]:
    rows = [["Column", "Type"]]
    if schema and schema.has_input_names():
        rows += [
            [str(column.name), str(column.type).removeprefix("DataType.")]
            for column in schema.inputs
        ]
    return rows


def _parameters(records: Iterable[Record]) -> list[list[str]]:
    values = {
        name: str(value)
        for record in records_of("params", records)
        for name, value in record.data["values"].items()
    }
    listed = sorted(values.items())[:_MOST_PARAMETERS]
    return [["Parameter", "Value"], *(list(item) for item in listed)]


def _lineage(tags: Mapping[str, str]) -> list[list[str]]:
    changed = tags.get("mlflow.source.git.dirty") == "true"
    commit = tags.get("mlflow.source.git.commit", "")
    rows = {
        "Command": f"`{tags.get('kedro.command', '')}`",
        "Kedro run": tags.get("kedro.run_id", ""),
        "Git commit": f"{commit}{' (with changes that are not committed)' if changed else ''}",
        "Holdout": tags.get("holdout.digest", ""),
        "Kedro": tags.get("kedro.version", ""),
        "Template": tags.get("template.version", ""),
    }
    return [["What", "Value"], *([name, value] for name, value in rows.items() if value)]
