"""What tracking needs: each missing thing is named, with the file or variable and the remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import TRACKING_URIS
from tests.support.rooms import Rooms

DATABRICKS = ("DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_RUNTIME_VERSION")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that knows of no workspace."""
    for variable in DATABRICKS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))


def config(mlops: Rooms, uri: str, location: str | None = None, **server: Any) -> Any:
    """mlflow.yml with this tracking address."""
    experiment = {"create_experiment_kwargs": {"artifact_location": location}}
    content = {
        "server": {"mlflow_tracking_uri": uri, **server},
        "tracking": {"experiment": experiment},
    }
    return mlops("config").parse_config(content)


def refusal(mlops: Rooms, read: Any) -> str:
    """The sentence with which a run is refused before it starts."""
    with pytest.raises(mlops("errors").TrackingError) as refused:
        mlops("backend.preflight").require_all(read)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("uri", "module", "remedy"),
    [
        (TRACKING_URIS["sagemaker"], "sagemaker_mlflow", "`uv add sagemaker-mlflow`"),
        (TRACKING_URIS["azureml"], "azureml", "`uv add azureml-mlflow`"),
        ("postgresql+psycopg://h/db", "psycopg", '`uv add "psycopg[binary]"`'),
        ("postgresql+psycopg2://h/db", "psycopg2", "begin it with postgresql+psycopg://"),
        ("mysql+pymysql://h/db", "pymysql", "`uv add pymysql`"),
        ("mysql://h/db", "MySQLdb", "begin it with mysql+pymysql://"),
    ],
)
def test_an_address_whose_library_is_missing_is_refused(
    uri: str, module: str, remedy: str, mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    said = refusal(mlops, config(mlops, uri))
    assert said.startswith(
        f"mlflow.yml: server.mlflow_tracking_uri begins with {uri.partition(':')[0]}:"
    )
    assert remedy in said


@pytest.mark.parametrize(
    ("location", "module", "package"),
    [
        ("s3://bucket/folder", "boto3", "boto3"),
        ("gs://bucket/folder", "google.cloud", "google-cloud-storage"),
        ("wasbs://box@account.blob.core.windows.net/a", "azure", "azure-storage-blob"),
    ],
)
def test_an_artifact_location_whose_library_is_missing_is_refused(
    location: str,
    module: str,
    package: str,
    mlops: Rooms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    said = refusal(mlops, config(mlops, "sqlite:///mlflow.db", location))
    assert "artifact_location begins with" in said
    assert f"`uv add {package}`" in said


@pytest.mark.parametrize(
    "uri", ["postgresql+psycopg://ada:s3cret@h:s3cret/db", "mysql://ada:s3cret:h:x/db"]
)
def test_a_database_address_that_cannot_be_read_is_not_repeated(uri: str, mlops: Rooms) -> None:
    said = refusal(mlops, config(mlops, uri))
    assert "%2F" in said
    assert "s3cret" not in said


def test_a_database_that_nobody_knows_is_refused(mlops: Rooms) -> None:
    said = refusal(mlops, config(mlops, "postgresql+nothing://h/db"))
    assert "begins with postgresql+nothing:" in said


def test_databricks_needs_a_workspace(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read = config(mlops, "databricks", mlflow_registry_uri="databricks-uc")
    said = refusal(mlops, read)
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", ".env"):
        assert name in said
    require_all = mlops("backend.preflight").require_all
    for variable in DATABRICKS:
        with monkeypatch.context() as patch:
            patch.setenv(variable, "anything")
            require_all(read)
    (tmp_path / "none").touch()
    require_all(read)


def test_a_mirror_is_looked_at_too(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    read = mlops("config").parse_config(
        {
            "server": {"mlflow_tracking_uri": "https://mlflow.example.com"},
            "mirrors": [{"mlflow_tracking_uri": "postgresql+psycopg://h/db"}],
        }
    )
    assert "mirrors.0.mlflow_tracking_uri" in refusal(mlops, read)


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "https://mlflow.example.com"])
def test_what_needs_nothing_is_let_through(uri: str, mlops: Rooms) -> None:
    mlops("backend.preflight").require_all(config(mlops, uri, "mlartifacts"))


# --- variables ---


def test_an_empty_variable_counts_as_not_set(mlops: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    filled_in = mlops("project").environment_variable
    monkeypatch.setenv("A_PLACE", "")
    assert filled_in("A_PLACE", "default") == "default"
    assert filled_in("A_PLACE", None) is None
    with pytest.raises(KeyError, match="A_PLACE"):
        filled_in("A_PLACE")
    monkeypatch.setenv("A_PLACE", "there")
    assert filled_in("A_PLACE", "default") == "there"


@pytest.mark.parametrize("name", ["it's", 'say "x"', 'it\'s "x"'])
def test_a_folder_with_both_kinds_of_quotes_is_refused_for_a_new_database(
    mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    uri = mlops("project").anchor("sqlite:///mlflow.db", folder)
    if len({"'", '"'} & set(name)) == 1:
        mlops("backend.preflight").require_all(config(mlops, uri))
        return
    assert "both kinds of quotes: rename the folder" in refusal(mlops, config(mlops, uri))
    assert not list(folder.iterdir())
    with mlops("backend.databases").opened(uri) as connection:
        connection.exec_driver_sql("CREATE TABLE experiments (x)")
        assert "both kinds of quotes" in refusal(mlops, config(mlops, uri))
        connection.exec_driver_sql("INSERT INTO experiments VALUES (0)")
        connection.commit()
    mlops("backend.preflight").require_all(config(mlops, uri))
