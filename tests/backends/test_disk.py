"""A store behind the team's server that is full: its runs keep their files until there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.project import Project
from tests.support.servers import TrackingServer
from tests.support.stores import Store
from tests.support.tiny import FIGURE, journals, refused, runs, said, tiny


@contextmanager
def full(s3: Store, experiment_id: str) -> Iterator[Path]:
    """The folder of one experiment in the store: a disk of a megabyte, and no room left on it."""
    folder = s3.folder / "files" / experiment_id
    folder.mkdir(parents=True)
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems can be mounted by root alone")
    with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(b"0" * 4096):
            pass
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.usefixtures("as_admin")
def test_files_that_find_no_room_are_kept_until_there_is_some(
    project: Project, team_server: TrackingServer, s3: Store
) -> None:
    tiny(project, "full", FIGURE)
    config = (project.folder / "conf/base/mlflow.yml").read_text(encoding="utf-8")
    project.write("conf/base/mlflow.yml", f"{config}shipping: {{deadline: 5}}\n")
    experiment_id = team_server.client.create_experiment("full")
    with full(s3, experiment_id) as disk:
        login = team_server.login()
        screen = said(project.kedro("run", env=login).stdout)
        assert "Pipeline execution completed successfully" in screen
        assert screen.count("did not take the whole run") == 1
        assert not refused(project)
        project.write("conf/base/mlflow.yml", config)
        (disk / "ballast").unlink()
        project.kedro("mlflow", "sync", env=login)
        (run,) = runs(team_server.client, "full")
        assert run.info.status == "FINISHED"
        assert team_server.client.list_artifacts(run.info.run_id, "figures")
        assert list(disk.rglob("*.png"))
        assert not journals(project)
