"""The addresses of pages that show runs: MLflow's own and those of managed services."""

import re
from urllib.parse import urlsplit, urlunsplit

from ..mlflow_internals import databricks_host
from ..project import is_server

_AZURE_WORKSPACE = re.compile(
    r"azureml://.+?/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/(?P<workspace>[^/?]+)",
    re.IGNORECASE,
)
_SAGEMAKER_SERVER = re.compile(
    r"arn:[^:]+:sagemaker:(?P<region>[^:]+):\d+:mlflow-tracking-server/(?P<name>[^/]+)"
)


def has_pages(uri: str) -> bool:
    """Return whether experiments and runs have addresses there: on servers, and on Databricks."""
    return is_server(uri) or is_databricks(uri)


def is_databricks(uri: str) -> bool:
    """Return whether runs are in a Databricks workspace."""
    return uri == "databricks" or uri.startswith("databricks://")


def public(uri: str) -> str:
    """Leave user and password out of an address, for it to be shown."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def page(uri: str, experiment_id: str, run_id: str | None = None) -> str:
    """Return the address of a page, where runs have pages: of an experiment or one of its runs."""
    path = f"experiments/{experiment_id}" + (f"/runs/{run_id}" if run_id else "")
    if is_databricks(uri):
        return f"{databricks_host(uri)}/ml/{path}"
    # MLflow's page opens in its view for language models unless the address says otherwise.
    return f"{public(uri).rstrip('/')}/#/{path}?workflowType=machine_learning"


def front_page(uri: str) -> str | None:
    """Return the address of the front page, made from a tracking URI; none if none can be."""
    if is_server(uri):
        return uri
    if is_databricks(uri):
        return databricks_host(uri)
    if workspace := _AZURE_WORKSPACE.match(uri):
        return (
            "https://ml.azure.com/experiments?wsid="
            "/subscriptions/{subscription}/resourcegroups/{group}/workspaces/{workspace}"
        ).format_map(workspace.groupdict())
    return None


def how_to_open(uri: str) -> str:
    """Say where to look at runs of a tracking URI that has no front page."""
    if server := _SAGEMAKER_SERVER.fullmatch(uri):
        return (
            "Look in SageMaker Studio, or let this make an address that is good for minutes:\n"
            "aws sagemaker create-presigned-mlflow-tracking-server-url "
            f"--tracking-server-name {server['name']} --region {server['region']}"
        )
    if uri.startswith("arn:"):
        return "Look in SageMaker Studio."
    return "Their page is that of the service behind this address."
