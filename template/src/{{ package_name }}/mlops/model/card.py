"""The model card: what the run knows about the model, and what its owner says, in one document.

It is a file of the model, and the description of its version in the registry. It holds no rows of
data. What model cards are for: https://arxiv.org/abs/1810.03993.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

from ..backend.artifacts import read_model
from ..config import KedroMlflowConfig
from ..redaction import mask_text
from ..tracking.capture.values import valid_name
from ..tracking.journal import Record, all_records

if TYPE_CHECKING:
    from mlflow.types import Schema

FILE = "MODEL_CARD.md"

# What a file of the example says of itself, and its card of the data that it is about.
OF_THE_EXAMPLE = "Still the example's"
_DESCRIBED = re.compile(rf"{OF_THE_EXAMPLE}: this describes a model of (\S+)\.\s")

# As much as the registry of a database takes as a description.
_MAX_DESCRIPTION = 5000
_MAX_PARAMETERS = 100

# The first row is the heading.
Table = Sequence[Sequence[str]]
_Values = Mapping[str, Any]


def write_card(config: KedroMlflowConfig, project: Path, journal: Path, folder: Path) -> None:
    """Write the card of a model that a run has fitted into the model's folder.

    If mlflow.yml names a file for the newest card (model.card.file), it is written there as well.
    """
    assert config.model
    card = mask_text("\n\n".join(_sections(config, project, journal, folder)) + "\n")
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


def _sections(
    config: KedroMlflowConfig, project: Path, journal: Path, folder: Path
) -> Iterator[str]:
    assert config.model
    start, tags, parameters, inputs, metrics = _read(journal, config.promotion.evaluation)
    signature = read_model(folder).signature
    day = strftime("%Y-%m-%d %H:%M UTC", gmtime(start.time / 1000))
    rows = tags.get("holdout.rows")
    measured_on = f"On {rows} rows of `{config.promotion.holdout}`." if rows else ""
    overall, groups = _tables_of(metrics)
    yield f"# Model card: {config.model.name}"
    yield f"Trained on {day} by the pipeline `{start.data['name']}`."
    yield _sections_of_owner(project, config.model.card.text, inputs)
    yield _section("Metrics", overall, measured_on)
    if groups:
        yield _section("Groups", groups, "The same metrics for each group.")
    yield _section("Data", _data(inputs, project), "What the run has read.")
    yield _section("Input", _columns(signature.inputs))
    yield _section("Output", _columns(signature.outputs))
    listed = [(name, str(value)) for name, value in sorted(parameters.items())]
    yield _section("Parameters", [("Parameter", "Value"), *listed[:_MAX_PARAMETERS]])
    yield _section("Lineage", _lineage(tags))


def _read(journal: Path, evaluation: str) -> tuple[Record, _Values, _Values, _Values, _Values]:
    """Return a run's start, its tags, parameters and inputs, and the evaluation's metrics."""
    prefix = f"{valid_name(evaluation)}/"
    found: dict[str, dict[str, Any]] = {"tags": {}, "params": {}, "input": {}, "metrics": {}}
    for record in all_records(journal):
        if record.kind == "run_started":
            start = record
        elif record.kind == "input":
            found["input"][record.data["name"]] = record.data
        elif record.kind == "metrics":  # A run may have a million.
            for name, value, _ in record.data["values"]:
                if name.startswith(prefix):
                    found["metrics"][name.removeprefix(prefix)] = value
        elif record.kind in found:
            found[record.kind] |= record.data["values"]
    tags, parameters, inputs, metrics = found.values()
    return start, {**start.data["tags"], **tags}, parameters, inputs, metrics


def described_by(text: str) -> str | None:
    """Return the file of data that the example's words are about; None if they are the owner's."""
    found = _DESCRIBED.search(text)
    return found[1] if found else None


def _sections_of_owner(project: Path, path: str | None, inputs: _Values) -> str:
    """Read the owner's sections; what is before the first of them is about the file itself.

    The example's own words are left out where the run has read other data.
    """
    if path and (project / path).is_file():
        text = (project / path).read_text(encoding="utf-8")
        about, heading, sections = f"\n{text}".partition("\n## ")
        read = [str(data["source"]) for data in inputs.values()]
        data = described_by(about)
        if heading and not (data and read and not any(uri.endswith(f"/{data}") for uri in read)):
            return f"## {sections.strip()}"
    file = f"`{path}`" if path else "a file that mlflow.yml names (model.card.text)"
    return f"## Intended use and limits\n\nNot written yet: they belong in {file}."


def _section(title: str, table: Table, text: str = "") -> str:
    if len(table) == 1:
        return f"## {title}\n\nNot known."
    return "\n\n".join(filter(None, [f"## {title}", text, markdown_table(table)]))


def markdown_table(table: Table) -> str:
    """Write a table in Markdown, with one line per row."""
    heading, *rows = [
        f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in row)} |"
        for row in table
    ]
    return "\n".join([heading, "|" + "---|" * len(table[0]), *rows])


def _tables_of(metrics: _Values) -> tuple[Table, Table]:
    """Make a table of the overall metrics, and one with one row per group; empty without groups."""
    overall: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for path, value in metrics.items():
        group, _, metric = path.rpartition("/")
        (groups.setdefault(group, {}) if group else overall)[metric] = f"{value:.4g}"
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    rows = [[group, *(values.get(name, "") for name in names)] for group, values in groups.items()]
    return [("Metric", "Value"), *overall.items()], [("Group", *names), *rows] if rows else []


def _data(inputs: _Values, project: Path) -> Table:
    home = f"{project.absolute().as_uri()}/"
    rows = [
        (
            name,
            (data["source"] or "memory").removeprefix(home),
            _number(data.get("rows")),
            _number(len(data.get("schema") or ())),
            (data["digest"] or "")[:12],
        )
        for name, data in sorted(inputs.items())
    ]
    return [("Data set", "From", "Rows", "Columns", "Digest"), *rows]


def _number(value: Any) -> str:
    return f"{value:,}" if value else ""


def _columns(schema: "Schema | None") -> Table:
    columns = schema.inputs if schema and schema.has_input_names() else []
    rows = [(str(column.name), str(column.type).removeprefix("DataType.")) for column in columns]
    return [("Column", "Type"), *rows]


def _lineage(tags: _Values) -> Table:
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
