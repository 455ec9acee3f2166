"""The rendered CI answers whether a change's model is better, in one comment, and harms nothing.

The jobs' shell lines run here as they are rendered, against a real MLflow server with users. Only
the services' API for comments is a stand-in.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support import answers, ci
from tests.support.ci import Ran, StandInOfComments
from tests.support.guarded import PASSWORD, GuardedServer
from tests.support.profiles import weekly
from tests.support.project import Project, call_it

REQUEST = "12"
LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
NAMES = {"TOKEN": "MODEL_COMMENT_TOKEN"}
ALIASES = {"github": f"pull_request_{REQUEST}", "gitlab": f"merge_request_{REQUEST}"}
PATHS = {
    "github": f"/repos/team/study/issues/{REQUEST}/comments",
    "gitlab": f"/api/v4/projects/42/merge_requests/{REQUEST}/notes",
}


@pytest.fixture
def comments() -> Iterator[StandInOfComments]:
    with ci.stand_in_of_comments() as kept:
        yield kept


@dataclass
class Service:
    """A project that tracks on a server with users, and the service that checks it."""

    name: str
    project: Project
    model: str
    server: GuardedServer
    comments: StandInOfComments

    @property
    def jobs(self) -> dict[str, Any]:
        if self.name == "gitlab":
            return ci.load(self.project.folder / ".gitlab-ci.yml")
        jobs: dict[str, Any] = ci.load(self.project.folder / ".github/workflows/ci.yml")["jobs"]
        return jobs

    def run(self, job: str, folder: Path, *names: str, token: str = "") -> Ran:
        """Run a job of a request; of the secrets it has those of these names."""
        login = self.server.login() | {"TOKEN": token or self.comments.token}
        secrets = {name: login[name] for name in names}
        if self.name == "gitlab":
            given = {
                "CI_API_V4_URL": f"{self.comments.url}/api/v4",
                "CI_PROJECT_ID": "42",
                "CI_MERGE_REQUEST_IID": REQUEST,
            }
            given |= {NAMES.get(name, name): value for name, value in secrets.items()}
            return ci.run_gitlab(self.project, self.jobs[job], given)
        context = {f"secrets.{name}": login.get(name, "") for name in LOGIN}
        context |= {"github.token": login["TOKEN"], "github.event.number": REQUEST}
        given = {"GITHUB_API_URL": self.comments.url, "GITHUB_REPOSITORY": "team/study"}
        return ci.run_github(self.project, self.jobs[job], folder, context, given)

    def judge(self, folder: Path) -> Ran:
        """Run what a request starts: the second job has what the first one hands over."""
        shutil.rmtree(self.project.folder / "verdict", ignore_errors=True)  # As in a new clone.
        folder.mkdir(exist_ok=True)
        ran = self.run("candidate", folder, *LOGIN[:2])
        said = self.run("comment", folder, "TOKEN")
        assert said.code == 0, said.screen
        for secret in (self.comments.token, PASSWORD):
            assert secret not in ran.screen + said.screen
        return ran

    @property
    def aliases(self) -> dict[str, str]:
        model = MlflowClient(self.server.url).get_registered_model(self.model)
        return {alias: str(number) for alias, number in model.aliases.items()}


@pytest.fixture
def service(
    request: pytest.FixtureRequest,
    template: Path,
    rendered: Project,
    guarded: GuardedServer,
    comments: StandInOfComments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Service:
    name = str(request.param)
    given = {"ci": name, "tracking_preset": "server", "tracking_uri": guarded.url}
    project = Project(answers.render(template, tmp_path / "project", given), rendered.environment)
    call_it(project, tmp_path.name)
    for variable, value in guarded.login().items():
        monkeypatch.setenv(variable, value)  # For this process's own client.
    return Service(name, project, tmp_path.name, guarded, comments)


@pytest.mark.parametrize("service", ["github"], indirect=True)
def test_a_requests_model_is_judged_and_becomes_no_champion(
    service: Service, tmp_path: Path
) -> None:
    # Whatever the rules say of other runs, and although it is the first version of all.
    service.project.edit("conf/base/promotion.yml", "auto: false", "auto: true")
    ran = service.judge(tmp_path)
    assert ran.code == 0, ran.screen
    assert service.aliases == {ALIASES[service.name]: "1"}
    (comment,) = service.comments.comments.values()
    assert comment.startswith(f"<!-- kedro mlflow promote: {service.model} -->\n### Version 1 of ")
    assert "would be the champion: all 2 rules hold." in comment
    assert re.search(r"\n\| r2 \| 0\.\d+ \| at least 0.3 \| yes \|\n", comment)
    assert re.search(rf"\[The run in MLflow\]\({service.server.url}/#/exp\S+/runs/\w+\?", comment)


@weekly
@pytest.mark.parametrize("service", ["github", "gitlab"], indirect=True)
def test_a_change_that_makes_the_model_worse_fails_its_request(
    service: Service, tmp_path: Path
) -> None:
    first = service.judge(tmp_path)
    assert first.code == 0, first.screen
    service.project.kedro("mlflow", "promote", "--version", "1", env=service.server.login())
    service.project.edit("conf/base/parameters.yml", "alpha: 10", "alpha: 300")
    worse = service.judge(tmp_path / "again")
    assert worse.code == 1, worse.screen
    assert service.aliases == {"champion": "1", ALIASES[service.name]: "2"}
    (comment,) = service.comments.comments.values()
    assert "### Version 2 of" in comment
    assert "would not become the champion: rmse against the champion is" in comment


@pytest.mark.parametrize("service", ["github", "gitlab"], indirect=True)
def test_there_is_one_comment_however_many_others_and_pushes(
    service: Service, tmp_path: Path
) -> None:
    others = {f"{PATHS[service.name]}/{number}": "Looks good to me." for number in range(150)}
    service.comments.comments |= others
    for verdict in ("Version 1 is *worse*: \"r2\" & 'rmse'", "Version 2 is better\n\n| r2 |"):
        for folder in (tmp_path, service.project.folder):  # Where each service has artifacts.
            (folder / "verdict").mkdir(exist_ok=True)
            text = f"<!-- kedro mlflow promote: study -->\n### {verdict}\n"
            (folder / "verdict/report.md").write_text(text, "utf-8")
        said = service.run("comment", tmp_path, "TOKEN")
        assert said.code == 0, said.screen
        assert service.comments.token not in said.screen
        written = dict(service.comments.comments.items() - others.items())
        assert list(written.values()) == [text]


@pytest.mark.parametrize("service", ["github", "gitlab"], indirect=True)
def test_what_may_not_comment_fails(service: Service, tmp_path: Path) -> None:
    for folder in (tmp_path, service.project.folder):
        (folder / "verdict").mkdir()
        (folder / "verdict/report.md").write_text("<!-- mark -->\n", "utf-8")
    refused = service.run("comment", tmp_path, "TOKEN", token="CANARY-of-somebody")
    assert refused.code
    assert "error: 401" in refused.screen
    assert service.comments.comments == {}
