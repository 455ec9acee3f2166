"""Trials on Dask's workers, which share nothing with the process that leads but two servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import NamedTuple

import pytest
from optuna.storages import get_storage

from tests.support import answers
from tests.support.dask_cluster import Cluster, cluster
from tests.support.databases import PostgreSQL
from tests.support.machine import free_port
from tests.support.processes import Service, listens, wait_until
from tests.support.profiles import weekly
from tests.support.project import Project, copy_of
from tests.support.shared import packages
from tests.support.studies import OPTUNA, Searched, searching
from tests.support.tiny import journals, said

PROXY = """\
import sys
from optuna.storages import get_storage, run_grpc_proxy_server
run_grpc_proxy_server(get_storage(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
"""


class Machines(NamedTuple):
    """A project on the machine that leads, and the same on those of two workers."""

    leads: Project
    work: list[Project]
    packages: str
    variables: dict[str, str]

    def env(self, place: Project) -> dict[str, str]:
        return {**self.variables, "PYTHONPATH": f"{place.folder}/src:{self.packages}"}

    @contextmanager
    def cluster(self) -> Iterator[Cluster]:
        with cluster(self.leads, self.env(self.leads)) as found:
            for place in self.work:
                found.work_in(place, self.env(place))
            yield found

    @property
    def all(self) -> list[Project]:
        return [self.leads, *self.work]


@pytest.fixture
def machines(
    installed: Project,
    template: Path,
    plain_server: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Machines:
    folders = [
        packages(installed, tmp_path_factory, "optuna", *OPTUNA),
        packages(installed, tmp_path_factory, "dask", "distributed>=2026.3,<2027"),
        packages(installed, tmp_path_factory, "grpc", "--no-deps", "grpcio", "typing-extensions"),
    ]
    given = {"features": "[tuning]", "orchestrator": "dask"}
    folder = answers.render(template, tmp_path / "first" / "project", given)
    leads = searching(Project(folder, installed.environment))
    leads.edit("conf/base/mlflow.yml", "sqlite:///mlflow.db", "${oc.env:MLFLOW_TRACKING_URI}")
    (folder / "mlflow.db").unlink(missing_ok=True)  # It is given where others need it.
    name = f"    name: {request.node.name}\n"
    leads.edit("conf/base/mlflow.yml", "    name: diabetes_progression\n", name)
    leads.edit("conf/base/parameters.yml", "slow: 0.0", "slow: 0.7")
    leads.edit("conf/base/tuning.yml", "seed: 3", "seed: 3\npruner: none")
    work = [copy_of(leads, tmp_path / name) for name in ("second", "third")]
    return Machines(leads, work, ":".join(map(str, folders)), {"MLFLOW_TRACKING_URI": plain_server})


@contextmanager
def proxy(place: Project, env: dict[str, str], address: str) -> Iterator[str]:
    """Optuna's own server in front of a database."""
    port = free_port()
    place.write("proxy.py", PROXY)
    python = str(place.environment / "bin" / "python")
    command = [python, "proxy.py", address, str(port)]
    service = Service(
        command, place.folder / "proxy.log", lambda: listens(port), env=env, cwd=place.folder
    )
    service.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        service.stop(SIGTERM)


def both_are_at_work(searched: Searched) -> bool:
    """Whether each of two workers has a trial that it has not ended."""
    trials = searched.study().trials
    return sum(t.state.name == "RUNNING" and "worker" in t.user_attrs for t in trials) == 2


@weekly
@pytest.mark.parametrize("kind", ["postgresql", "grpc"])
def test_no_trial_is_lost_or_counted_twice_whoever_dies(
    machines: Machines, postgresql: PostgreSQL, plain_server: str, kind: str
) -> None:
    database = postgresql.create(f"studies_{kind}")
    leads, *_ = machines.all
    for place in machines.all:
        place.edit(
            "conf/base/tuning.yml", "seed: 3", 'seed: 3\nstorage: "${oc.env:TUNING_STORAGE}"'
        )
    env = leads.variables(machines.env(leads))
    with proxy(leads, env, database) as address:
        machines.variables["TUNING_STORAGE"] = database if kind == "postgresql" else address
        with machines.cluster() as dask:
            options = ("kedro", "mlflow", "tune", "--no-run", "--scheduler", dask.address)
            env = machines.env(leads)
            searched = Searched(plain_server, get_storage(database))

            # One of the workers, and then the process that leads.
            process = leads.start(*options, env=env)
            searched.wait_for(2, processes=2, attribute="worker")
            wait_until(lambda: both_are_at_work(searched))
            dask.kill_worker(1)
            searched.wait_for(3, given_up=1)
            os.killpg(process.pid, SIGKILL)
            screen = "".join(process.communicate(timeout=120))
            assert "its worker is gone; its values are tried again" in said(screen)

            ended = leads.run(*options, "--resume", env=env)
            screen += ended.stdout + ended.stderr
            assert searched.lost_nothing(12)
            assert searched.parent().info.status == "FINISHED"
            # The workers are free for whatever comes.
            leads.run(
                "kedro",
                "run",
                "--runner",
                "DaskRunner",
                env={**env, "DASK_SCHEDULER_ADDRESS": dask.address},
            )
        screen += "".join(path.read_text() for path in dask.screens)
    assert "CANARY" not in screen
    assert not [journal for place in machines.all for journal in journals(place)]


@weekly
def test_workers_that_do_not_see_the_study_are_refused_before_the_first_trial(
    machines: Machines,
) -> None:
    with machines.cluster() as dask:
        command = ("kedro", "mlflow", "tune", "--scheduler", dask.address)
        result = machines.leads.run(*command, env=machines.env(machines.leads), code=1)
    screen = said(result.stdout + result.stderr)
    assert "the study is not where tuning.yml keeps it here: let `storage` name" in screen
    assert "Trial" not in screen
    assert "Traceback" not in screen
