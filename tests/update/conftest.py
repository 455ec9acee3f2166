"""What every test of an update asks for: all versions of the template, and an author for git."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import answers, versions
from tests.support.project import Project
from tests.support.shared import shared


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a git repository in which every version is tagged; no test changes it."""
    name = "copier-kedro-mlflow"
    folder = shared(tmp_path_factory, "versions", lambda here: versions.publish_all(here / name))
    return folder / name


# The arguments before those of copier: `tool run --from … --with … copier`.
QUICK_UV = """#!{python}
import sys
sys.path[0] = {repository!r}
from copier._cli import CopierApp
from tests.support.answers import quick_copier
del sys.argv[1:8]
with quick_copier():
    CopierApp.run()
"""


@pytest.fixture(scope="package", autouse=True)
def quick_uv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let an update run this environment's copier, in a tenth of the time; with `UV=`, uv's own."""
    program = tmp_path_factory.mktemp("quick") / "uv"
    program.write_text(
        QUICK_UV.format(python=sys.executable, repository=str(answers.REPOSITORY)), "utf-8"
    )
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV", str(program))
        yield


@pytest.fixture
def older(published: Path, rendered: Project, tmp_path: Path) -> Project:
    """A committed project of the version before the newest."""
    folder = versions.start(published, tmp_path / "project", versions.WORKING_TREE)
    return Project(folder, rendered.environment)


@pytest.fixture(scope="package")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is on no disk, where there is one: an update makes and deletes 400 files."""
    # pytest makes its own folder when it is first asked for one: not in here, where it would go
    # with this package's tests.
    tmp_path_factory.getbasetemp()
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture(scope="package")
def kept_templates(memory: Path) -> Iterator[None]:
    """Read each version once."""
    with versions.kept_templates():
        yield


@pytest.fixture(scope="module")
def nobodys_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A person for the commits that copier makes, and no settings of this machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Test")
            patch.setenv(f"GIT_{who}_EMAIL", "test@example.com")
        yield
