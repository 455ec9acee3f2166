"""The pages of the site's section Reference, read from the code: `make docs` writes them.

Questions come from copier.yml; keys from the schemas of the rendered package, with the words of the
rendered files; commands from click.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
import shutil
import sys
import types
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import yaml
from copier import Settings, run_copy
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
# All that copier reads.
PARTS = ("copier.yml", "extensions", "includes", "template")
PACKAGE = "diabetes_progression"  # By the default answers.
FEATURES = {"features": ["tuning", "monitoring"]}
TARGETS: dict[str, dict[str, str]] = {
    "docker": {},
    "kubernetes": {},
    "sagemaker": {},
    "databricks": {"tracking_preset": "databricks"},
}
# Files of conf/base/, each with the module and the class that is its schema.
FILES = {
    "mlflow.yml": ("config", "KedroMlflowConfig"),
    "promotion.yml": ("config", "PromotionOptions"),
    "tuning.yml": ("tuning.options", "TuningOptions"),
    "monitoring.yml": ("monitoring.options", "MonitoringOptions"),
}
# Keys of mlflow.yml that are shown elsewhere.
ELSEWHERE = ("promotion", "deployment")
HEAD = ("Key", "Type", "Default", "What it does")
TYPES = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "`null`",
    re.Pattern: "regular expression",
}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
# Where the template's files have what they say of a key below the key.
BELOW = 20


def pages() -> dict[str, str]:
    """Return the text of each page of the reference by its file's name."""
    logging.disable(logging.INFO)  # Kedro says how it logs.
    copier_yml = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        template = _copy_template(folder / "template")
        shutil.copytree(template / "template/src/{{ package_name }}", folder / "src" / PACKAGE)
        sys.path.insert(0, str(folder / "src"))
        try:
            return {
                "reference-questions.md": _page(_questions(copier_yml)),
                "reference-configuration.md": _page(_configuration(template, folder)),
                "reference-commands.md": _page(_commands(copier_yml["_exclude"])),
            }
        finally:
            sys.path.remove(str(folder / "src"))


def _copy_template(folder: Path) -> Path:
    """Copy the template into a folder without git: what is not committed counts as well."""
    return shutil.copytree(
        ROOT, folder, ignore=lambda at, names: {*names} - {*PARTS} if at == str(ROOT) else ()
    )


# --- questions ---


def _questions(copier_yml: dict[str, Any]) -> Iterator[str]:
    yield "# Questions"
    yield "After this page you can answer each question of copier by `-d KEY=VALUE`."
    yield "[Create a project](questions.md) shows how."
    for key, question in copier_yml.items():
        if key.startswith("_"):
            continue
        yield f"## `{key}`"
        yield _prose(question["help"])
        default, choices = question["default"], question.get("choices", [])
        if isinstance(choices, dict):
            marks = {value: " (default)" if value == default else "" for value in choices.values()}
            rows = [[f"`{choices[about]}`{marks[choices[about]]}", about] for about in choices]
            yield _table(("Choice", "What it is"), rows)
            if question.get("multiselect"):
                some = next(iter(choices.values()))
                yield f'Any of them, or none, as a list: `-d "{key}=[{some}]"`.'
        elif choices:
            yield f"One of {_list(choices)}; `{default}` unless you say otherwise."
        elif "{{" in default:
            yield "Text; the default comes from the other answers."
        else:
            yield f"Text; `{default}` unless you say otherwise." if default else "Text."
        if asked := question.get("when"):
            yield f"Asked where `{_condition(asked)}`."


def _condition(text: str) -> str:
    """Return an expression of Jinja without what only old projects need."""
    return re.sub(r" \| default\([^)]*\)+", "", text.strip("{}% "))


# --- keys ---


def _configuration(template: Path, folder: Path) -> Iterator[str]:
    yield "# Configuration"
    yield (
        "After this page you can look up each key of the files in `conf/base/` that the template "
        "reads: its type, its default where the file does not have it, and what it does."
    )
    yield "`[]` is an entry of a list, and `NAME` a name of yours."
    default = _render(template, folder / "default", FEATURES)
    for file, (module, name) in FILES.items():
        yield f"## `{file}`"
        schema = getattr(import_module(f"{PACKAGE}.mlops.{module}"), name)
        sections = _keys(schema, (default / file).read_text(encoding="utf-8"))
        if file != "mlflow.yml":
            yield _table(HEAD, [row for rows in sections.values() for row in rows])
            continue
        for section, rows in sections.items():
            if section not in ELSEWHERE:
                yield f"### `{section}`"
                yield _table(HEAD, rows)
        schema_of = import_module(f"{PACKAGE}.mlops.deployment.options").schema_of
        for target, answers in TARGETS.items():
            conf = _render(template, folder / target, {"serving_target": target, **answers})
            text = (conf / file).read_text(encoding="utf-8")
            yield f"### `deployment`, with `serving_target={target}`"
            yield _table(HEAD, _keys(schema_of({"target": target}), text)["deployment"])


def _render(template: Path, folder: Path, answers: dict[str, Any]) -> Path:
    """Render the configuration of a project; the folder of its files."""
    options: dict[str, Any] = {"defaults": True, "quiet": True, "unsafe": True}
    options["exclude"] = ["/src", "/tests", "/data", "/deploy"]
    run_copy(str(template), folder, data=answers, settings=Settings(), **options)
    return folder / "conf" / "base"


def _keys(schema: Any, text: str) -> dict[str, list[list[str]]]:
    """Return a row for each key of a schema, by the part of its name before the first dot."""
    said, values = comments(text), yaml.safe_load(text)
    sections: dict[str, list[list[str]]] = {}
    for key, kind, preset, about in _rows(schema):
        value = _value(values, key)
        default = f"`{preset}`" if preset else ""
        if value is not None and json.dumps(value) != preset:
            default = "; ".join(filter(None, [default, f"new projects: `{json.dumps(value)}`"]))
        row = [f"`{key}`", kind, default, _prose(said.get(key) or about)]
        sections.setdefault(re.split(r"[.\[]", key)[0], []).append(row)
    return sections


def _rows(schema: Any, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Return key, type, default, and what the schema says that it is in."""
    for name, field in schema.model_fields.items():
        key, nested = prefix + name, list(_schemas(field.annotation))
        default = field.get_default(call_default_factory=True)
        shown = not (field.is_required() or isinstance(default, BaseModel))
        kind = ", ".join([_type(field.annotation), *_bounds(field.metadata)])
        about = nested[0][1] if nested else schema
        words = (about.__doc__ or "").partition("\n")[0]
        yield key, kind, json.dumps(default) if shown else "", words
        for below, inner in nested:
            yield from _rows(inner, f"{key}{below}.")


def _schemas(annotation: Any) -> Iterator[tuple[str, Any]]:
    """Return the schemas in a type, each with how a mapping of it is reached from the key."""
    origin = get_origin(annotation)
    if origin is None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield "", annotation
        return
    below = {list: "[]", dict: ".NAME"}.get(origin, "")
    for inner in get_args(annotation):
        yield from ((below + deeper, schema) for deeper, schema in _schemas(inner))


def _type(annotation: Any) -> str:
    """Return a type in words."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        words = _list(inside)
    elif origin is Annotated:
        words = _type(inside[0])
    elif origin in (Union, types.UnionType):
        words = " or ".join(dict.fromkeys(map(_type, inside)))
    elif origin is list:
        words = f"list of {_type(inside[0])}"
    elif origin is dict:
        words = f"mapping of names to {_type(inside[1])}"
    elif any(True for _ in _schemas(annotation)):
        words = "mapping"
    else:
        words = TYPES.get(origin or annotation, "anything")
    return words


def _bounds(metadata: Iterable[Any]) -> list[str]:
    return [
        f"{words} {getattr(bound, limit)}"
        for bound in metadata
        for limit, words in BOUNDS.items()
        if hasattr(bound, limit)
    ]


def _value(content: Any, key: str) -> Any:
    """Return the value that a file has at a key; None if that is a section of keys."""
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return None if content and isinstance(content, dict) else content


def comments(text: str) -> dict[str, str]:
    """Return what a file of YAML says of its keys: beside them and below that, or above them."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    above: list[tuple[int, str]] = []
    key = ""
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if entry := re.match(r" *(\w+):(.*)$", line):
            path = [*(each for each in path if each[0] < indent), (indent, entry[1])]
            key = ".".join(name for _, name in path)
            beside = re.search(r"(?:^| )# (.*)$", entry[2])
            lines = [words for at, words in above if at == indent]
            found[key], above = beside[1] if beside else " ".join(lines), []
        elif not (comment := re.match(r" *# (.*)$", line)):
            above = []
        elif indent > BELOW:
            found[key] += f" {comment[1]}"
        else:
            above.append((indent, comment[1]))
    return found


# --- commands ---


def _commands(excluded: list[str]) -> Iterator[str]:
    yield "# Commands"
    yield "After this page you can look up each command of `kedro mlflow` and its options."
    yield "Type `uv run` before each, in the project's folder."
    group = import_module(f"{PACKAGE}.mlops.cli").mlflow
    rule = re.compile(r"{% if (.*?) %}/src/\*/mlops/commands/(\w+)\.py")
    left_out = {found[2]: _condition(found[1]) for each in excluded if (found := rule.match(each))}
    context = click.Context(group, info_name="kedro mlflow")
    for name in group.list_commands(context):
        yield from _command(group.get_command(context, name), name, context, left_out.get(name))


def _command(
    command: Any, name: str, above: click.Context, left_out: str | None = None
) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=above)
    yield f"## `{context.command_path}`"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```"
    yield _prose(inspect.cleandoc(command.help))
    if left_out:
        yield f"A project with `{left_out}` does not have it."
    records = filter(None, (each.get_help_record(context) for each in command.params))
    rows = [[f"`{names}`", _prose(" ".join(about.split()))] for names, about in records if about]
    if rows:
        yield _table(("Option", "What it does"), rows)
    for below, inner in getattr(command, "commands", {}).items():
        yield from _command(inner, below, context)


# --- text ---


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    cells = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
    return "\n".join(f"| {line} |" for line in cells)


def _prose(text: str) -> str:
    """Return a text in which only backticks mean something to Markdown."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<*_\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _list(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)
