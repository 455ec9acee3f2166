"""Name and tags of a run: what it is at a glance, and how it was started."""

import re
from collections.abc import Mapping, Sequence
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import TrackingError
from ...project import PACKAGE
from ...redaction import Patterns, mask
from .. import RunStart
from .command import replay_command, runner_path
from .values import MAX_NAME_LENGTH, MAX_TAG_LENGTH, flatten, plain

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline

_DEFAULT_NAME = "{pipelines} {changed}"
# How many changed parameters a name lists, and how many characters of a value.
_LISTED, _SHOWN = 4, 30


def run_tags(
    run_params: Mapping[str, Any], pipelines: Sequence[str], patterns: Patterns = ()
) -> dict[str, str]:
    """Describe a Kedro run by tags, secrets masked; one is a command that runs the same again."""
    project_path = Path(run_params["project_path"])
    tags = {
        "kedro.run_id": str(run_params["run_id"]),
        "kedro.version": str(run_params["kedro_version"]),
        "kedro.env": str(run_params["env"] or ""),
        "kedro.pipelines": ", ".join(pipelines),
        "kedro.runner": runner_path(str(run_params["runner"])).rpartition(".")[2],
        "kedro.command": replay_command(run_params, patterns),
        "template.version": template_version(project_path),
        "mlflow.source.name": PACKAGE,
        "mlflow.source.type": "PROJECT",
        "mlflow.user": user_name(),
    }
    return {
        name: mask(name, value, patterns)[:MAX_TAG_LENGTH] for name, value in tags.items() if value
    }


def template_version(project_path: Path) -> str:
    """Read from which version of the template the project was rendered, or updated to, last."""
    try:
        answers = (project_path / ".copier-answers.yml").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^_commit: *['\"]?([^'\"\s]+)", answers, re.MULTILINE)
    return found[1] if found else ""


def user_name() -> str:
    """Return the user of this process, as far as the machine knows."""
    try:
        return getuser()
    except (KeyError, OSError):  # A container may run under a user id that has no name.
        return "unknown"


# --- The name ---


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
        if found[1] not in known and "parameters" in start.catalog:
            values = mask("", plain(start.catalog["parameters"].load()), patterns)
            known.update((name, str(value)) for name, value in flatten(values, "."))
        if found[1] not in known:
            raise TrackingError(
                f"mlflow.yml: tracking.run.name has {found[0]}, which is no parameter of this run "
                "and none of {pipelines}, {changed}, {env}, {user}."
            )
        return str(known[found[1]])[:MAX_NAME_LENGTH]

    name = re.sub(r"\{([^{}]+)\}", fill_in, template or _DEFAULT_NAME)
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
    return "parameters" in read or any(f"{name}.".startswith(f"{each}.") for each in read)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
