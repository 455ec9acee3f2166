"""A version goes from staging to production: two servers with users, and a login for each."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.support.little import predicted
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project
from tests.support.servers import TrackingServer
from tests.support.training import training

pytestmark = pytest.mark.usefixtures("as_admin")

STAGING, PRODUCTION = "CANARY-of-staging", "CANARY-of-production"
MODEL = f"{PACKAGE}_production"
TO = ("mlflow", "promote", "--env", "staging", "--to", "production")
PREDICTED = """\
(rows, state):
    return (rows["y"] * 0 + state["mean"]).to_frame("prediction")"""


def with_environments(project: Project, experiment: str) -> Project:
    """A training in a moment, with the examples of both environments in use."""
    made = training(project)
    made.edit("conf/base/mlflow.yml", f"    name: {PACKAGE}\n", f"    name: {experiment}\n")
    for name in ("staging", "production"):
        example = made.read(f"conf/{name}/mlflow.yml").partition("\n\n")[2]
        made.write(f"conf/{name}/mlflow.yml", re.sub("^# ?", "", example, flags=re.MULTILINE))
    return made


def logins(staging: TrackingServer, production: TrackingServer, user: str) -> dict[str, str]:
    """Each server has a user that the other one does not know."""
    staging.users.create_user(f"{user}-here", STAGING)
    production.users.create_user(f"{user}-there", PRODUCTION)
    return {
        # What a person has for other runs: it must reach neither server.
        "MLFLOW_TRACKING_USERNAME": "nobody",
        "MLFLOW_TRACKING_PASSWORD": "CANARY-of-nobody",
        "STAGING_MLFLOW_TRACKING_URI": staging.url,
        "STAGING_MLFLOW_TRACKING_USERNAME": f"{user}-here",
        "STAGING_MLFLOW_TRACKING_PASSWORD": STAGING,
        "PRODUCTION_MLFLOW_TRACKING_URI": production.url,
        "PRODUCTION_MLFLOW_TRACKING_USERNAME": f"{user}-there",
        "PRODUCTION_MLFLOW_TRACKING_PASSWORD": PRODUCTION,
    }


def test_a_version_goes_to_production_with_the_login_of_each_and_scores_there(
    project: Project, other_server: TrackingServer, team_server: TrackingServer
) -> None:
    made = with_environments(project, "through-environments")
    env = logins(other_server, team_server, "one")
    made.kedro("run", "--env", "staging", env=env)
    tried = made.kedro(*TO, "--dry-run", env=env)
    assert f"Version 1 of {PACKAGE}_staging would be the champion" in tried.stdout
    assert not team_server.client.search_registered_models(f"name = '{MODEL}'")
    locked_out = made.kedro(*TO, code=1, env=env | {"PRODUCTION_MLFLOW_TRACKING_PASSWORD": "no"})
    assert "it does not let you in" in " ".join(locked_out.stderr.split())

    done = made.kedro(*TO, env=env)
    assert f"Version 1 of {MODEL} is the champion now" in done.stdout
    version = team_server.client.get_model_version_by_alias(MODEL, "champion")
    trained = other_server.client.get_model_version_by_alias(f"{PACKAGE}_staging", "champion")
    assert version.tags["training_server"] == other_server.url
    assert version.tags["training_run"] == trained.run_id
    run = team_server.client.get_run(str(version.run_id))
    there = other_server.client.get_run(str(trained.run_id))
    assert run.data.metrics == there.data.metrics
    assert run.data.tags["promotion.verdict"] == "promoted"

    made.kedro("run", "--pipelines", "inference", "--env", "production", env=env)
    assert [row.split(",")[0] for row in predicted(made)] == ["12.5", "22.5"]
    again = made.kedro(*TO, env=env)
    assert "is the champion already" in again.stdout
    assert len(team_server.client.search_model_versions(f"name = '{MODEL}'")) == 1
    for screen in (tried, locked_out, done, again):
        assert "CANARY" not in screen.stdout + screen.stderr
    assert "CANARY" not in str([version.tags, run.data.tags])


@weekly
def test_a_worse_version_waits_there_and_a_rollback_is_of_there(
    project: Project, other_server: TrackingServer, team_server: TrackingServer
) -> None:
    made = with_environments(project, "to-and-fro")
    for name in ("staging", "production"):
        made.edit(f"conf/{name}/mlflow.yml", f"{PACKAGE}_{name}", f"to_and_fro_{name}")
    pipeline = f"src/{PACKAGE}/pipelines/training/pipeline.py"  # Which predicts as inference does.
    made.edit(pipeline, 'rows["y"] - guesses', 'rows["y"] - guesses["prediction"]')
    made.edit(pipeline, '(rows, state):\n    return rows["y"] * 0 + state["mean"]', PREDICTED)
    rules = made.read("conf/base/promotion.yml") + "share_holdout: true\n"
    made.write("conf/base/promotion.yml", rules)
    made.write("conf/production/promotion.yml", "improvement: {rmse: {better: lower}}\n")
    env, client = logins(other_server, team_server, "two"), team_server.client

    def aliases() -> dict[str, str]:
        found = client.get_registered_model("to_and_fro_production").aliases
        return {alias: str(number) for alias, number in found.items()}

    made.kedro("run", "--env", "staging", env=env)
    made.kedro(*TO, env=env)
    # Other rows, which only the version has: both predict for them.
    made.write("data/patients.csv", "x,y\n1.0,1.0\n2.0,4.0\n3.0,5.0\n")
    made.kedro("run", "--env", "staging", "--params", "shift=9", env=env)
    shutil.rmtree(made.folder / ".kedro_mlflow/holdouts")
    for arguments in (("--dry-run",), ()):
        refused = made.kedro(*TO, "--version", "2", *arguments, code=1, env=env).stdout
        assert "Both have predicted again for the holdout of version 2" in refused
    assert aliases() == {"champion": "1", "challenger": "2"}
    made.kedro("run", "--env", "staging", "--params", "shift=-2", env=env)
    promoted = made.kedro(*TO, "--version", "3", env=env).stdout
    assert "promote --rollback --env production` takes it back" in promoted
    assert aliases()["champion"] == "3"
    back = made.kedro("mlflow", "promote", "--to", "production", "--rollback", env=env).stdout
    assert "Version 1 of to_and_fro_production is the champion again" in back
    assert aliases()["champion"] == "1"
