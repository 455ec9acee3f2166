"""`kedro mlflow doctor`: what is wrong with the set-up, and what to do about it."""

import json
import logging
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import TextWrapper

import click
from kedro.framework.startup import ProjectMetadata

from ..backend.access import project_config
from ..doctor.diagnosis import checks_of, diagnose, waits
from ..doctor.finding import Finding, failed, ok, reason
from ..doctor.journals import journal, refused
from ..doctor.setup import Setup
from ..errors import TrackingError
from ..project import State
from ..redaction import mask, mask_text, secret_values
from ..update.origin import pending

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}


# As wide as the longest status, and as the longest name of a check.
_STATUS, _NAME = 9, 13


_WIDEST = 100


@click.command("doctor")
@click.option("--env", "-e", help="Kedro environment whose mlflow.yml counts.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON, for machines.")
@click.pass_obj
def command(metadata: ProjectMetadata, env: str | None, as_json: bool) -> None:
    """Check whether runs can be tracked, and say what to do if not.

    What it writes to find that out it removes again. Exits with 1 when a check has failed.
    """
    # What is worth saying is a finding.
    warnings.simplefilter("ignore")
    logging.disable()
    # Somebody waits at the screen: who sets this variable is obeyed.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    found: list[tuple[str, Finding]] = []
    for name, finding in _findings(Path(metadata.project_path), env):
        found.append((name, finding))
        if not as_json:
            _show(name, finding)
    broken = any(finding.status == "failed" for _, finding in found)
    if as_json:
        checks = [
            {"name": name, "status": it.status, "message": it.message, "remedy": it.remedy}
            for name, it in found
        ]
        click.echo(json.dumps({"ok": not broken, "checks": checks}, indent=2))
    else:
        click.echo(f"\n{_summary([finding for _, finding in found])}")
    if waits():
        # A library still waits for an answer, and Python would wait with it.
        sys.stdout.flush()
        os._exit(1)
    raise SystemExit(1 if broken else 0)


def _findings(project_path: Path, env: str | None) -> Iterator[tuple[str, Finding]]:
    """Look at mlflow.yml, and then at what it names; secrets masked."""
    journals = State.of(project_path).journals
    try:
        config = project_config(project_path, env)
    except Exception as error:
        yield "settings", _judge_settings(error)
        yield "journal", journal(journals)
        yield "refused", refused(journals)
        return
    uri = str(config.server.mlflow_tracking_uri)
    secrets = secret_values({**os.environ, "uri": uri}, config.redaction.patterns)
    where = env or os.environ.get("KEDRO_ENV") or "local"
    shown = mask("", uri).replace(f"{project_path.as_posix()}/", "")
    yield "settings", ok(f"environment {where}, tracking at {shown}")
    for name, finding in diagnose(checks_of(config), Setup(project_path, config)):
        yield name, finding.masked(secrets)
    if newer := pending(project_path):
        yield "template", Finding("ok", f"{newer} is there", "`kedro mlflow update` brings it.")


def _judge_settings(error: Exception) -> Finding:
    """Say why mlflow.yml cannot be followed; our own errors hold their remedy."""
    secrets = secret_values(os.environ)
    if isinstance(error, TrackingError):
        return failed(mask_text(" ".join(str(error).split()), secrets), "")
    return failed(
        mask_text(f"the project's configuration cannot be read ({reason(error)})", secrets),
        "Correct the files in conf/.",
    )


def _show(name: str, finding: Finding) -> None:
    """Print a finding: one line, and one more for what to do."""
    click.secho(f"{finding.status:{_STATUS}}", fg=_COLOURS[finding.status], nl=False)
    margin = " " * (_STATUS + _NAME)
    width = min(shutil.get_terminal_size().columns, _WIDEST) - len(margin)
    text = TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    lines = text.wrap(finding.message)
    if finding.remedy:
        text.subsequent_indent = "   "
        lines += text.wrap(f"-> {finding.remedy}")
    click.echo(f"{name:{_NAME}}" + f"\n{margin}".join(lines))


def _summary(findings: list[Finding]) -> str:
    """Say in a sentence how it stands."""
    statuses = Counter(finding.status for finding in findings)
    if number := statuses["failed"]:
        return f"{number} check has failed." if number == 1 else f"{number} checks have failed."
    if any(finding.ends for finding in findings):
        return "Nothing is wrong. `uv run kedro run` makes the first run."
    if statuses["warning"]:
        return "Runs are tracked; see the warnings."
    return "All is well."
