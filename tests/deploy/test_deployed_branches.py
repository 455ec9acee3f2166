"""What CI deploys to Kubernetes is in git first: a branch per environment, with manifests alone.

The jobs' shell lines run here as they are rendered, in shallow clones of a real repository. The
programs that they start are stand-ins: `uv`, which writes what a deployment writes; `docker` and
`kubectl`; and `curl`, which answers as a cluster does that runs what is on the branch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support import answers, ci
from tests.support.answers import git
from tests.support.ci import Ran, Repository
from tests.support.project import Project

UV = """#!/bin/sh
for last; do :; done
case "$*" in
  *" promote "*) echo "### Version $VERSION of study" > "$last" ;;
  *" deploy --commit "*)
    release=deploy/kubernetes/release/$OVERLAY
    mkdir -p "$release"
    echo "digest: $DIGEST # version $VERSION" > "$release/kustomization.yaml"
    echo "   git add -- $release" ;;
  *) exit 1 ;;
esac
"""
KUBECTL = """#!/bin/sh
echo "$*" >> {calls}
[ -n "$KUBECONFIG" ] && git --git-dir {remote} grep --quiet "$DIGEST" "$BRANCH"
"""
CURL = """#!/bin/sh
cat > /dev/null
case "$*" in
  */environments/production*) echo '{{"protection_rules": [{{"type": "required_reviewers"}}]}}' ;;
  *)
    deployed=$(git --git-dir {remote} grep -h "# version" "$BRANCH")
    echo "$deployed" | sed 's/.*version \\(.*\\)/"model_version": "\\1"/' > answer ;;
esac
"""


@dataclass(frozen=True)
class Service:
    """A service, a project's repository there, and the project's folder in it."""

    name: str
    repository: Repository
    folder: str = "."
    overlay: str = "staging"

    @property
    def calls(self) -> list[str]:
        file = self.repository.folder.with_name("calls")
        return file.read_text("utf-8").splitlines() if file.exists() else []

    @property
    def manifests(self) -> str:
        """Where Argo CD finds what is to run."""
        inside = "" if self.folder == "." else f"{self.folder}/"
        return f"{inside}deploy/kubernetes/release/{self.overlay}/kustomization.yaml"

    def deploy(
        self, version: str, digest: str, cluster: str = "", environment: str = "staging"
    ) -> Ran:
        """Run the job of an environment in a clone of its own.

        Args:
            cluster: the login to the cluster, if the job is to reach it.
        """
        remote = self.repository.folder
        clone, temporary = remote.with_name("clone"), remote.with_name("runner")
        for folder in (clone, temporary):
            shutil.rmtree(folder, ignore_errors=True)
        temporary.mkdir()
        git(remote, "clone", "--quiet", "--depth", "1", remote.as_uri(), str(clone))
        project = Project(clone / self.folder, Path(os.devnull))
        path = f"{remote.with_name('programs')}{os.pathsep}{os.environ['PATH']}"
        given = {
            "PATH": path,
            "HOME": str(temporary),
            "DIGEST": digest,
            "OVERLAY": self.overlay,
            "BRANCH": f"deployed/{environment}",
            "SERVING_URL": "http://study/invocations",
            **self.repository.given(),
        }
        if self.name == "gitlab":
            jobs = ci.load(project.folder / ".gitlab-ci.yml")
            given |= {"VERSION": version} | ({"KUBECONFIG": cluster} if cluster else {})
            return ci.run_gitlab(project, jobs[environment], given)
        jobs = ci.load(project.folder / ".github/workflows/ci.yml")["jobs"]
        context = {
            "github.token": "CANARY-token",
            "needs.champion.outputs.version": version,
            "secrets.KUBE_CONFIG": cluster,
            "secrets.KUBE_CONFIG && 'given'": cluster and "given",
            "vars.SERVING_URL": given["SERVING_URL"],
        }
        return ci.run_github(project, jobs[environment], temporary, context, given)


@pytest.fixture(scope="module", params=["github", "gitlab"])
def rendered_for(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A service's name, and a project for it."""
    given = {"ci": request.param, "serving_target": "kubernetes", "tracking_preset": "server"}
    folder = tmp_path_factory.mktemp(request.param) / "project"
    return request.param, answers.render(template, folder, given)


@pytest.fixture
def service(rendered_for: tuple[str, Path], tmp_path: Path) -> Service:
    name, project = rendered_for
    return hosted(name, project, tmp_path)


def hosted(name: str, project: Path, folder: Path, inside: str = ".") -> Service:
    """Bring a project to its service, into a folder of a repository."""
    shutil.copytree(project, folder / "work" / inside)
    repository = ci.repository_of(folder / "work", folder)
    (folder / "programs").mkdir()
    given = {"remote": repository.folder, "calls": folder / "calls"}
    programs = {"uv": UV, "kubectl": KUBECTL.format(**given), "curl": CURL.format(**given)}
    for program, text in {**programs, "docker": "#!/bin/sh\n", "sleep": "#!/bin/sh\n"}.items():
        (folder / "programs" / program).write_text(text, "utf-8")
        (folder / "programs" / program).chmod(0o755)
    return Service(name, repository, inside)


def names(repository: Path, *words: str) -> list[str]:
    return git(repository, *words).splitlines()


def test_a_branch_has_what_was_deployed_and_nothing_else(service: Service) -> None:
    remote, branch = service.repository.folder, "deployed/staging"
    main = git(remote, "rev-parse", "main").strip()
    first = service.deploy("1", "sha256:1", cluster="CANARY-cluster")
    assert first.code == 0, first.screen
    assert service.calls == ["apply --kustomize deploy/kubernetes/release/staging"]
    manifests = names(remote, "ls-tree", "-r", "main", "deploy/kubernetes")
    deployed = names(remote, "ls-tree", "-r", branch)
    assert set(manifests) < set(deployed)
    assert [line.split()[-1] for line in deployed if line not in manifests] == [service.manifests]
    assert "digest: sha256:1 " in git(remote, "show", f"{branch}:{service.manifests}")
    project = "diabetes_progression"
    message = [f"deploy: {project} version 1 to staging", "", f"Commit: {main}"]
    assert names(remote, "log", "--format=%B", branch)[:3] == message

    # The same again is no commit. Another version is one, whatever has happened on main.
    assert service.deploy("1", "sha256:1", cluster="CANARY-cluster").code == 0
    assert names(remote, "log", "--format=%s", branch) == message[:1]
    work = remote.with_name("work")
    (work / "README.md").write_text("changed", "utf-8")
    git(work, "commit", "--quiet", "--all", "--message", "Change")
    git(work, "push", "--quiet", "origin", "main")
    second = service.deploy("2", "sha256:2", cluster="CANARY-cluster")
    assert second.code == 0, second.screen
    subjects = [f"deploy: {project} version {number} to staging" for number in (2, 1)]
    assert names(remote, "log", "--format=%s", branch) == subjects
    assert names(remote, "diff", "--name-only", f"{branch}^", branch) == [service.manifests]
    branches = names(remote, "for-each-ref", "--format=%(refname:short)")
    assert branches == [branch, "main"]
    assert names(remote, "log", "--format=%s", "main") == ["Change", "Start"]
    assert "CANARY" not in first.screen + second.screen + "".join(service.calls)


def test_without_a_login_the_cluster_is_asked_until_it_runs_what_is_on_the_branch(
    service: Service,
) -> None:
    service = replace(service, overlay="production")
    ran = service.deploy("3", "sha256:3", environment="production")
    assert ran.code == 0, ran.screen
    assert '"model_version": "3"' in ran.screen
    assert service.calls == []
    shown = git(service.repository.folder, "show", f"deployed/production:{service.manifests}")
    assert shown == "digest: sha256:3 # version 3\n"


@pytest.mark.parametrize("cluster", ["", "CANARY-cluster"])
def test_a_push_that_is_refused_stops_only_what_needs_the_branch(
    service: Service, cluster: str
) -> None:
    remote = service.repository.folder
    (remote / "hooks/pre-receive").write_text("#!/bin/sh\nexit 1\n", "utf-8")
    (remote / "hooks/pre-receive").chmod(0o755)
    programs, calls = remote.with_name("programs"), remote.with_name("calls")
    (programs / "kubectl").write_text(f'#!/bin/sh\necho "$*" >> {calls}\n', "utf-8")
    if cluster:
        (programs / "curl").write_text("""echo '"model_version": "1"' > answer""", "utf-8")
    ran = service.deploy("1", "sha256:1", cluster=cluster)
    (said,) = [line for line in ran.screen.splitlines() if "could not be pushed: " in line]
    if cluster:
        assert ran.code == 0, ran.screen
        assert said.startswith(("::warning::", "Warning: "))
        assert "deployed/staging does not show version 1, because it could not be pushed" in said
        assert service.calls == ["apply --kustomize deploy/kubernetes/release/staging"]
    else:
        assert "Nothing is deployed, because deployed/staging could not" in said
        assert said.endswith(", and run this job again.")
        assert ran.code
        assert service.calls == []
        assert "model_version" not in ran.screen


def test_the_token_is_given_to_git_by_its_variable(service: Service) -> None:
    assert service.deploy("1", "sha256:1").code == 0
    asked = subprocess.run(
        ["git", "credential", "fill"],
        cwd=service.repository.folder.with_name("clone"),
        env={**os.environ, "GH_TOKEN": "CANARY-token", "CI_JOB_TOKEN": "CANARY-token"},
        input="protocol=https\nhost=git.example.com\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    user = {"github": "x-access-token", "gitlab": "gitlab-ci-token"}[service.name]
    assert f"username={user}\npassword=CANARY-token\n" in asked


@pytest.mark.parametrize("rendered_for", ["gitlab"], indirect=True)
def test_projects_of_a_repository_share_the_branch(
    rendered_for: tuple[str, Path], tmp_path: Path
) -> None:
    name, project = rendered_for
    shutil.copytree(project, tmp_path / "work/apps/other")
    study = hosted(name, project, tmp_path, "apps/study")
    other = replace(study, folder="apps/other")
    for service, version in ((study, "1"), (other, "2"), (study, "3")):
        ran = service.deploy(version, f"sha256:{version}", cluster="CANARY-cluster")
        assert ran.code == 0, ran.screen
    changed = ["show", "--format=%s", "--name-only", "deployed/staging"]
    subject = "deploy: diabetes_progression version 3 to staging"
    assert names(study.repository.folder, *changed) == [subject, "", study.manifests]
    for service, version in ((study, "3"), (other, "2")):
        shown = git(service.repository.folder, "show", f"deployed/staging:{service.manifests}")
        assert shown == f"digest: sha256:{version} # version {version}\n"


@pytest.mark.parametrize("rendered_for", ["github"], indirect=True)
def test_a_revert_is_the_way_back_and_a_later_deployment_follows_it(
    service: Service, tmp_path: Path
) -> None:
    service, remote = replace(service, overlay="production"), service.repository.folder
    for version in ("1", "2"):
        assert service.deploy(version, f"sha256:{version}", environment="production").code == 0
    git(tmp_path, "clone", "--quiet", str(remote), "by-hand")
    for command in ("git switch deployed/production", "git revert --no-edit HEAD", "git push"):
        git(tmp_path / "by-hand", *command.split()[1:])
    shown = ["show", f"deployed/production:{service.manifests}"]
    assert git(remote, *shown) == "digest: sha256:1 # version 1\n"
    assert service.deploy("3", "sha256:3", environment="production").code == 0
    assert git(remote, *shown) == "digest: sha256:3 # version 3\n"
    assert len(names(remote, "rev-list", "deployed/production")) == 4
