"""A project of version 1.0.0, edited, trained and with a run to deliver, after its update.

Its owner settles the conflicts of `settings.py` and `cli.py` by keeping their own side, and changes
nothing else: old names everywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.support import answers, versions
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.serving import serving

SOURCE = f"src/{PACKAGE}"
PREDICTIONS = "data/07_model_output/predictions.csv"
AWAY = "conf/away/mlflow.yml"

SINK = """
from pathlib import Path

from .tracking.journal import Record, all_records
from .tracking.shipping.sink import Sink


class MySink(Sink):
    place = "My place"

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def begin(self, started: Record) -> None:
        self.path.write_text(started.kind)

    def deliver(self, records: list[Record], patient: bool) -> None: ...

    def end(self, ended: Record, patient: bool) -> None:
        count = len(list(all_records(self.folder)))
        self.path.write_text(f"{ended.data['status']}: {count > 10}")
"""
COMMAND = """

@cli.command()
def hello() -> None:
    click.echo("a command of mine")
"""


@dataclass(frozen=True)
class Lived(Project):
    """The project after its update.

    Attributes:
        scored: what batch scoring had predicted before.
        synced: what delivering the waiting run has printed.
    """

    scored: list[float]
    synced: str

    def screen(self, *command: str) -> str:
        result = self.kedro(*command)
        return " ".join((result.stdout + result.stderr).split())


@pytest.fixture(scope="module")
def lived(
    published: Path,
    rendered: Project,
    kept_templates: None,
    nobodys_machine: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Lived:
    folder = tmp_path_factory.mktemp("first") / "project"
    versions.start(published, folder, "v1.0.0")
    project = Project(folder, rendered.environment)
    edit(project)
    versions.commit(folder)
    project.kedro("run")
    project.kedro("run", "--pipelines", "inference")
    scored = list(pd.read_csv(folder / PREDICTIONS)["progression"])
    # Measured on other patients, and not delivered: nothing answers there.
    project.kedro("run", "--env", "away", "--params", "split.test_fraction=0.25")
    assert len(project.runs()) == 2

    versions.update(folder, versions.WORKING_TREE)
    for path in ("settings.py", "cli.py"):
        answers.git(folder, "checkout", "--ours", f"{SOURCE}/{path}")
    versions.commit(folder)
    # Python's own files stay where the template's code was.
    assert not list((folder / SOURCE / "tracking").rglob("*.py"))
    (folder / PREDICTIONS).unlink()
    synced = project.kedro("mlflow", "sync").stdout
    return Lived(folder, rendered.environment, scored, synced)


def edit(project: Project) -> None:
    """Edit shared files next to what the template changes, and write a sink."""
    hook = "from .tracking import MlflowHook\n"
    project.edit(f"{SOURCE}/settings.py", hook, f"# mine\n{hook}")
    cli = project.folder / SOURCE / "cli.py"
    cli.write_text(cli.read_text("utf-8") + COMMAND, "utf-8")
    project.write(f"{SOURCE}/my_sink.py", SINK)
    sink = f"type: {PACKAGE}.my_sink.MySink, init_kwargs: {{path: .kedro_mlflow/mine.txt}}"
    project.edit("conf/base/mlflow.yml", "\nmirrors: []", f"\nmirrors: [{{{sink}}}]")
    (project.folder / "conf/away").mkdir()
    server = "server: {mlflow_tracking_uri: 'http://127.0.0.1:9'}\n"
    project.write(AWAY, f"{server}shipping: {{deadline: 1}}\nmirrors: []\n")


def test_old_names_train_deliver_and_say_the_new_ones(lived: Lived) -> None:
    screen = lived.screen("run")
    assert f"{PACKAGE}.tracking.MlflowHook is now {PACKAGE}.mlops.MlflowHook" in screen
    assert f"{PACKAGE}.datasets.SkopsDataset is now {PACKAGE}.mlops.SkopsDataset" in screen
    assert (lived.folder / ".kedro_mlflow/mine.txt").read_text() == "FINISHED: True"
    assert lived.runs()[0].info.status == "FINISHED"


def test_own_commands_and_the_templates_are_there(lived: Lived) -> None:
    assert "a command of mine" in lived.screen("hello")
    assert "promote" in lived.screen("mlflow", "--help")


def test_what_a_command_prints_for_programs_is_left_alone(lived: Lived) -> None:
    result = lived.kedro("mlflow", "doctor", "--json")
    assert json.loads(result.stdout)["checks"]
    assert "is now" in result.stderr


def test_a_batch_is_scored_as_before(lived: Lived) -> None:
    assert "version 1 (champion)" in lived.screen("run", "--pipelines", "inference")
    assert list(pd.read_csv(lived.folder / PREDICTIONS)["progression"]) == lived.scored


@weekly
def test_a_version_is_compared_with_the_champion(lived: Lived) -> None:
    screen = lived.kedro("mlflow", "promote", "--version", "2", "--dry-run", code=1).stdout
    assert "for the holdout of version 2" in screen


@weekly
def test_the_champion_is_served(lived: Lived, tmp_path: Path) -> None:
    rows = pd.read_csv(lived.folder / "data/05_model_input/instances.csv")
    with serving(lived, tmp_path) as served:
        answer = served.ask("/invocations", {"dataframe_split": rows.to_dict("split")})
    predicted = [row["progression"] for row in answer.body["predictions"]]
    assert predicted == pytest.approx(lived.scored)


def test_a_waiting_run_is_delivered_with_its_model(lived: Lived) -> None:
    assert lived.synced.endswith("Delivered 1 runs.\n")
    version = lived.client.get_model_version(PACKAGE, "2")
    assert version.status == "READY"


@weekly
def test_the_owners_tests_pass(lived: Lived) -> None:
    # What skops does not trust no longer stops a training at its end: the changelog says so.
    changed = "tests/pipelines/test_datasets.py::test_an_untrusted_type_is_named_when_saved"
    tests = ("pytest", "--quiet", "-p", "no:cacheprovider", "tests/pipelines")
    lived.run(*tests, "--deselect", changed, env={"PYTHONPATH": str(lived.folder / "src")})
