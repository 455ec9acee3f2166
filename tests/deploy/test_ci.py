"""The rendered CI answers whether a change's model is better, in one comment, and harms nothing.

The jobs' shell lines run here as they are rendered, against a real MLflow server with users. Only
the services' API for comments is a stand-in.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.support import answers, ci
from tests.support.answering import answering
from tests.support.ci import Ran, Repository, StandInOfComments
from tests.support.guarded import PASSWORD, GuardedServer
from tests.support.little import judged
from tests.support.profiles import weekly
from tests.support.project import Project, call_it
from tests.support.serving import serving
from tests.support.stand_ins import StandIns

REQUEST = "12"
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

    def run(
        self,
        job: str,
        folder: Path,
        secrets: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run a job with what its owner has given to it."""
        variables = variables or {}
        folder.mkdir(exist_ok=True)
        if self.name == "gitlab":
            given = {
                "CI_API_V4_URL": f"{self.comments.url}/api/v4",
                "CI_PROJECT_DIR": str(self.project.folder),
                "CI_PROJECT_ID": "42",
                "CI_MERGE_REQUEST_IID": REQUEST,
            }
            return ci.run_gitlab(self.project, self.jobs[job], {**given, **secrets, **variables})
        context = {f"secrets.{name}": value for name, value in secrets.items()}
        context |= {f"vars.{name}": value for name, value in variables.items()}
        context |= {
            "github.token": secrets.get("MODEL_COMMENT_TOKEN", self.comments.token),
            "github.event.number": REQUEST,
            "needs.champion.outputs.version": variables.get("VERSION", ""),
        }
        given = {"GITHUB_API_URL": self.comments.url, "GITHUB_REPOSITORY": "team/study"}
        of_runner = ("PATH", "HOME", "GITHUB_SHA")
        given |= {name: variables[name] for name in of_runner if name in variables}
        return ci.run_github(self.project, self.jobs[job], folder, context, given)

    def judge(self, folder: Path) -> Ran:
        """Run what a request starts: the second job has what the first one hands over."""
        shutil.rmtree(self.project.folder / "verdict", ignore_errors=True)  # As in a new clone.
        ran = self.run("candidate", folder, self.server.login())
        said = self.run("comment", folder, {"MODEL_COMMENT_TOKEN": self.comments.token})
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
    name, _, target = str(request.param).partition(" ")
    given = {"ci": name, "tracking_preset": "server", "tracking_uri": guarded.url}
    if target:
        given["serving_target"] = target
    project = Project(answers.render(template, tmp_path / "project", given), rendered.environment)
    shutil.copy(rendered.folder / "uv.lock", project.folder)
    project.edit("conf/base/parameters.yml", "repeats: 10", "repeats: 2")
    call_it(project, tmp_path.name)
    for variable, value in guarded.login().items():
        monkeypatch.setenv(variable, value)  # For this process's own client.
    return Service(name, project, tmp_path.name, guarded, comments)


@pytest.mark.parametrize("service", ["github"], indirect=True)
def test_a_requests_model_is_judged_and_becomes_no_champion(
    service: Service, tmp_path: Path
) -> None:
    config = service.project.read("conf/base/mlflow.yml")
    judged(service.project).write("conf/base/mlflow.yml", config)
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
    token = {"MODEL_COMMENT_TOKEN": service.comments.token}
    others = {f"{PATHS[service.name]}/{number}": "Looks good to me." for number in range(150)}
    service.comments.of_others |= others.keys()
    others[f"{PATHS[service.name]}/7"] = "<!-- kedro mlflow promote: study -->\nWhat is this?"
    service.comments.comments |= others
    many = "| rmse of a group | 54.031 | at most 52.969 | NO |\n" * 2_000
    quoted = "Version 1 is *worse*: \"r2\" & 'rmse'"
    for verdict in (quoted, "Version 2 is better\n\n| r2 |", f"Version 3 is worse\n\n{many}"):
        for folder in (tmp_path, service.project.folder):  # Where each service has artifacts.
            (folder / "verdict").mkdir(exist_ok=True)
            text = f"<!-- kedro mlflow promote: study -->\n### {verdict}\n"
            (folder / "verdict/report.md").write_text(text, "utf-8")
        said = service.run("comment", tmp_path, token)
        assert said.code == 0, said.screen
        assert service.comments.token not in said.screen
        written = dict(service.comments.comments.items() - others.items())
        (comment,) = written.values()
        assert comment == (text[: len(comment)] if len(text) > ci.LONGEST else text)


@pytest.mark.parametrize("service", ["gitlab"], indirect=True)
def test_a_comment_of_an_earlier_token_is_followed_by_one_that_each_push_renews(
    service: Service, tmp_path: Path
) -> None:
    earlier = f"{PATHS['gitlab']}/7"
    service.comments.comments[earlier] = "<!-- kedro mlflow promote: study -->\n### Version 1\n"
    service.comments.of_others.add(earlier)
    (service.project.folder / "verdict").mkdir()
    for number in (2, 3):
        text = f"<!-- kedro mlflow promote: study -->\n### Version {number}\n"
        service.project.write("verdict/report.md", text)
        said = service.run("comment", tmp_path, {"MODEL_COMMENT_TOKEN": service.comments.token})
        assert said.code == 0, said.screen
        service.comments.comments[earlier] = "<!-- kedro mlflow promote: study -->\n"
        assert list(service.comments.comments.values())[1:] == [text]


def is_released(repository: Repository, environment: str, version: str) -> bool:
    """Whether the branch of an environment has the image by its digest, and this version."""
    file = f"deploy/kubernetes/release/{environment}/kustomization.yaml"
    written = answers.git(repository.folder, "show", f"deployed/{environment}:{file}")
    return "  digest: sha256:" in written and f"version: '{version}'" in written


class StandInOfLogins(BaseHTTPRequestHandler):
    """Gives a token to every service principal, as a workspace of Databricks does."""

    def do_GET(self) -> None:
        place = f"http://{self.headers['Host']}/oidc"
        ends = {f"{name}_endpoint": f"{place}/v1/{name}" for name in ("authorization", "token")}
        is_config = self.path.endswith("/databricks-config")
        self._answer({"oidc_endpoint": place, "workspace_id": "1"} if is_config else ends)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"access_token": "of-the-secret", "token_type": "Bearer", "expires_in": 3600})

    def _answer(self, content: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("variables", "token"),
    [
        pytest.param(
            *({"DATABRICKS_TOKEN": "my-own", "DATABRICKS_CLIENT_ID": ""}, "my-own"),
            id="token",
            marks=weekly,
        ),
        pytest.param(
            *({"DATABRICKS_CLIENT_ID": "ada", "DATABRICKS_CLIENT_SECRET": "x"}, "of-the-secret"),
            id="service principal",
        ),
    ],
)
def test_databricks_is_asked_with_whatever_login_deploys(
    template: Path,
    rendered: Project,
    tmp_path: Path,
    variables: dict[str, str],
    token: str,
) -> None:
    given = answers.coherent({"ci": "gitlab", "serving_target": "databricks"})
    folder = answers.render(template, tmp_path / "project", given)
    script = "\n".join(ci.load(folder / ".gitlab-ci.yml")["staging"]["script"])
    (login,) = re.findall(r"^login=.*$", script, re.MULTILINE)
    with answering(StandInOfLogins) as url:
        given = {"DATABRICKS_HOST": url, "DATABRICKS_TOKEN": "", **variables}
        project = Project(folder, rendered.environment)
        code, screen = ci.shell(project, f'{login}\necho "$login"', given)
    assert (code, screen.splitlines()[-1:]) == (0, [f"Bearer {token}"]), screen


@pytest.mark.parametrize("service", ["github", "gitlab"], indirect=True)
def test_what_may_not_comment_fails(service: Service, tmp_path: Path) -> None:
    for folder in (tmp_path, service.project.folder):
        (folder / "verdict").mkdir()
        (folder / "verdict/report.md").write_text("<!-- mark -->\n", "utf-8")
    refused = service.run("comment", tmp_path, {"MODEL_COMMENT_TOKEN": "CANARY-of-somebody"})
    assert refused.code
    assert "error: 401" in refused.screen
    assert service.comments.comments == {}


@weekly
@pytest.mark.parametrize("service", ["github kubernetes", "gitlab kubernetes"], indirect=True)
def test_main_trains_promotes_deploys_to_staging_and_waits_before_production(
    service: Service, stand_ins: StandIns, tmp_path: Path
) -> None:
    project, login = service.project, service.server.login()
    image = "registry.example.com/team/study"
    project.edit("conf/base/mlflow.yml", "  image: null  ", f"  image: {image}  ")
    (project.folder / "conf/production").mkdir(exist_ok=True)
    there = f"model:\n  name: {service.model}_production\ndeployment:\n  overlay: production\n"
    project.write("conf/production/mlflow.yml", there)
    trained = service.run("champion", tmp_path / "champion", login)
    assert trained.code == 0, trained.screen
    assert service.aliases == {"champion": "1", "main": "1"}
    version = ci.version_of(service.name, trained, project)
    assert version == "1"

    repository = ci.repository_of(project.folder, tmp_path)
    secrets = {**login, "SERVING_TOKEN": "CANARY-token", "REGISTRY_PASSWORD": "CANARY-registry"}
    variables = {**stand_ins.variables, **repository.given(), "VERSION": version}
    variables["REGISTRY"] = "registry.example.com"
    cluster = {"github": "KUBE_CONFIG", "gitlab": "KUBECONFIG"}[service.name]
    unset = service.run("staging", tmp_path / "unset", secrets, variables)
    assert unset.code
    assert "SERVING_URL: Set this variable of the environment" in unset.screen
    assert stand_ins.calls() == []
    with serving(project, tmp_path, token="CANARY-token", env=login) as served:
        variables["SERVING_URL"] = f"{served.url}/invocations"
        reached = {**secrets, cluster: "CANARY-cluster"}
        staging = service.run("staging", tmp_path / "staging", reached, variables)
        assert staging.code == 0, staging.screen
        assert '"model_version": "1"' in staging.screen
        kinds = [" ".join(call.split()[:2]) for call in stand_ins.calls()]
        docker = [f"docker {word}" for word in ("login", "build", "push", "image")]
        assert kinds == [*docker, "kubectl apply"]
        assert stand_ins.calls()[2] == f"docker push {image}:1"
        assert is_released(repository, "staging", version)
        if service.name == "github":  # On GitLab the job itself is started by hand.
            unasked = service.run("production", tmp_path / "unasked", secrets, variables)
            assert unasked.code
            assert "Give the environment production required reviewers" in unasked.screen
            assert len(stand_ins.calls()) == len(kinds)
            service.comments.reviewers = ["required_reviewers"]
        production = service.run("production", tmp_path / "production", secrets, variables)
        assert production.code == 0, production.screen
        assert is_released(repository, "production", version)
        # Without a login to the cluster, whatever follows the branch deploys.
        assert [call for call in stand_ins.calls() if "kubectl" in call] == [
            "kubectl apply --kustomize deploy/kubernetes/release/staging"
        ]
        in_production = MlflowClient(service.server.url).get_registered_model(
            f"{service.model}_production"
        )
        assert {alias: str(n) for alias, n in in_production.aliases.items()} == {"champion": "1"}
        for secret in ("CANARY", PASSWORD):
            assert secret not in staging.screen + production.screen + "".join(stand_ins.calls())

    project.edit("conf/base/parameters.yml", "alpha: 10", "alpha: 300")
    shutil.rmtree(project.folder / "verdict", ignore_errors=True)
    worse = service.run("champion", tmp_path / "worse", login)
    assert worse.code == 1, worse.screen
    assert service.aliases == {"champion": "1", "main": "2"}
