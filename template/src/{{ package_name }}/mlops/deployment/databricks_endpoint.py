"""A serving endpoint of Databricks: its versions, and their shares of the requests."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..backend.client import reason_of
from ..errors import TrackingError
from ..redaction import mask_text

if TYPE_CHECKING:
    from mlflow.deployments.databricks import DatabricksDeploymentClient

# The endpoint's tag that lists what it has served, the newest last, with a separator that the tags
# of every cloud take.
HISTORY, _BETWEEN, _LONGEST_HISTORY = "versions_served", "-", 10


# What is compared of each version that is served, with the default of Databricks.
_DEFAULTS: Mapping[str, Any] = {
    "entity_name": None,
    "entity_version": None,
    "workload_type": "CPU",
    "workload_size": None,
    "scale_to_zero_enabled": False,
    "environment_vars": {},
}


def find_endpoint(client: "DatabricksDeploymentClient", name: str) -> dict[str, Any] | None:
    """Ask Databricks for an endpoint; none if there is no such endpoint."""
    from requests import HTTPError

    try:
        found: dict[str, Any] = client.get_endpoint(name)
    except HTTPError as error:
        if error.response is not None and error.response.status_code == 404:
            return None
        raise
    return found


def shares_of(config: Mapping[str, Any]) -> dict[str, int]:
    """Read the share of requests, in percent, of each version that a configuration serves."""
    routes = config.get("traffic_config", {}).get("routes", [])
    share_by_name = {
        route.get("served_model_name") or route.get("served_entity_name"): route[
            "traffic_percentage"
        ]
        for route in routes
    }
    return {
        str(entity["entity_version"]): share_by_name.get(entity["name"], 0)
        for entity in config.get("served_entities", [])
    }


def shift_traffic(shares: Mapping[str, int], version: str, percent: int) -> dict[str, int]:
    """Give a version its share; the rest stays with the largest of the others."""
    others = {other: share for other, share in shares.items() if other != version}
    if percent == 100 or not others:
        return {version: 100}
    return {max(others, key=lambda other: others[other]): 100 - percent, version: percent}


def config_of(options: Any, model: str, shares: Mapping[str, int]) -> dict[str, Any]:
    """Make the configuration that serves these versions of a model with these shares."""
    environment = dict(options.environment) | {
        variable: f"{{{{secrets/{secret}}}}}" for variable, secret in options.secrets.items()
    }
    names = {version: f"{model.rpartition('.')[2]}-{version}" for version in shares}
    entities = [
        {
            "name": names[version],
            "entity_name": model,
            "entity_version": version,
            "workload_type": options.workload_type,
            "workload_size": options.workload_size,
            "scale_to_zero_enabled": options.scale_to_zero,
            **({"environment_vars": environment} if environment else {}),
        }
        for version in shares
    ]
    routes = [
        {"served_model_name": names[version], "traffic_percentage": share}
        for version, share in shares.items()
    ]
    return {"served_entities": entities, "traffic_config": {"routes": routes}}


def is_served(endpoint: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether an endpoint is ready and serves as the wanted configuration says."""
    live = endpoint.get("config", {})
    by_name = {entity["name"]: entity for entity in live.get("served_entities", [])}
    entities = wanted["served_entities"]
    return (
        endpoint["state"].get("ready") == "READY"
        and by_name.keys() == {entity["name"] for entity in entities}
        and all(
            by_name[entity["name"]].get(key, default) == entity.get(key, default)
            for entity in entities
            for key, default in _DEFAULTS.items()
        )
        and shares_of(live) == shares_of(wanted)
    )


def require_changeable(endpoint: Mapping[str, Any], model: str) -> None:
    """Require an endpoint that is not being changed, and serves this project's model.

    Raises:
        TrackingError: it says what to do.
    """
    name = endpoint["name"]
    if endpoint["state"].get("config_update") == "IN_PROGRESS":
        raise TrackingError(
            f"The endpoint '{name}' is being changed: wait until that is over, and deploy again."
        )
    entities = endpoint.get("config", {}).get("served_entities", [])
    if foreign := [entity for entity in entities if entity.get("entity_name") != model]:
        raise TrackingError(
            f"The endpoint '{name}' serves '{foreign[0].get('entity_name')}' and not '{model}': "
            "choose another name for this project's (deployment.endpoint in mlflow.yml), or delete "
            "that one."
        )


def history_of(endpoint: Mapping[str, Any] | None) -> list[str]:
    """List the versions that an endpoint has served, up to the newest that it serves now."""
    if endpoint is None:
        return []
    tags = {tag["key"]: tag.get("value", "") for tag in endpoint.get("tags", [])}
    history = [version for version in tags.get(HISTORY, "").split(_BETWEEN) if version]
    shares = shares_of(endpoint.get("config", {}))
    # A version that failed is at the end and not served: it is nothing to go back to.
    while history and history[-1] not in shares:
        history.pop()
    return history or sorted(shares, key=lambda version: shares[version])[-1:]


def tag_of(history: Sequence[str]) -> dict[str, str]:
    """Write a history as the endpoint's tag."""
    return {"key": HISTORY, "value": _BETWEEN.join(history[-_LONGEST_HISTORY:])}


def state_of(client: "DatabricksDeploymentClient", name: str, _: float) -> str | None:
    """Return the state of an endpoint that is being changed; none once it is ready.

    Raises:
        TrackingError: the change has failed. Databricks continues to serve what it did before.
    """
    try:
        endpoint = client.get_endpoint(name)
    except OSError as error:  # What `requests` raises is one.
        response = getattr(error, "response", None)
        if response is not None and response.status_code < 500:
            raise
        return "not telling its state"  # A change takes minutes: a call may fail.
    state, update = endpoint["state"].get("ready"), endpoint["state"].get("config_update")
    if update in ("UPDATE_FAILED", "UPDATE_CANCELED"):
        raise TrackingError(
            f"The endpoint '{name}' could not be changed ({_reasons(endpoint) or update}): the log "
            "of its build, on its page under Serving in Databricks, says more."
        )
    return None if (state, update) == ("READY", "NOT_UPDATING") else f"{update} ({state})"


def _reasons(endpoint: Mapping[str, Any]) -> str:
    """Return why an endpoint could not serve its entities."""
    config = endpoint.get("pending_config") or endpoint.get("config") or {}
    states = [entity.get("state", {}) for entity in config.get("served_entities", [])]
    messages = {
        " ".join(str(state.get("deployment_state_message", "")).split()).rstrip(".")
        for state in states
        if str(state.get("deployment")) in ("DEPLOYMENT_FAILED", "DEPLOYMENT_ABORTED")
    }
    return "; ".join(sorted(messages - {""}))


@contextmanager
def api_errors() -> Iterator[None]:
    """Turn an error of Databricks, or of the connection, into a sentence.

    Raises:
        TrackingError: instead of what MLflow's client raises.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (OSError, MlflowException) as error:  # What `requests` raises is an OSError.
        raise TrackingError(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is None:
        return f"Databricks is not reachable: {reason_of(error)}."
    try:
        answer = response.json()
    except ValueError:
        answer = {}
    said = answer if isinstance(answer, dict) else {}
    code = said.get("error_code") or response.status_code
    message = " ".join(str(said.get("message") or response.reason).split())
    message = message.partition(" Config: ")[0].rstrip(".")  # The SDK adds its own settings.
    return mask_text(f"Databricks rejected the request ({code}): {message}.")
