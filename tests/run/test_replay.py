"""A run's `kedro.command`, run again as it is, reads the same data with the same parameters."""

from __future__ import annotations

import shlex

import pytest

from tests.support.project import Project
from tests.support.tiny import SESSION, small

NODES = """\
from pathlib import Path
from kedro.pipeline import Pipeline, node

def write(rows):
    return list(range(rows))

def read(data, parameters):
    with Path("seen").open("a") as file:
        file.write(f"{len(data)} {sorted(parameters.items())}\\n")
    return 1

PIPELINES = {
    "write": Pipeline([node(write, "params:rows", "versioned", name="write", tags=["w"])]),
    "read": Pipeline(
        [
            node(read, ["versioned", "parameters"], "of_read", name="read", tags=["r"]),
        ]
    ),
}
PIPELINES["__default__"] = PIPELINES["write"] + PIPELINES["read"]
"""

CATALOG = "versioned: {type: json.JSONDataset, filepath: data/versioned.json, versioned: true}\n"

VALUES = {
    "text": "a, b = 'c' \"d\" # f\n*umlaut* \u00fc",
    "looks": ["1", "true", "null", "1e5", "2026-01-02", " padded "],
    "numbers": [1, 2.5, 1e-9, -(10**30)],
    "nothing": None,
    "yes": True,
    "empty": [[], {}, ""],
    "nested": {"list": [{"a": 1, "b": [True, "1"]}], "deep": {"er": "x,y"}, "by": {1: "one"}},
}

RUN_AS_A_PROGRAM = """\
from kedro.runner import ThreadRunner

with KedroSession.create(Path.cwd(), runtime_params={values!r}, env="other") as session:
    session.run(
        pipeline_names=["read"],
        tags=["r"],
        from_inputs=["versioned"],
        to_outputs=["of_read"],
        load_versions={{"versioned": {version!r}}},
        runner=ThreadRunner(),
    )
"""


@pytest.fixture
def replayed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with two versions of its data: of 10 rows, and of 20."""
    monkeypatch.chdir(project.folder)
    small(project, NODES)
    project.write("conf/base/catalog.yml", CATALOG)
    project.write("conf/base/parameters.yml", "rows: 10\n")
    (project.folder / "conf/other").mkdir()
    project.write("conf/other/parameters.yml", "other: 1\n")
    for rows in (10, 20):
        project.kedro("run", "--pipelines", "write", "--params", f"rows={rows}")
    return project


def first_version(project: Project) -> str:
    return min(path.name for path in (project.folder / "data/versioned.json").iterdir())


def command_of_last_run(project: Project) -> str:
    return project.runs()[0].data.tags["kedro.command"]


def test_a_run_is_repeated_by_its_command(replayed: Project) -> None:
    version = first_version(replayed)
    arguments = ["--pipelines", "read", "--load-versions", f"versioned:{version}"]
    replayed.kedro("run", *arguments, "--env", "other", "--params", "rows=7,text='a b'")
    seen, _ = seen_again(replayed)
    assert "('text', " in seen
    replayed.script(SESSION + RUN_AS_A_PROGRAM.format(values=VALUES, version=version))
    seen, command = seen_again(replayed)
    for name, value in VALUES.items():
        assert repr((name, value)) in seen
    assert "--runner ThreadRunner" in command


def seen_again(project: Project) -> tuple[str, str]:
    """What the last run has read, and read again by its command."""
    command = command_of_last_run(project)
    assert "# cannot" not in command
    project.kedro(*shlex.split(command)[1:])
    assert command_of_last_run(project) == command
    first, second = (project.folder / "seen").read_text("utf-8").splitlines()[-2:]
    assert first == second
    assert first.startswith("10 ")
    assert "('other', 1)" in first
    return first, command
