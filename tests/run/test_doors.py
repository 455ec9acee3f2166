"""Kedro's other doors: the package as a program, notebooks, new pipelines, the service session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import PACKAGE, Project
from tests.support.tiny import SESSION, TWO_NODES, said, small

NAMED = TWO_NODES + "PIPELINES = {'__default__': a, 'first': a, 'second': b}\n"


@pytest.fixture
def two(project: Project) -> Project:
    """A project whose default pipeline has a name of its own."""
    return small(project, NAMED)


def names(project: Project) -> list[str]:
    return [str(run.info.run_name) for run in project.runs()]


CALLS = f"""\
import sys
sys.path.insert(0, "src")
from {PACKAGE}.__main__ import main
for call in [
    'main(["--pipelines", "first"])',
    "main([])",
    "main(args=[], standalone_mode=False)",
    "sys.argv[1:] = ['--pipelines', 'first']; main()",
]:
    try:
        exec(call)
    except SystemExit as end:
        assert not end.code, call
"""


def test_main_takes_what_kedros_own_takes(two: Project) -> None:
    two.script(CALLS)
    assert names(two) == ["first"] * 4


@pytest.mark.parametrize(
    ("arguments", "cwd"),
    [
        (("-m", PACKAGE), ""),
        ((f"src/{PACKAGE}/__main__.py",), ""),
        (("__main__.py",), f"src/{PACKAGE}"),  # As an IDE starts the file that is open.
    ],
)
def test_the_package_is_a_program(two: Project, arguments: tuple[str, ...], cwd: str) -> None:
    source = {"PYTHONPATH": str(two.folder / "src")}
    two.forked("python", *arguments, "--pipelines", "first", env=source, cwd=cwd)
    assert names(two) == ["first"]


def test_the_default_pipeline_has_its_own_name_in_every_session(two: Project) -> None:
    source = SESSION + "".join(
        f"with {session}.create() as session:\n    session.run({given})\n"
        for session in ("KedroSession", "KedroServiceSession")
        for given in ("", "pipeline_names=['__default__']")
    )
    two.script(source)
    assert names(two) == ["first"] * 4


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (("ipython",), "ipython"),
        (("jupyter", "lab"), "jupyterlab"),
        (("jupyter", "notebook"), "notebook"),
        (("jupyter", "setup"), "ipykernel"),
    ],
)
def test_what_a_notebook_needs_is_named_with_its_group(
    project: Project, command: tuple[str, ...], package: str
) -> None:
    result = project.kedro(*command, code=1)
    screen = said(result.stdout + result.stderr)
    assert f"`uv add --group notebook {package}`" in screen
    assert "None" not in screen


def test_a_new_pipeline_passes_the_owners_checks_and_is_registered(project: Project) -> None:
    project.kedro("pipeline", "create", "churn")
    for check in (("check", "."), ("format", "--check", ".")):
        project.run("ruff", *check)
    assert "churn" in project.kedro("registry", "list").stdout
    folder = project.folder / f"src/{PACKAGE}/pipelines/churn"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "__init__.py",
        "nodes.py",
        "pipeline.py",
    }
    assert (project.folder / "conf/base/parameters_churn.yml").is_file()
    project.write(
        f"src/{PACKAGE}/pipelines/churn/pipeline.py",
        "from kedro.pipeline import Pipeline, node\n"
        "def create_pipeline():\n    return Pipeline([node(lambda: 1.5, None, 'churned')])\n",
    )
    project.kedro("run", "--pipelines", "churn")
    (run,) = project.runs()
    assert run.data.metrics["churned"] == 1.5


def test_a_registry_that_lists_its_pipelines_is_told(two: Project) -> None:
    screen = said(two.kedro("pipeline", "create", "churn").stdout)
    assert "add 'churn' to what register_pipelines() returns" in screen


def test_an_owners_own_template_comes_first(project: Project, tmp_path: Path) -> None:
    own = tmp_path / "own" / "{{ cookiecutter.pipeline_name }}"
    for name in ("config/x.yml", "tests/test_x.py", "__init__.py"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text('"""Mine."""\n', "utf-8")
    (own.parent / "cookiecutter.json").write_text('{"pipeline_name": "x"}', "utf-8")
    project.kedro("pipeline", "create", "given", "--template", str(own.parent))
    (project.folder / "templates").mkdir()
    own.parent.rename(project.folder / "templates/pipeline")
    project.kedro("pipeline", "create", "found")
    for name in ("given", "found"):
        path = project.folder / f"src/{PACKAGE}/pipelines/{name}/__init__.py"
        assert path.read_text("utf-8") == '"""Mine."""\n'
