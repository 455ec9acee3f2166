"""Addresses of pages, derived from tracking URIs."""

from __future__ import annotations

import pytest

from tests.support.rooms import Rooms

AZURE = (
    "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/1-2/resourceGroups/team"
    "/providers/Microsoft.MachineLearningServices/workspaces/space"
)
SERVER = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team"


def test_a_server_is_entered_at_its_address(mlops: Rooms) -> None:
    assert mlops("backend.pages").front_page("https://mlflow.example.com") == (
        "https://mlflow.example.com"
    )


def test_an_azure_workspace_has_a_page_in_the_studio(mlops: Rooms) -> None:
    assert mlops("backend.pages").front_page(AZURE) == (
        "https://ml.azure.com/experiments?wsid="
        "/subscriptions/1-2/resourcegroups/team/workspaces/space"
    )


def test_a_databricks_workspace_has_pages_under_its_host(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://dbc-1.cloud.databricks.com/")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token")
    monkeypatch.setenv("MLFLOW_ENABLE_DB_SDK", "false")
    pages = mlops("backend.pages")
    assert pages.front_page("databricks") == "https://dbc-1.cloud.databricks.com"
    assert pages.has_pages("databricks")
    assert not pages.has_pages(SERVER)


def test_of_sagemaker_it_is_said_how_to_get_an_address(mlops: Rooms) -> None:
    pages = mlops("backend.pages")
    assert pages.front_page(SERVER) is None
    assert pages.how_to_open(SERVER).endswith("--tracking-server-name team --region eu-west-1")
    assert "SageMaker Studio" in pages.how_to_open(SERVER.replace("tracking-server", "app"))
