"""The image, built and run for real by buildah and podman, where they may be installed.

No image is pulled in the tests: scripts/base_image.py makes one that stands in for the official
Python, from Debian and the Python that runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import answers
from tests.support.machine import free_port, program
from tests.support.profiles import weekly
from tests.support.project import PACKAGE, Project, Trained, answers_at

pytestmark = weekly

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = f"docker.io/library/python:{PYTHON}-slim-bookworm"
PODMAN = ("podman", "--runtime", "runc")
TOKEN = "a-token-for-this-test-alone"
# Debian's podman would ask the kernel for more than it may have in a virtual machine.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


@pytest.fixture(scope="module")
def base() -> str:
    """An image to build on, where one can be made and a container of it runs."""
    for name in ("buildah", "podman", "runc", "debootstrap"):
        program(name, name)
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode:
        if os.geteuid():
            pytest.skip(f"there is no image {BASE}: as root, python scripts/base_image.py makes it")
        script = str(answers.REPOSITORY / "scripts" / "base_image.py")
        _try(sys.executable, script, BASE.rpartition("/")[2])
    _try(*PODMAN, "run", "--rm", *LIMITS, BASE, "python3", "--version")
    return BASE


def _try(*command: str) -> None:
    """Run what every container here depends on, or skip and say why there can be none."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = "".join(result.stderr.strip().splitlines()[-1:])
        pytest.skip(f"{' '.join(command[:4])} … fails on this machine: {last}")


@dataclass(frozen=True)
class Container:
    """A container that runs.

    Attributes:
        name: podman's name for it.
        url: where it answers.
    """

    name: str
    url: str

    def says(self, *command: str, code: int = 0) -> str:
        """Run a command in it."""
        result = subprocess.run(
            ["podman", "exec", self.name, *command], capture_output=True, text=True, check=False
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout.strip()


@pytest.fixture(scope="module")
def container(
    base: str, trained: Trained, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    """The champion in a container that may write nothing, as compose.yaml has it."""
    folder = tmp_path_factory.mktemp("container") / "project"
    answers.render(template, folder, {"serving_target": "docker"})
    for name in ("mlflow.db", "uv.lock"):
        shutil.copy(trained.project.folder / name, folder)
    (folder / ".env").write_text("SERVING_TOKEN=CANARY\n", encoding="utf-8")
    (folder / "conf/local/credentials.yml").write_text("CANARY: 1\n", encoding="utf-8")
    fetch(Project(folder, trained.project.environment))
    image, port = f"localhost/{PACKAGE}:test", free_port()
    build = [
        *("buildah", "build", "--quiet", "--isolation", "chroot", "--format", "docker"),
        *("--file", "deploy/docker/Dockerfile", "--build-arg", f"BASE={BASE}"),
        *("--target", "baked", "--label", "org.mlflow.model.version=1", "--tag", image, "."),
    ]
    run = [
        *(*PODMAN, "run", "--detach", "--name", PACKAGE, "--read-only", "--tmpfs", "/tmp"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", *LIMITS),
        *("--env", f"SERVING_TOKEN={TOKEN}", "--publish", f"127.0.0.1:{port}:8080", image),
    ]
    try:
        subprocess.run(build, cwd=folder, check=True, capture_output=True)
        subprocess.run(run, check=True, capture_output=True)
        made = Container(PACKAGE, f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 120
        while not answers_at(f"{made.url}/ping"):
            log = subprocess.run(["podman", "logs", PACKAGE], capture_output=True, check=False)
            assert time.monotonic() < deadline, log.stdout + log.stderr
            time.sleep(0.5)
        yield made
    finally:
        for command in (["rm", "--force", PACKAGE], ["rmi", "--force", image]):
            subprocess.run(["podman", *command], capture_output=True, check=False)


def fetch(project: Project) -> None:
    """Put the champion into the build context, as `kedro mlflow deploy` does first."""
    code = (
        "import sys; from pathlib import Path; from types import SimpleNamespace as Made\n"
        "from kedro.framework.startup import bootstrap_project\n"
        "folder = Path.cwd(); bootstrap_project(folder)\n"
        f"from {PACKAGE}.mlops.deployment.image import fetch_model\n"
        f"from {PACKAGE}.mlops.registry.versions import find_version\n"
        f"from {PACKAGE}.mlops.backend.access import project_config\n"
        "config = project_config(folder, None)\n"
        "version = find_version(config.model.name, config.server)\n"
        "fetch_model(Made(project=folder, config=config, version=version)).run()\n"
    )
    project.run("python", "-c", code)


def ask(url: str, token: str | None, body: bytes) -> tuple[int, str]:
    """POST rows as CSV; the status and what comes back."""
    headers = {"Content-Type": "text/csv"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{url}/invocations", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def test_it_answers_whoever_shows_the_token(container: Container, trained: Trained) -> None:
    rows = (trained.project.folder / "data/05_model_input/instances.csv").read_bytes()
    status, answer = ask(container.url, TOKEN, rows)
    assert status == 200
    assert len(json.loads(answer)["predictions"]) == len(rows.splitlines()) - 1
    assert json.loads(answer)["model_version"] == "1"
    for token in (None, "another"):
        assert ask(container.url, token, rows)[0] == 401


def test_it_is_nobody_and_writes_nowhere(container: Container) -> None:
    assert container.says("id", "-u") == "10001"
    for place in ("/project/x", "/opt/venv/x", "/opt/ml/model/x"):
        container.says("touch", place, code=1)
    status = container.says("cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_nothing_is_in_it_that_serving_does_not_need(container: Container) -> None:
    assert set(container.says("ls", "-A", "/project").split()) == {"conf", "pyproject.toml", "src"}
    assert container.says("ls", "-A", "/project/conf/local") == ".gitkeep"
    for tool in ("uv", "gcc", "git"):
        container.says("sh", "-c", f"! command -v {tool}")
    for library in ("pyarrow", "flask", "sqlalchemy"):
        container.says("python", "-c", f"import {library}", code=1)


def test_it_tells_what_is_in_it(container: Container) -> None:
    bill = json.loads(container.says("cat", "/opt/sbom.cdx.json"))
    told = {each["name"]: each["version"] for each in bill["components"]}
    code = "import json; from importlib.metadata import distributions; "
    code += "print(json.dumps({each.name: each.version for each in distributions()}))"
    assert told == json.loads(container.says("/opt/venv/bin/python", "-c", code))
    asked = ["podman", "inspect", "--format", "{{json .Config.Labels}}", container.name]
    labels = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    assert labels["org.mlflow.model.version"] == "1"


def test_its_health_check_says_that_it_is_well(container: Container) -> None:
    healthy = subprocess.run(["podman", "healthcheck", "run", container.name], check=False)
    assert healthy.returncode == 0
    metrics = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8082').read())"
    assert "serving_model_info" in container.says("python", "-c", metrics)


def test_mlflow_loads_models_in_it_too(container: Container) -> None:
    """It is what loads one that is no pipeline's; the image has its smaller part."""
    code = (
        "from importlib.metadata import version; import mlflow.pyfunc\n"
        "mlflow.pyfunc.load_model('/opt/ml/model'); print(version('mlflow-skinny'))"
    )
    loaded_by = container.says("python", "-c", code).splitlines()[-1]
    request = urllib.request.Request(f"{container.url}/version")
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.read().decode() == loaded_by
