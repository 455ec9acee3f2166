"""Kedro environments: one that is not there is said in a sentence, by every command."""

from __future__ import annotations

import pytest

from tests.support.project import Project

# Each command that reads mlflow.yml of an environment, in one process.
EVERY_COMMAND = """\
import os
import sys
from pathlib import Path

import click
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

metadata = bootstrap_project(Path.cwd())
from diabetes_progression.cli import cli

ARGUMENTS = {"compare": ["1", "2"], "prune": ["--older-than", "1d"], "register": ["1"]}
ARGUMENTS |= {"reproduce": ["1"], "end": ["1"]}

def commands(group, words):
    for name in sorted(group.list_commands(click.Context(group))):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        elif any("--env" in each.opts for each in command.params):
            yield (*words, name, *ARGUMENTS.get(name, []))

for words in commands(cli.commands["mlflow"], ("mlflow",)):
    result = CliRunner().invoke(cli, [*words, "--env", "nowhere"], obj=metadata)
    said = " ".join(result.output.split())
    print(result.exit_code, " ".join(words), "|", said)
"""
MISSING = (
    "There is no Kedro environment 'nowhere': conf/nowhere is missing. Choose another one with "
    "--env or KEDRO_ENV (conf/ has: base, local, production, staging, tasks), or create this "
    "folder."
)


def test_a_missing_environment_is_one_sentence_for_every_command(project: Project) -> None:
    lines = project.script(EVERY_COMMAND)
    assert len(lines) >= 12
    for line in lines:
        code, _, said = line.partition(" ")
        assert (code, MISSING in said) == ("1", True), line


@pytest.mark.parametrize("how", [("--env", "nowhere"), ()], ids=["option", "variable"])
def test_a_missing_environment_is_one_sentence_for_a_run(
    how: tuple[str, ...], project: Project
) -> None:
    variables = {} if how else {"KEDRO_ENV": "nowhere"}
    screen = project.kedro("run", *how, code=1, env=variables)
    said = " ".join((screen.stdout + screen.stderr).split())
    assert f"Error: {MISSING}" in said
    assert "Traceback" not in said
    assert not (project.folder / ".kedro_mlflow").exists()
