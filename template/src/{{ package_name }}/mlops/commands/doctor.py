"""`kedro mlflow doctor`: what is wrong with the set-up, and what to do about it."""

import json
import logging
import os
import shutil
import sys
import warnings
from collections import Counter
from dataclasses import asdict
from textwrap import TextWrapper

import click

from ..doctor import examine, is_waiting
from ..doctor.setup import Finding
from . import Project, for_project

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}

# As wide as the longest status, and as the longest name of a check.
_STATUS, _NAME = 9, 13

_WIDEST = 100


@click.command("doctor")
@for_project
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(project: Project, as_json: bool) -> None:
    """Check whether runs can be tracked, and say what to do if not.

    What is written for the checks is removed again. Exits with 1 if a check has failed.
    """
    # What is worth saying is a finding.
    warnings.simplefilter("ignore")
    logging.disable()
    # A person waits for it; a variable that is set counts.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    found: list[tuple[str, Finding]] = []
    for name, finding in examine(project.path, project.env):
        found.append((name, finding))
        if not as_json:
            _show(name, finding)
    statuses: Counter[str] = Counter(finding.status for _, finding in found)
    if as_json:
        keys = ("status", "message", "remedy")
        checks = [{"name": name, **{key: asdict(it)[key] for key in keys}} for name, it in found]
        click.echo(json.dumps({"ok": not statuses["failed"], "checks": checks}, indent=2))
    else:
        first_run = any(finding.not_yet for _, finding in found)
        click.echo(f"\n{_summary(statuses, first_run)}")
    if is_waiting():
        # A library still waits for an answer, and Python would wait with it.
        sys.stdout.flush()
        os._exit(1)
    raise SystemExit(1 if statuses["failed"] else 0)


def _show(name: str, finding: Finding) -> None:
    click.secho(f"{finding.status:{_STATUS}}", fg=_COLOURS[finding.status], nl=False)
    margin = " " * (_STATUS + _NAME)
    width = min(shutil.get_terminal_size().columns, _WIDEST) - len(margin)
    text = TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    lines = text.wrap(finding.message)
    if finding.remedy:
        text.subsequent_indent = "   "
        lines += text.wrap(f"-> {finding.remedy}")
    click.echo(f"{name:{_NAME}}" + f"\n{margin}".join(lines))


def _summary(statuses: Counter[str], first_run: bool) -> str:
    if number := statuses["failed"]:
        return f"{number} check has failed." if number == 1 else f"{number} checks have failed."
    if first_run:
        return "Nothing is wrong. `uv run kedro run` makes the first run."
    return "Runs are tracked; see the warnings." if statuses["warning"] else "All is well."
