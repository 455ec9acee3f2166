"""People who sign in elsewhere: the server believes the proxy in front, and nobody else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import issuer
from tests.support.fronts import oauth2_proxy
from tests.support.project import PACKAGE, Project
from tests.support.proxy import proxy_of
from tests.support.servers import ADMIN_PASSWORD, PROXY_PASSWORD, TrackingServer
from tests.support.tiny import FIGURE, journals, runs, tiny

pytestmark = pytest.mark.usefixtures("as_admin")

ADA = "ada@example.com"


def test_who_brings_a_token_is_a_user_from_the_first_call(
    project: Project, other_server: TrackingServer, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("a key")
    tiny(project, "signed-in-elsewhere", FIGURE)
    command = f"{sys.executable} {issuer.__file__} {tmp_path} 300 {ADA}"
    config = (project.folder / "conf/base/mlflow.yml").read_text(encoding="utf-8")
    provider = f"  request_header_provider:\n    type: {PACKAGE}.mlops.TokenCommand\n"
    provider += f"    init_kwargs: {{command: '{command}'}}\n"
    first = config.partition("\n")[0] + "\n"
    assert first == "server:\n"
    project.write("conf/base/mlflow.yml", config.replace(first, first + provider, 1))
    with proxy_of(other_server.url, oauth2_proxy(tmp_path)) as proxy:
        project.kedro("run", env={"MLFLOW_TRACKING_URI": proxy.url})
    assert not journals(project)
    (run,) = runs(other_server.client, "signed-in-elsewhere")
    assert other_server.client.list_artifacts(run.info.run_id, "figures")
    # A user like the others, who owns what was made.
    ada = other_server.users.get_user(ADA)
    assert not ada.is_admin
    granted = other_server.users.get_user_permission(ADA, "experiment", run.info.experiment_id)
    assert granted.permission == "MANAGE"


@pytest.mark.parametrize(
    ("login", "status"),
    [
        (("admin", ADMIN_PASSWORD), 200),
        (("grace@example.com", PROXY_PASSWORD), 200),
        # The first user signs in by password alone: this name elsewhere is not the admin.
        (("admin", PROXY_PASSWORD), 401),
        (("", PROXY_PASSWORD), 401),
        (("grace@example.com", PROXY_PASSWORD[:-1]), 401),
        (("grace@example.com", ""), 401),
        (("nobody@example.com", ADMIN_PASSWORD), 401),
        (None, 401),
    ],
)
def test_only_the_proxy_and_who_has_a_password_are_let_in(
    login: tuple[str, str] | None, status: int, other_server: TrackingServer
) -> None:
    headers = {"X-Forwarded-User": "admin", "X-Forwarded-Email": "admin"}
    assert other_server.status(login=login, **headers) == status
