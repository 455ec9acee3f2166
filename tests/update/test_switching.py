"""A living project moves to another tracking preset, and is then what a fresh copy is."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from copier import run_update

from tests.support import answers, versions
from tests.support.profiles import IS_WEEKLY, weekly
from tests.support.updates import EXAMPLES

pytestmark = pytest.mark.usefixtures("kept_templates", "nobodys_machine")

# One sheet a preset, and some with stores of their own choice.
SHEETS = {
    preset: answers.coherent({"tracking_preset": preset})
    for preset in answers.choices(answers.questions()["tracking_preset"])
}
PAIRS = list(itertools.permutations(SHEETS, 2))
SHEETS |= {
    f"{preset}-{database}-{store}": {
        "tracking_preset": preset,
        "backend_store": database,
        "artifact_store": store,
    }
    for preset, database, store in [
        ("local", "postgresql", "s3"),
        ("local", "mysql", "gcs"),
        ("server", "postgresql", "azure"),
    ]
}
PAIRS += [
    ("local", "local-postgresql-s3"),
    ("local-postgresql-s3", "local-mysql-gcs"),
    ("local-mysql-gcs", "server-postgresql-azure"),
    ("server-postgresql-azure", "databricks"),
    ("sagemaker", "local-postgresql-s3"),
]
# For each commit; all of them weekly.
OFTEN = [pair for pair in PAIRS if pair[0] == "local"]


@pytest.fixture(scope="module")
def projects(published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project for every sheet that is asked for, as its owner has committed it."""
    folder = tmp_path_factory.mktemp("projects")
    return {
        name: versions.start(published, folder / name, versions.WORKING_TREE, given)
        for name, given in SHEETS.items()
        if IS_WEEKLY or name in {each for pair in OFTEN for each in pair}
    }


def switch(project: Path, given: dict[str, str]) -> None:
    """What `copier update --trust --defaults -d …` does."""
    run_update(
        project,
        data=answers.known(given),
        vcs_ref=versions.WORKING_TREE,
        overwrite=True,
        **versions.UNATTENDED,
    )


def test_every_ordered_pair_of_presets_is_here() -> None:
    presets = answers.choices(answers.questions()["tracking_preset"])
    assert {(old, new) for old in presets for new in presets if old != new} <= set(PAIRS)
    assert len(presets) == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [pytest.param(*pair, marks=() if pair in OFTEN else weekly) for pair in PAIRS],
    ids=map("-to-".join, PAIRS),
)
def test_a_switched_project_is_what_a_fresh_copy_is(
    old: str, new: str, projects: dict[str, Path], tmp_path: Path
) -> None:
    project = shutil.copytree(projects[old], tmp_path / "project")
    switch(project, SHEETS[new])
    assert of_the_template(project) == of_the_template(projects[new])


def of_the_template(project: Path) -> dict[str, bytes]:
    """All files but the examples of environments, which are their owner's."""
    files = answers.files(project).items()
    return {path: text for path, text in files if not path.startswith(EXAMPLES)}


def test_edits_survive_a_move_through_all_presets_and_home_again(
    projects: dict[str, Path], tmp_path: Path
) -> None:
    project = shutil.copytree(projects["local"], tmp_path / "project")
    edits = {
        "conf/base/mlflow.yml": ("deadline: 60  ", "deadline: 600 "),
        "pyproject.toml": ('version = "0.1.0"', 'version = "2.0.0"'),
        "README.md": ("## What is where", "## What we do with it\n\nMuch.\n\n## What is where"),
        "conf/base/parameters.yml": ("alpha: ", "alpha: 7 # was "),
        ".gitignore": ("# Python\n", "/notes/\n\n# Python\n"),
    }
    for path, (old, new) in edits.items():
        versions.edit(project / path, old, new)
    (project / "src/diabetes_progression/pipelines/mine.py").write_text('"""Mine."""\n')
    versions.commit(project)
    before = answers.files(project)

    for preset in ["server", "databricks", "sagemaker", "azureml", "local"]:
        switch(project, SHEETS[preset])
        for path, (_, new) in edits.items():
            assert new in (project / path).read_text("utf-8"), (preset, path)
        assert b"\n<<<<<<< " not in b"".join(answers.files(project).values()), preset
        versions.commit(project)
    assert answers.files(project) == before


def test_the_address_of_another_preset_is_not_taken_along(
    projects: dict[str, Path], tmp_path: Path
) -> None:
    project = shutil.copytree(projects["server"], tmp_path / "project")
    with pytest.raises(ValueError, match='"tracking_uri" is required'):
        switch(project, {"tracking_preset": "sagemaker"})
    assert answers.files(project) == answers.files(projects["server"])
