"""Kedro's and our own commands in a rendered project."""

from __future__ import annotations

import re
import subprocess

from tests.support.machine import free_port
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, Trained, answers_at, listening

# A file of the owner's.
OWN = f"src/{PACKAGE}/pipelines/mine.py"
IMPORTED = """

def refuse() -> None:
    raise TrackingError("no")
"""


ASK = f"""\
import sys
sys.dont_write_bytecode = True
from kedro.framework.cli.cli import main
for asked in ("--help", "registry list", "catalog describe-datasets"):
    sys.argv[1:] = asked.split()
    try:
        main()
    except SystemExit as end:
        assert not end.code, end
    assert "mlflow" not in sys.modules, f"{{asked}}: mlflow is imported"
    # The schema of mlflow.yml: a tenth of the time of `kedro --help`.
    read = "{PACKAGE}.mlops.config" in sys.modules
    assert not read or asked != "--help", "mlflow.yml is read"
"""


def test_kedros_commands_neither_import_mlflow_nor_write_anything(project: Project) -> None:
    before = sorted(project.folder.rglob("*"))
    shown = project.run("python", "-c", ASK).stdout
    assert [word for word in ("Usage:", "- training", "- test_records") if word not in shown] == []
    assert sorted(project.folder.rglob("*")) == before


def test_our_commands_are_listed_with_what_they_do(project: Project) -> None:
    screen = project.kedro("mlflow", "--help").stdout
    assert "serve" in screen
    assert "ui" in screen


def test_the_page_of_the_runs_opens(trained: Trained) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    no_browser = {"BROWSER": "true"}
    with listening(
        trained.project, "kedro", "mlflow", "ui", "--port", str(port), url=url, env=no_browser
    ):
        assert answers_at(f"{url}/version")
        # Everybody on the machine can read arguments, and a database's address may hold a password.
        arguments = subprocess.run(
            ["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True
        ).stdout
        assert f"mlflow server --host 127.0.0.1 --port {port}" in arguments
        assert f"{trained.project.folder}/mlflow.db" not in arguments
        # A second one says that the port is taken.
        result = trained.project.kedro("mlflow", "ui", "--port", str(port), code=1)
        assert f"{url} already: choose another --port" in result.stderr


@weekly
def test_the_projects_own_tests_pass(rendered: Project) -> None:
    """On its own data; tests/run/test_examples.py runs them without, for each commit."""
    rendered.run("pytest", "--quiet", "-p", "no:cacheprovider")


def test_the_projects_own_checks_pass(rendered: Project) -> None:
    rendered.run("ruff", "check", "--no-cache")
    rendered.run("ruff", "format", "--check", "--no-cache")


def test_ruff_finds_nothing_in_the_templates_code_whatever_rules_its_owner_adds(
    project: Project,
) -> None:
    project.edit("pyproject.toml", "line-length = 100", "line-length = 88")
    project.edit("pyproject.toml", 'select = ["B", ', 'select = ["ANN", "ERA", "T20", "B", ')
    project.write(OWN, f'"""Mine."""\n\n\ndef mine(a):  # {"a long line " * 9}\n    """."""\n')
    found = project.run("ruff", "check", "--no-cache", "--output-format", "concise", code=1).stdout
    assert f"{OWN}:4:10: ANN001" in found
    assert f"{OWN}:4:89: E501" in found
    assert "/mlops/" not in found
    would_change = project.run("ruff", "format", "--check", "--no-cache", code=1).stdout
    assert f"src/{PACKAGE}/pipelines/training/plots.py" in would_change
    assert "/mlops/" not in would_change


@weekly
def test_mypy_finds_nothing_in_the_templates_code_whatever_its_version(project: Project) -> None:
    """A version that finds more in it is one that sees this."""
    wrong = 'wrong: int = "a text"\n'
    (module,) = (project.folder / "src").glob("*/mlops/errors.py")
    module.write_text(module.read_text("utf-8") + wrong, "utf-8")
    project.write(OWN, f'"""Mine."""\n\nfrom ..mlops import TrackingError\n\n{wrong}{IMPORTED}')
    found = project.run("mypy", "--cache-dir", "/dev/null", code=1).stdout
    # Nor anything else in the owner's own: what comes out of mlops/ has types.
    assert re.findall(r"^(\S+):(\d+): error: .*\[(\S+)\]$", found, re.MULTILINE) == [
        (OWN, "5", "assignment")
    ]
