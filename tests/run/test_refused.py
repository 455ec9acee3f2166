"""What a server that is well refuses for good holds up nothing else, and can be given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from typing import TypeAlias

import pytest
from mlflow import MlflowClient

from tests.support.profiles import weekly
from tests.support.project import Project
from tests.support.proxy import Proxy, Request
from tests.support.slow import expected, measured, runs
from tests.support.tiny import FIGURE, SLOW, journals, refused, said, tiny

Refuses: TypeAlias = Callable[[Request], bool]


def is_figure(asked: Request) -> bool:
    return asked.method == "PUT" and asked.path.endswith("figure.png")


def is_parameter(asked: Request) -> bool:
    return "log-batch" in asked.path and any(
        each["key"] == "alpha" for each in json.loads(asked.body).get("params", ())
    )


def is_metric(asked: Request) -> bool:
    return "log-batch" in asked.path and any(
        each["key"] == "one/score" for each in json.loads(asked.body).get("metrics", ())
    )


def is_trace(asked: Request) -> bool:
    return "/mlflow/traces" in asked.path


REFUSED: dict[str, Refuses] = {
    "the file figures/figure.png": is_figure,
    "the metric one/score": is_metric,
    "the parameter alpha": is_parameter,
    "the timeline": is_trace,
}


@pytest.mark.parametrize(
    ("status", "whats"),
    [
        (403, list(REFUSED)[:2]),
        (413, list(REFUSED)[2:]),
        *(
            pytest.param(status, [what], marks=weekly)
            for status, what in product([403, 413], REFUSED)
        ),
    ],
)
def test_what_is_refused_is_set_aside_and_all_else_arrives(
    project: Project, proxy: Proxy, server: str, status: int, whats: list[str]
) -> None:
    experiment = f"{status} of {len(whats)} from {whats[0].rpartition('/')[2]}"
    tiny(project, experiment, FIGURE)
    variables = {"MLFLOW_TRACKING_URI": proxy.url}
    proxy.guard = lambda asked: status if any(REFUSED[what](asked) for what in whats) else None
    screen = said(project.kedro("run", env=variables).stdout)
    (run,) = runs(server, experiment)
    assert run.info.status == "FINISHED"
    assert sorted(refused(project)) == whats
    assert not journals(project)
    assert any(f"refuses {what} for good (" in screen for what in whats)
    assert (", and 1 more." in screen) == (len(whats) == 2)
    assert f"`uv run kedro mlflow sync --give-up {run.data.tags['kedro.run_id']}`" in screen
    assert ("one/score" in run.data.metrics) == ("the metric one/score" not in whats)
    assert run.data.params == ({} if "the parameter alpha" in whats else {"alpha": "0.5"})

    # The next one meets nothing of it.
    proxy.guard = lambda _: None
    screen = said(project.kedro("run", env=variables).stdout)
    assert "refuses" not in screen
    assert sorted(refused(project)) == whats
    assert project.kedro("mlflow", "sync", env=variables).stdout == "Every run is delivered.\n"

    # Once the server takes it the run is as it would have been.
    project.kedro("mlflow", "sync", "--refused", env=variables)
    assert not refused(project)
    again = MlflowClient(server).get_run(run.info.run_id)
    assert again.data.params == {"alpha": "0.5"}
    assert again.data.metrics["one/score"] == 0.5
    assert again.info.status == "FINISHED"
    files = MlflowClient(server).list_artifacts(run.info.run_id, "figures")
    assert [file.path for file in files] == ["figures/figure.png"]
    assert MlflowClient(server).get_trace(f"tr-{run.info.run_id}").data.spans
    assert len(runs(server, experiment)) == 2


def gone(server: str, how: str) -> str:
    """The id of a run that cannot be joined."""
    client = MlflowClient(server)
    if how == "unknown":
        return "0" * 32
    if how == "no id":
        return "yesterday's"
    run_id = str(client.create_run("0").info.run_id)
    client.delete_run(run_id)
    return run_id


def kill_one(project: Project, variables: dict[str, str]) -> None:
    """Kill a run in its second node; those that follow do not wait there."""
    process = project.fork("kedro", "run", env=variables)
    while not (project.folder / "waiting").exists():
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    (project.folder / "go").touch()


def test_a_run_to_join_that_is_gone_promises_no_sync_and_holds_up_nobody(
    project: Project, server: str
) -> None:
    tiny(project, "joins", SLOW)
    (project.folder / "go").touch()
    variables = {"MLFLOW_TRACKING_URI": server}
    for number, how in enumerate(("unknown", "no id", "deleted")):
        run_id = gone(server, how)
        # What a task's own disk keeps may go with it: this is a failure.
        result = project.kedro("run", env=variables | {"MLFLOW_RUN_ID": run_id}, code=1)
        screen = said(result.stdout)
        assert "Pipeline execution completed successfully" in screen
        assert "its tracking data have not arrived" in said(result.stderr)
        assert "`uv run kedro mlflow sync` delivers it" not in screen
        assert "MLflow run '" not in screen
        assert f"run {run_id}, which this one joins" in screen
        assert refused(project) == ["the run"] * (number + 1)
    *others, kept = (project.folder / ".kedro_mlflow" / "refused").iterdir()

    # A run that is killed now is completed by the next one.
    for name in ("go", "waiting"):
        (project.folder / name).unlink()
    kill_one(project, variables)
    assert "Delivered as well" in said(project.kedro("run", env=variables).stdout)
    assert {run.info.status for run in runs(server, "joins")} == {"KILLED", "FINISHED"}
    assert refused(project) == ["the run"] * 3

    synced = project.kedro("mlflow", "sync", "--refused", env=variables).stdout
    assert synced.count("cannot be delivered") == 3
    project.kedro("mlflow", "sync", "--give-up", kept.name)
    assert len(refused(project)) == len(others)
    assert not kept.exists()
    missing = project.kedro("mlflow", "sync", "--give-up", kept.name, code=1).stderr
    assert f"Nothing is kept of a run '{kept.name}'" in said(missing)


def test_a_run_that_is_restored_takes_what_was_kept_for_it(project: Project, server: str) -> None:
    tiny(project, "restored")
    variables = {"MLFLOW_TRACKING_URI": server}
    run_id = gone(server, "deleted")
    project.kedro("run", env=variables | {"MLFLOW_RUN_ID": run_id}, code=1)
    MlflowClient(server).restore_run(run_id)
    project.kedro("mlflow", "sync", "--refused", env=variables)
    assert not refused(project)
    assert MlflowClient(server).get_run(run_id).data.metrics["one/score"] == 0.5


def test_a_run_that_is_deleted_under_way_is_kept_and_ends_no_sooner(
    slow: Project, proxy: Proxy, server: str, experiment: str
) -> None:
    process = slow.fork("kedro", "run", env={"MLFLOW_TRACKING_URI": proxy.url})
    while not runs(server, experiment):
        assert process.poll() is None, process.communicate()
    (run,) = runs(server, experiment)
    MlflowClient(server).delete_run(run.info.run_id)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert f"it has deleted the run {run.info.run_id}" in said(out)
    assert refused(slow)[-1] == "the run"
    assert set(measured(MlflowClient(server).get_run(run.info.run_id))) < expected().keys()


def test_a_run_whose_store_fails_delays_others_by_seconds_and_not_for_ever(
    project: Project, proxy: Proxy, server: str
) -> None:
    """Its file is answered 500 by a server that is well; the next run completes a killed one."""
    tiny(project, "poisoned", FIGURE)
    config = (project.folder / "conf/base/mlflow.yml").read_text(encoding="utf-8")
    project.write(
        "conf/base/mlflow.yml", f"{config}shipping: {{deadline: '${{oc.env:DEADLINE,60}}'}}\n"
    )
    variables = {"MLFLOW_TRACKING_URI": proxy.url}
    proxy.guard = lambda asked: 500 if is_figure(asked) else None
    shown = project.kedro("run", env=variables | {"DEADLINE": "1"}).stdout
    assert "did not take the whole run" in said(shown)
    (poison,) = journals(project)
    tiny(project, "poisoned", SLOW)
    kill_one(project, variables)
    assert "Delivered as well" in said(project.kedro("run", env=variables).stdout)
    assert journals(project) == [poison]
    assert not refused(project)
    proxy.guard = lambda _: None
    project.kedro("mlflow", "sync", env=variables)
    assert {run.info.status for run in runs(server, "poisoned")} == {"KILLED", "FINISHED"}
