"""The name of a run: what it is, at a glance, by the template `tracking.run.name` of mlflow.yml."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import TrackingError
from ...redaction import Patterns, mask
from .. import RunStart
from .tags import user_name
from .values import MAX_NAME_LENGTH, flatten, plain

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

_DEFAULT = "{pipelines} {changed}"
# How many changed parameters a name lists, and how many characters of a value.
_LISTED, _SHOWN = 4, 30


def run_name(template: str | None, start: RunStart, patterns: Patterns = ()) -> str:
    """Name a run: its pipelines, and the parameters that `--params` has changed for it.

    `template` may name ``{pipelines}``, ``{changed}``, ``{env}``, ``{user}`` and any parameter of
    the project, as ``{model.alpha}``; secrets are masked. A TrackingError says what it cannot fill
    in.
    """
    changed = [*changed_parameters(start.run_params, start.pipeline, patterns), *start.about]
    known = {
        "pipelines": ", ".join(start.names),
        "changed": " ".join(changed),
        "env": start.run_params.get("env") or "",
        "user": user_name(),
    }

    def fill_in(found: re.Match[str]) -> str:
        if found[1] not in known:
            known.update(_parameters(start.catalog, patterns))
        if found[1] not in known:
            raise TrackingError(
                f"mlflow.yml: tracking.run.name has {found[0]}, which is no parameter of this run "
                "and none of {pipelines}, {changed}, {env}, {user}."
            )
        return str(known[found[1]])[:MAX_NAME_LENGTH]

    name = re.sub(r"\{([^{}]+)\}", fill_in, template or _DEFAULT)
    return " ".join(name.split())[:MAX_NAME_LENGTH] or known["pipelines"]


def changed_parameters(
    run_params: Mapping[str, Any], pipeline: "Pipeline", patterns: Patterns = ()
) -> list[str]:
    """List the parameters that the run's nodes read and `--params` has changed: ``alpha=10``.

    By the last part of their names where that says which one is meant.
    """
    given = mask("", run_params.get("runtime_params") or {}, patterns)
    read = {name.removeprefix("params:") for name in pipeline.inputs()}
    changed = {name: value for name, value in flatten(given, ".") if _is_read(name, read)}
    last = [name.rpartition(".")[2] for name in changed]
    listed = [
        f"{short if last.count(short) == 1 else name}={_shortened(str(value))}"
        for short, (name, value) in zip(last, changed.items(), strict=True)
    ]
    return [*listed[:_LISTED], *([f"+{len(listed) - _LISTED}"] if len(listed) > _LISTED else [])]


def _is_read(name: str, read: set[str]) -> bool:
    parts = name.split(".")
    above = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return "parameters" in read or bool(above & read)


def _parameters(catalog: "DataCatalog", patterns: Patterns) -> Iterator[tuple[str, str]]:
    if "parameters" in catalog:
        values = mask("", plain(catalog["parameters"].load()), patterns)
        yield from ((name, str(value)) for name, value in flatten(values, "."))


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
