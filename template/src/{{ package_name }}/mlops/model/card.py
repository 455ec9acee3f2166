"""The model card: what the run knows about the model, and what its owner says, in one document.

It is a file of the model, and the description of its version in the registry. It holds no rows of
data. What model cards are for: https://arxiv.org/abs/1810.03993.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

from ..config import KedroMlflowConfig
from ..redaction import mask_text
from ..tracking.capture.nodes import inputs_of, records_of
from ..tracking.capture.values import valid_name
from ..tracking.journal import Record, all_records

if TYPE_CHECKING:
    from mlflow.types import Schema

FILE = "MODEL_CARD.md"

# As much as the registry of a database takes as a description.
_MAX_DESCRIPTION = 5000
_MAX_PARAMETERS = 100

# The first row is the heading.
_Table = list[Sequence[str]]


def write_card(config: KedroMlflowConfig, project: Path, journal: Path, folder: Path) -> None:
    """Write the card of a packaged model into its folder, and where mlflow.yml wants it as well.

    Args:
        config: mlflow.yml.
        project: the project's folder.
        journal: the folder of the run that has fitted the model.
        folder: the model, in MLflow's format.
    """
    assert config.model
    records = list(_records(journal, f"{valid_name(config.promotion.evaluation)}/"))
    card = mask_text("\n\n".join(_sections(config, records, folder, project)) + "\n")
    (folder / FILE).write_text(card, encoding="utf-8")
    if config.model.card.file:
        copy = project / config.model.card.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(card, encoding="utf-8")


def description_of(folder: Path) -> str | None:
    """Read a model's card as a description of its version: as many sections of it as fit."""
    path = folder / FILE
    if not path.is_file():
        return None
    card = path.read_text(encoding="utf-8")
    if len(card) <= _MAX_DESCRIPTION:
        return card
    note = f"\n\nThe rest is in `{FILE}` among the model's files."
    return card[: _MAX_DESCRIPTION - len(note)].rpartition("\n## ")[0].rstrip() + note


def _records(journal: Path, prefix: str) -> Iterator[Record]:
    """Yield the records that the card is about; metrics without the prefix of the evaluation's."""
    for record in all_records(journal):
        if record.kind in ("run_started", "input", "params", "tags"):
            yield record
        elif record.kind == "metrics":  # A run may have a million.
            values = [
                (name.removeprefix(prefix), value)
                for name, value, _ in record.data["values"]
                if name.startswith(prefix)
            ]
            yield Record(record.kind, record.time, {"values": values})


def _sections(
    config: KedroMlflowConfig, records: Sequence[Record], folder: Path, project: Path
) -> Iterator[str]:
    from mlflow.models import Model

    assert config.model
    (start, *_) = records_of("run_started", records)
    tags: dict[str, str] = dict(start.data["tags"])
    for record in records_of("tags", records):
        tags |= record.data["values"]
    signature = Model.load(folder).signature
    day = strftime("%Y-%m-%d %H:%M UTC", gmtime(start.time / 1000))
    overall, groups = _metrics(records)
    rows = tags.get("holdout.rows")
    measured_on = f"On {rows} rows of `{config.promotion.holdout}`." if rows else ""
    yield f"# Model card: {config.model.name}"
    yield f"Trained on {day} by the pipeline `{start.data['name']}`."
    yield _sections_of_owner(project, config.model.card.text)
    yield _section("Metrics", overall, measured_on)
    if groups:
        yield _section("Groups", groups, "The same metrics for each group.")
    yield _section("Data", _data(records, project), "What the run has read.")
    yield _section("Input", _columns(signature.inputs))
    yield _section("Output", _columns(signature.outputs))
    yield _section("Parameters", _parameters(records))
    yield _section("Lineage", _lineage(tags))


def _sections_of_owner(project: Path, path: str | None) -> str:
    """Read the owner's sections; what is before the first of them is about the file itself."""
    if path and (project / path).is_file():
        text = (project / path).read_text(encoding="utf-8")
        _, heading, sections = f"\n{text}".partition("\n## ")
        if heading:
            return f"## {sections.strip()}"
    file = f"`{path}`" if path else "a file that mlflow.yml names (model.card.text)"
    return f"## Intended use and limits\n\nNot written yet: they belong in {file}."


def _section(title: str, table: _Table, text: str = "") -> str:
    heading, *rows = table
    if not rows:
        return f"## {title}\n\nNot known."
    lines = [_row(heading), "|" + "---|" * len(heading), *map(_row, rows)]
    return "\n\n".join(filter(None, [f"## {title}", text, "\n".join(lines)]))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"


def _metrics(records: Iterable[Record]) -> tuple[_Table, _Table]:
    """Make a table of the overall metrics, and one with one row per group; empty without groups."""
    overall: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for record in records_of("metrics", records):
        for path, value in record.data["values"]:
            group, _, metric = path.rpartition("/")
            (groups.setdefault(group, {}) if group else overall)[metric] = f"{value:.4g}"
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    rows = [[group, *(values.get(name, "") for name in names)] for group, values in groups.items()]
    return [("Metric", "Value"), *overall.items()], [("Group", *names), *rows] if rows else []


def _data(records: Iterable[Record], project: Path) -> _Table:
    home = f"{project.absolute().as_uri()}/"
    return [
        ("Data set", "From", "Rows", "Columns", "Digest"),
        *(
            (
                data["name"],
                (data["source"] or "memory").removeprefix(home),
                _number(data.get("rows")),
                _number(len(data.get("schema") or ())),
                (data["digest"] or "")[:12],
            )
            for data in inputs_of(records)
        ),
    ]


def _number(value: Any) -> str:
    return f"{value:,}" if value else ""


def _columns(schema: "Schema | None") -> _Table:
    columns = schema.inputs if schema and schema.has_input_names() else []
    rows = [(str(column.name), str(column.type).removeprefix("DataType.")) for column in columns]
    return [("Column", "Type"), *rows]


def _parameters(records: Iterable[Record]) -> _Table:
    values: dict[str, str] = {}
    for record in records_of("params", records):
        values |= {name: str(value) for name, value in record.data["values"].items()}
    return [("Parameter", "Value"), *sorted(values.items())[:_MAX_PARAMETERS]]


def _lineage(tags: Mapping[str, str]) -> _Table:
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
    return [("What", "Value"), *(row for row in rows.items() if row[1])]
