"""mlflow.yml: what it takes, what it refuses, and where its places lie."""

from __future__ import annotations

import sys
from pathlib import Path, PureWindowsPath

import pytest
import yaml
from mlflow.utils.file_utils import local_file_uri_to_path
from sqlalchemy import text

from tests.support.rooms import Rooms


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"servr": {}}, ["'servr'", "'server'"]),
        ({"tracking": {"run": {"nam": "x"}}}, ["'tracking.run.nam'", "'name'"]),
        ({"model": {"name": "m", "inputs": "x"}}, ["'model.inputs'", "'input'"]),
        ({"ui": {"port": "many"}}, ["ui.port"]),
        ({"model": {}}, ["model.name"]),
        ({"mirrors": [{"typ": "x.Y"}]}, ["'mirrors.0.typ'", "'type'"]),
        ({"mirrors": [{}]}, ["mirrors.0", "one of mlflow_tracking_uri and type"]),
        (
            {"mirrors": [{"type": "x.Y", "mlflow_tracking_uri": "http://x"}]},
            ["mirrors.0", "one of"],
        ),
        ({"mirrors": [{"init_kwargs": {}, "mlflow_tracking_uri": "http://x"}]}, ["init_kwargs"]),
        ({"mirrors": [{"type": "x.Y", "mlflow_registry_uri": "x"}]}, ["mlflow_registry_uri"]),
        ({"tracking": {"params": {"long_params_strategy": "drop"}}}, ["fail", "truncate", "tag"]),
        ({"deployment": {"target": "moon"}}, ["deployment", "docker", "kubernetes"]),
        ({"deployment": {"port": 1}}, ["deployment.target"]),
        ({"deployment": "docker"}, ["deployment"]),
        ({"deployment": {"target": "docker"}}, ["deployment.image"]),
        (
            {"deployment": {"target": "kubernetes", "canary": 1}},
            ["'deployment.canary'", "'canary_percent'"],
        ),
        (
            {"deployment": {"target": "kubernetes", "canary_percent": 101}},
            ["deployment.canary_percent", "100"],
        ),
        (
            {"promotion": {"thresholds": {"rmse": {"mx": 1}}}},
            ["'promotion.thresholds.rmse.mx'", "'max'"],
        ),
        ({"promotion": {"slices": {"rmse": {}}}}, ["promotion.slices.rmse", "min, max or both"]),
        (
            {"promotion": {"improvement": {"rmse": {"better": "lower"}}}},
            ["promotion: improvement", "holdout and predictions"],
        ),
        (
            {"model": {"name": "m", "card": {"texts": "x"}}},
            ["'model.card.texts'", "'text'"],
        ),
        ({"model": {"name": "m", "alias": "champion"}}, ["model.alias", "`kedro mlflow promote`"]),
        ({"model": {"name": "m", "alias": "7"}}, ["model.alias", "letters, digits and under"]),
        ({"model": {"name": "m", "alias": "Latest"}}, ["model.alias", "is not 'latest'"]),
        ({"model": {"name": "m", "alias": "v12"}}, ["model.alias", "is not 'latest'"]),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    mlops: Rooms, content: dict[str, object], named: list[str]
) -> None:
    with pytest.raises(mlops("errors").TrackingError) as refusal:
        mlops("config").parse_config(content)
    for word in ["mlflow.yml", *named]:
        assert word in str(refusal.value.message)


def test_a_project_that_deploys_nothing_knows_the_key_and_ignores_it(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, mlops("deployment.options").__name__, None)
    parse_config = mlops("config").parse_config
    assert parse_config({"deployment": {"target": "moon"}, "ui": {"port": 5001}}).ui.port == 5001
    with pytest.raises(mlops("errors").TrackingError, match=r"'ui\.prt'; .* is 'port'"):
        parse_config({"ui": {"prt": 5001}})


@pytest.mark.parametrize(
    ("left", "is_there"),
    [
        ("monitoring/__init__.py", True),
        ("monitoring.py", True),
        ("monitoring/__pycache__/traffic.cpython-311.pyc", False),
        ("other.py", False),
    ],
)
def test_a_room_is_there_if_its_code_is(
    left: str, is_there: bool, mlops: Rooms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git leaves Python's cache where an answer has taken a room away."""
    project = mlops("project")
    path = tmp_path / "serving" / left
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr(project, "TEMPLATE_FOLDER", tmp_path)
    assert project.is_rendered("serving.monitoring") is is_there


def test_all_that_is_wrong_is_named_at_once(mlops: Rooms) -> None:
    with pytest.raises(mlops("errors").TrackingError) as refusal:
        mlops("config").parse_config({"a": 1, "ui": {"b": 2}})
    assert len(refusal.value.message.splitlines()) == 2


KEDRO_MLFLOW_2 = """
server:
  mlflow_tracking_uri: null
  mlflow_registry_uri: null
  credentials: null
  request_header_provider:
    type: null
    pass_context: False
    init_kwargs: {}
tracking:
  disable_tracking:
    disable_autologging: True
    pipelines: []
  experiment:
    name: project
    create_experiment_kwargs:
      artifact_location: null
      tags: null
    restore_if_deleted: True
  run:
    id: null
    name: null
    nested: True
  params:
    dict_params:
      flatten: False
      recursive: True
      sep: "."
    long_params_strategy: fail
ui:
  port: "5000"
  host: "127.0.0.1"
"""


def test_a_file_written_for_kedro_mlflow_2_is_taken_as_it_is(mlops: Rooms) -> None:
    config = mlops("config").parse_config(yaml.safe_load(KEDRO_MLFLOW_2))
    assert config.ui.port == 5000
    assert config.tracking.experiment.name == "project"


@pytest.mark.parametrize(
    ("uri", "anchored"),
    [
        ("sqlite:///mlflow.db", "sqlite:////project/mlflow.db"),
        ("sqlite:///runs/a.db?timeout=5", "sqlite:////project/runs/a.db?timeout=5"),
        ("sqlite:////elsewhere/a.db", "sqlite:////elsewhere/a.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("mlartifacts", "file:///project/mlartifacts"),
        ("/elsewhere", "file:///elsewhere"),
        ("https://mlflow.example.com/base", "https://mlflow.example.com/base"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("postgresql+psycopg://host/db", "postgresql+psycopg://host/db"),
    ],
)
def test_relative_places_start_at_the_project(mlops: Rooms, uri: str, anchored: str) -> None:
    assert mlops("project").anchor(uri, Path("/project")) == anchored


@pytest.mark.parametrize("rest", ["host/db", "host:1/db?a=b", "/CANARY@host/db"])
@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql+pymysql", "postgresql"])
def test_a_part_of_a_password_is_no_name_of_a_machine(
    mlops: Rooms, scheme: str, rest: str, tmp_path: Path
) -> None:
    uri = f"{scheme}://me:a@CANARY@{rest}"
    for content in (
        {"server": {"mlflow_tracking_uri": uri}},
        {"server": {"mlflow_tracking_uri": "https://host", "mlflow_registry_uri": uri}},
        {"mirrors": [{"mlflow_tracking_uri": uri}]},
    ):
        config = mlops("config").parse_config(content)
        with pytest.raises(mlops("errors").TrackingError, match="write it as %40") as refusal:
            mlops("config").resolve(config, tmp_path)
        assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+psycopg://me@server:a%40b@host/db",
        "postgresql+psycopg://me@/db?host=a@b",
        "sqlite:////a:b@c@d/mlflow.db",
        "https://me:a@b@host/",
    ],
)
def test_an_at_elsewhere_is_one(mlops: Rooms, uri: str) -> None:
    assert mlops("project").anchor(uri, Path("/project")) == uri


@pytest.mark.parametrize(
    "name", ["a b", "50%20off", "a?b=c", "#%25?", "it's", 'say "x"', "ü😀", ":"]
)
def test_a_database_is_in_the_projects_folder_whatever_its_name(
    mlops: Rooms, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    uri = mlops("project").anchor("sqlite:///runs.db?timeout=9", folder)
    assert mlops("project").is_database(uri)
    assert mlops("backend.databases").file_of(uri) == folder / "runs.db"
    with mlops("backend.databases").opened(uri) as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    assert (folder / "runs.db").is_file()
    assert list(tmp_path.iterdir()) == [folder]
    place = mlops("project").anchor("mlartifacts", folder)
    assert Path(local_file_uri_to_path(place)) == folder / "mlartifacts"


@pytest.mark.parametrize(
    ("uri", "anchored"),
    [
        ("sqlite:///mlflow.db", "sqlite:///C:/my project/mlflow.db"),
        ("sqlite:///D:/runs/a.db?timeout=5", "sqlite:///D:/runs/a.db?timeout=5"),
        (r"sqlite:///D:\runs\a.db", "sqlite:///D:/runs/a.db"),
        ("mlartifacts", "file:///C:/my%20project/mlartifacts"),
        (r"runs\mlartifacts", "file:///C:/my%20project/runs/mlartifacts"),
        (r"D:\mlartifacts", "file:///D:/mlartifacts"),
        ("d:/mlartifacts", "file:///d:/mlartifacts"),
        (r"\\server\share\runs", "file://server/share/runs"),
        ("file:///D:/mlartifacts", "file:///D:/mlartifacts"),
        ("https://mlflow.example.com/base", "https://mlflow.example.com/base"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("databricks", "databricks"),
    ],
)
def test_places_on_windows_have_drives(mlops: Rooms, uri: str, anchored: str) -> None:
    project = PureWindowsPath(r"C:\my project")
    assert mlops("project").anchor(uri, project) == anchored


def test_user_and_password_in_an_address_are_masked(mlops: Rooms) -> None:
    mask = mlops("redaction").mask
    assert mask("uri", "postgresql://me:CANARY@host/db") == "postgresql://********@host/db"
    assert mask("uris", ["http://me@host"]) == ["http://********@host"]
    assert mask("uri", "https://host/a@b") == "https://host/a@b"


@pytest.mark.parametrize(
    ("content", "variable", "name"),
    [
        ({}, None, None),
        ({}, "from-the-shell", "from-the-shell"),
        ({}, "", None),
        ({"name": "mine"}, "from-the-shell", "mine"),
    ],
)
def test_mlflows_variable_names_the_experiment_where_mlflow_yml_does_not(
    mlops: Rooms,
    monkeypatch: pytest.MonkeyPatch,
    content: dict[str, str],
    variable: str | None,
    name: str | None,
) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    if variable is not None:
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", variable)
    config = mlops("config")
    parsed = config.parse_config({"tracking": {"experiment": content}})
    resolved = config.resolve(parsed, Path("/project"))
    assert resolved.tracking.experiment.name == (name or config.PACKAGE)


@pytest.mark.parametrize(
    ("content", "variable", "is_on"),
    [
        ({}, None, False),
        ({}, "true", True),
        ({"system": False}, "True", True),
        ({}, "1", True),
        ({}, "false", False),
        ({"system": True}, "false", True),
    ],
)
def test_the_load_of_the_machine_is_sampled_if_mlflows_variable_says_so(
    mlops: Rooms,
    monkeypatch: pytest.MonkeyPatch,
    content: dict[str, bool],
    variable: str | None,
    is_on: bool,
) -> None:
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", raising=False)
    if variable is not None:
        monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", variable)
    config = mlops("config")
    parsed = config.parse_config({"tracking": {"capture": content}})
    assert config.resolve(parsed, Path("/project")).tracking.capture.system is is_on
