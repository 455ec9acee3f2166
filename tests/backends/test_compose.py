"""The compose file and the image of the tracking server: valid, tidy, and true to what runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import answers
from tests.support.databases import PASSWORD, MariaDB, PostgreSQL, postgresql_programs
from tests.support.machine import program
from tests.support.project import Project
from tests.support.servers import SECRETS, TrackingServer, compose

STORES = [
    *product(
        answers.choices(answers.questions()["backend_store"]),
        answers.choices(answers.questions()["artifact_store"]),
    )
]
GIVEN = {
    **SECRETS,
    "MLFLOW_ARTIFACTS_DESTINATION": "CANARY-destination",
    "GOOGLE_APPLICATION_CREDENTIALS": "CANARY-file",
}
OIDC = {
    "MLFLOW_PROXY_PASSWORD",
    *("OIDC_ISSUER_URL", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"),
    *("OIDC_COOKIE_SECRET", "OIDC_EMAIL_DOMAINS"),
}


@pytest.fixture(scope="module")
def folders(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Path]:
    """deploy/tracking-server for each database and each store."""
    where = tmp_path_factory.mktemp("compose")
    return {
        (database, store): answers.render(
            template,
            where / f"{database}-{store}",
            {
                "tracking_preset": "server",
                "tracking_uri": "https://mlflow.example.com:8443/team",
                "backend_store": database,
                "artifact_store": store,
            },
            exclude=["/src", "/tests", "/data", "/conf"],
        )
        / "deploy"
        / "tracking-server"
        for database, store in STORES
    }


def test_every_compose_file_is_valid(folders: dict[Any, Path]) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    files = [folder / name for folder in folders.values() for name in ("compose.yaml", "oidc.yaml")]
    command: list[str | Path] = [checker, "--builtin-schema", "vendor.compose-spec", *files]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_hadolint_has_nothing_to_say_of_the_image(folders: dict[Any, Path]) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    for folder in folders.values():
        result = subprocess.run(
            [hadolint, folder / "Dockerfile"], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("stores", STORES, ids="-".join)
def test_what_is_secret_is_asked_for_and_what_is_not_has_a_default(
    stores: tuple[str, str], folders: dict[Any, Path]
) -> None:
    folder = folders[stores]
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required == {
        "MLFLOW_AUTH_ADMIN_PASSWORD",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        *(["DATABASE_PASSWORD"] if stores[0] != "sqlite" else []),
        *(["MLFLOW_ARTIFACTS_DESTINATION"] if stores[1] != "local" else []),
        *(["GOOGLE_APPLICATION_CREDENTIALS"] if stores[1] == "gcs" else []),
    }
    first = (folder / "README.md").read_text(encoding="utf-8").partition("## Start")[2]
    assert required == set(re.findall(r"`([A-Z_]+)`", first.partition("Keep the file")[0]))
    offered = (folder / ".env.example").read_text(encoding="utf-8")
    proxy = (folder / "oidc.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+):\?", proxy)) == OIDC
    names = set(re.findall(r"\$\{(\w+)", text + proxy))
    assert names <= set(re.findall(r"^# (\w+)=$", offered, re.MULTILINE))
    assert not re.search(r"^[^#\n]", offered, re.MULTILINE)


@pytest.mark.parametrize("stores", STORES, ids="-".join)
def test_versions_are_pinned_and_data_outlive_their_containers(
    stores: tuple[str, str], folders: dict[Any, Path]
) -> None:
    folder = folders[stores]
    content = compose(folder, GIVEN)
    for service in content["services"].values():
        assert re.search(r":\d+\.\d+\.?\d*$", service["image"])
        assert service["restart"]
        assert service["healthcheck"]
        for volume in service["volumes"]:
            assert volume.partition(":")[0] in content["volumes"]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    (deleted,) = re.findall(r"`docker volume rm (.*)`", readme)
    migrated = {"data"} if stores[0] != "postgresql" or stores[1] == "local" else set()
    migrated |= {"database"} & content["volumes"].keys()
    assert {*deleted.split()} == {f"{content['name']}_{volume}" for volume in migrated}
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert all("==" in line for line in requirements)
    mlflow = requirements[0].partition("==")[2]
    assert content["services"]["server"]["image"].endswith(f":{mlflow}")
    # One server that everybody can reach is enough.
    published = [service.get("ports") for service in content["services"].values()]
    assert published[0] == ["127.0.0.1:5000:5000"]
    assert not any(published[1:])


@pytest.mark.parametrize("stores", STORES, ids="-".join)
def test_what_happens_every_day_happens_where_the_server_works(
    stores: tuple[str, str], folders: dict[Any, Path]
) -> None:
    services = compose(folders[stores], GIVEN)["services"]
    server, nightly = services["server"], services["nightly"]
    for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_DESTINATION"):
        assert nightly["environment"][name] == server["environment"][name]
    assert {*server["volumes"]} <= {*nightly["volumes"]}
    for key in ("image", "secrets", "cap_drop", "read_only", "security_opt"):
        assert nightly.get(key) == server.get(key)
    # A bucket has its own means; a folder has none.
    is_folder = stores[1] == "local"
    assert nightly["environment"]["MLFLOW_BACKUP_FILES"] == str(is_folder).lower()
    dockerfile = (folders[stores] / "Dockerfile").read_text(encoding="utf-8")
    for command in (nightly["command"], nightly["healthcheck"]["test"][1:]):
        assert Path(command[1]).name in dockerfile


def test_the_proxy_shows_the_server_who_calls(folders: dict[Any, Path]) -> None:
    text = (folders["sqlite", "local"] / "oidc.yaml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    given, shown = services["server"]["environment"], services["proxy"]["environment"]
    assert shown["OAUTH2_PROXY_BASIC_AUTH_PASSWORD"] == given["MLFLOW_PROXY_PASSWORD"]
    redirect = "https://mlflow.example.com:8443/oauth2/callback"
    assert shown["OAUTH2_PROXY_REDIRECT_URL"] == redirect
    assert services["proxy"]["ports"] == ["127.0.0.1:${OIDC_PORT:-4180}:4180"]


def test_the_server_answers_to_the_name_that_its_clients_know(folders: dict[Any, Path]) -> None:
    environment = compose(folders["sqlite", "local"], GIVEN)["services"]["server"]["environment"]
    assert environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == "mlflow.example.com:8443"
    assert environment["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "https://mlflow.example.com:8443"


def test_the_image_is_made_of_files_that_are_there_and_holds_no_secret(
    folders: dict[Any, Path],
) -> None:
    folder = folders["postgresql", "s3"]
    dockerfile = (folder / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        name for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.M) for name in line.split()
    }
    ignored = (folder / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((folder / name).is_file() for name in copied)


def healthy(service: dict[str, Any], path: str, environment: dict[str, str]) -> bool:
    """Run a service's health check here, as Docker would inside its container."""
    kind, *command = service["healthcheck"]["test"]
    if kind == "CMD-SHELL":
        command = ["sh", "-c", *command]
    variables = {"PATH": f"{path}:{os.environ['PATH']}", **environment}
    return subprocess.run(command, env=variables, capture_output=True, check=False).returncode == 0


def test_the_health_checks_tell_a_service_that_is_up_from_one_that_is_not(
    folders: dict[Any, Path],
    installed: Project,
    team_server: TrackingServer,
    postgresql: PostgreSQL,
    mariadb: MariaDB,
) -> None:
    team, other = (
        compose(folders[stores], GIVEN)["services"]
        for stores in (("postgresql", "s3"), ("mysql", "s3"))
    )
    port = team_server.url.rpartition(":")[2]
    server = yaml.safe_load(yaml.dump(team["server"]).replace(":5000", f":{port}"))
    assert healthy(server, str(installed.environment / "bin"), {})
    assert not healthy(
        yaml.safe_load(yaml.dump(team["server"]).replace(":5000", ":9")),
        str(installed.environment / "bin"),
        {},
    )
    programs = str(postgresql_programs())
    assert healthy(team["database"], programs, {"PGPORT": str(postgresql.port)})
    assert not healthy(team["database"], programs, {"PGPORT": "9"})
    programs = str(Path(program("mariadb-admin", "mariadb-client")).parent)
    up = {"MYSQL_TCP_PORT": str(mariadb.port), "MARIADB_PASSWORD": PASSWORD}
    assert healthy(other["database"], programs, up)
    assert not healthy(other["database"], programs, {**up, "MYSQL_TCP_PORT": "9"})
