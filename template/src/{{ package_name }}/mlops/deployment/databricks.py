"""Target `databricks`: a serving endpoint for the registered model, by MLflow's own client.

The workspace builds the container and fetches the model from Unity Catalog: nothing is uploaded.
"""

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from ..config import KedroMlflowConfig
from ..errors import TrackingError
from .cloud import api_step, refuse_secrets, wait_step
from .databricks_endpoint import (
    api_errors,
    config_of,
    find_endpoint,
    history_of,
    is_served,
    require_changeable,
    shares_of,
    shift_traffic,
    state_of,
    tag_of,
)
from .steps import Deployment, Step

if TYPE_CHECKING:
    from mlflow.deployments.databricks import DatabricksDeploymentClient

_CATALOG = "databricks-uc"


def plan(deployment: Deployment) -> list[Step]:
    """Plan to create the endpoint, or to give this version its share; no steps if it has that."""
    options, version = deployment.options, deployment.version
    target, client = _client(deployment.config, options)
    with api_errors():
        endpoint = find_endpoint(client, options.endpoint)
    live: dict[str, Any] = endpoint.get("config", {}) if endpoint else {}
    if endpoint:
        require_changeable(endpoint, version.name)
    number = str(version.version)
    percent = 100 if options.canary_percent is None else options.canary_percent
    shares = shift_traffic(shares_of(live), number, percent)
    history = history_of(endpoint)
    if history[-1:] != [number]:
        history.append(number)
    return _change(target, client, options, endpoint, version.name, shares, history)


def rollback(config: KedroMlflowConfig, options: Any) -> list[Step]:
    """Plan to give all requests to the version that the endpoint served before its newest.

    Raises:
        TrackingError: there is no endpoint, or it has never served another version.
    """
    target, client = _client(config, options)
    model = config.model.name if config.model else ""
    with api_errors():
        endpoint = find_endpoint(client, options.endpoint)
    if endpoint is None:
        raise TrackingError(f"There is no endpoint '{options.endpoint}' to roll back.")
    require_changeable(endpoint, model)
    *history, newest = history_of(endpoint) or [""]
    if not history:
        raise TrackingError(
            f"The endpoint '{options.endpoint}' has served nothing before version {newest}: there "
            "is nothing to go back to."
        )
    return _change(target, client, options, endpoint, model, {history[-1]: 100}, history)


def _client(config: KedroMlflowConfig, options: Any) -> "tuple[str, DatabricksDeploymentClient]":
    """Open MLflow's client of the workspace whose Unity Catalog has the model."""
    registry = str(config.server.mlflow_registry_uri)
    if not registry.startswith(_CATALOG):
        raise TrackingError(
            "mlflow.yml: deployment.target is databricks, which serves models of Unity Catalog: "
            f"set server.mlflow_registry_uri to {_CATALOG}, or {_CATALOG}://PROFILE."
        )
    refuse_secrets(
        options.environment,
        "name the scope and key of a secret of Databricks in deployment.secrets instead",
    )
    # Otherwise a lost connection is retried for eight minutes, without a message.
    os.environ.setdefault("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "60")
    from mlflow.deployments import get_deploy_client

    target = registry.replace(_CATALOG, "databricks", 1)
    return target, get_deploy_client(target)


def _change(
    target: str,
    client: "DatabricksDeploymentClient",
    options: Any,
    endpoint: dict[str, Any] | None,
    model: str,
    shares: dict[str, int],
    history: list[str],
) -> list[Step]:
    """Plan the endpoint that serves these versions with these shares."""
    name, config, tag = options.endpoint, config_of(options, model, shares), tag_of(history)
    printed = f"mlflow.deployments.get_deploy_client({target!r})"
    serves = " and ".join(
        f"version {version} with {share} % of the requests" for version, share in shares.items()
    )
    step = partial(api_step, client=printed, api_errors=api_errors)
    if endpoint is None:
        change = [
            step(
                f"Create the endpoint '{name}' on '{model}': {serves}.",
                method=client.create_endpoint,
                config={"name": name, "config": config, "tags": [tag]},
            )
        ]
    elif is_served(endpoint, config):
        return []
    else:
        change = [
            step(
                f"Change the endpoint '{name}' on '{model}': {serves}.",
                method=client.update_endpoint_config,
                endpoint=name,
                config=config,
            ),
            # Before the wait, which may be interrupted while Databricks continues.
            step(
                "Record what it has served, for --rollback.",
                method=client.update_endpoint_tags,
                endpoint=name,
                config={"add_tags": [tag]},
            ),
        ]
    command = f"{printed}.get_endpoint(endpoint={name!r})"
    state_after = partial(state_of, client, name)
    return [*change, wait_step(name, command, state_after, api_errors, options.timeout)]
