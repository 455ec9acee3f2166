"""Tracking addresses: what kind of store one names, and why one is refused.

A refusal is one sentence that says what to do, or the empty string. No address is opened: every
function is pure. Copier loads this file alone, so it imports no sibling.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from jinja2 import Environment
from jinja2.ext import Extension

LONGEST_URI = 500

# What MLflow 3 understands, by what stands before the first `:` (without a driver behind `+`).
KIND_BY_SCHEME = {
    "http": "server",
    "https": "server",
    "sqlite": "database",
    "postgresql": "database",
    "mysql": "database",
    "mssql": "database",
    "file": "folder",
    "databricks": "databricks",
    "databricks-uc": "databricks",
    "arn": "sagemaker",
    "azureml": "azureml",
}

# What each kind of address names, as a refusal calls it.
NOUNS = {
    "server": "an MLflow server",
    "database": "a database",
    "folder": "a folder",
    "databricks": "a Databricks workspace",
    "sagemaker": "a resource of AWS",
    "azureml": "an Azure Machine Learning workspace",
}

# The preset for each kind of address; there is none for a folder, which MLflow 3 refuses.
PRESET_BY_KIND = {
    "server": "server",
    "database": "local",
    "databricks": "databricks",
    "sagemaker": "sagemaker",
    "azureml": "azureml",
}

# Presets that decide the address: it is not asked for, and an answer to it would not be recorded.
DECIDED_BY_PRESET = {"local": "sqlite:///mlflow.db", "databricks": "databricks"}
WHERE_DECIDED = {
    "local": "in a file of the project, or in the database that MLFLOW_TRACKING_URI names",
    "databricks": "in the workspace of DATABRICKS_HOST, or of the profile that "
    "MLFLOW_TRACKING_URI=databricks://PROFILE names",
}

# The address every other preset needs, what it is called, and what one looks like. A preset has the
# name of the kind of address it needs.
ADDRESS_BY_PRESET = {
    "server": ("the address of an MLflow server", "https://mlflow.example.com"),
    "sagemaker": (
        "the ARN of an MLflow tracking server or app on SageMaker",
        "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team",
    ),
    "azureml": (
        "the MLflow tracking URI of an Azure Machine Learning workspace",
        "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/SUBSCRIPTION/resourceGroups/"
        "GROUP/providers/Microsoft.MachineLearningServices/workspaces/WORKSPACE",
    ),
}
PATTERNS = {
    "sagemaker": r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-(tracking-server|app)/[\w-]+",
    "azureml": r"azureml://[\w.-]+/mlflow/v[\d.]+/subscriptions/[^/]+/resourceGroups/[^/]+"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/[^/]+/?",
}

# Where a secret belongs instead, by the kind of address.
SECRETS = {
    "server": "put them in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "database": "put the whole address in MLFLOW_TRACKING_URI",
    "databricks": "put them in DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, or a token in "
    "DATABRICKS_TOKEN",
    "sagemaker": "put them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "azureml": "put them in AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
}

# Presets with stores of their own choice, and what the others are left with.
CHOOSING_PRESETS = frozenset({"local", "server"})
DEFAULT_STORES = frozenset({"sqlite", "local"})


class TrackingUriError(ValueError):
    """An address that MLflow cannot use or that holds a secret; the message is for its owner."""


def tracking_uri_kind(uri: str) -> str:
    """The kind of store an address names: server, database, folder, databricks, sagemaker, azureml.

    Returns:
        The kind, or an empty string for an address that MLflow does not know.

    Raises:
        TrackingUriError: When the address is malformed or holds a secret. The message never repeats
            the address, which may hold one.
    """
    kind = KIND_BY_SCHEME.get(_scheme(uri), "")
    _refuse_secrets(uri, kind)
    _refuse_characters(uri)
    if kind == "server":
        _refuse_host(uri)
    return kind


def tracking_uri_refusal(uri: str, preset: str) -> str:
    """Why a project with this tracking preset cannot track at this address; empty when it can."""
    if preset in DECIDED_BY_PRESET:
        return _decided_refusal(uri, preset)
    wanted, example = ADDRESS_BY_PRESET[preset]
    try:
        kind = tracking_uri_kind(uri)
    except TrackingUriError as error:
        return str(error)
    if kind == preset and re.match(rf"({PATTERNS.get(preset, '.*')})\Z", uri):
        return ""
    if kind in {"", preset}:
        return f"Give {wanted}, for example {example}."
    return f"Give {wanted}{_other_preset(kind)}: this names {NOUNS[kind]}."


def default_tracking_uri(preset: str) -> str:
    """Where a project tracks unless its owner says otherwise; empty where only the owner knows."""
    return DECIDED_BY_PRESET.get(preset, "http://127.0.0.1:5000" if preset == "server" else "")


def example_tracking_uri(preset: str) -> str:
    """What an address looks like that this preset takes."""
    return ADDRESS_BY_PRESET[preset][1] if preset in ADDRESS_BY_PRESET else ""


def store_refusal(store: str, key: str, preset: str) -> str:
    """Why a project with this tracking preset cannot choose this store; empty when it can.

    Args:
        store: The database or object store.
        key: The question that it answers.
        preset: The tracking preset.
    """
    if preset in CHOOSING_PRESETS or store in DEFAULT_STORES:
        return ""
    return f"Leave {key} out: tracking_preset={preset} comes with a store of its own."


def _decided_refusal(uri: str, preset: str) -> str:
    if uri == DECIDED_BY_PRESET[preset]:
        return ""
    kind = KIND_BY_SCHEME.get(_scheme(uri), "")
    other = _other_preset(kind) if PRESET_BY_KIND.get(kind) != preset else ""
    return (
        f"Leave tracking_uri out{other}: tracking_preset={preset} tracks {WHERE_DECIDED[preset]}."
    )


def _other_preset(kind: str) -> str:
    """The half of a sentence that proposes the preset for another kind of address."""
    return f", or answer tracking_preset={PRESET_BY_KIND[kind]}" if kind in PRESET_BY_KIND else ""


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].lower().partition("+")[0]


def _refuse_secrets(uri: str, kind: str) -> None:
    """First of all: whatever else is wrong, this is what its owner must hear of."""
    # Wherever the @ stands: a password with a / in it moves it out of what a parser calls the host.
    # SQLite has no users, and its files may be called anything.
    in_front = "@" in uri and _scheme(uri) != "sqlite"
    behind = kind == "database" and re.search(r"(?i)[?&](user|password|passwd|pwd)=", uri)
    if in_front or behind:
        remedy = SECRETS.get(kind, SECRETS["server"])
        raise TrackingUriError(f"Leave the user name and password out of the address: {remedy}.")
    if kind in {"server", "azureml"} and re.search(r"[?#]", uri):
        variable = "MLFLOW_TRACKING_TOKEN" if kind == "server" else "the environment"
        raise TrackingUriError(f"End the address before the ? or #: a token belongs in {variable}.")


def _refuse_characters(uri: str) -> None:
    if len(uri) > LONGEST_URI:
        raise TrackingUriError(
            f"Shorten the address to {LONGEST_URI} characters: it has {len(uri)}."
        )
    if re.match(r"[A-Za-z]:([\\/]|\Z)|\\\\", uri):
        raise TrackingUriError(
            "Give an address, not a Windows path: the address of a database file is written "
            "sqlite:///C:/folder/mlflow.db."
        )
    if any(character.isspace() for character in uri):
        raise TrackingUriError(
            "Remove the spaces and line breaks from the address, or write a space as %20."
        )
    # RFC 3986, section 2. It keeps out `{` too: OmegaConf would evaluate a `${...}` in mlflow.yml.
    if odd := re.search(r"[^A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]", uri):
        character = f"U+{ord(odd.group()):04X}"
        raise TrackingUriError(
            f"Replace the character {character} in the address: an address takes ASCII letters, "
            "digits and -._~:/%, and a host in another script its xn-- form."
        )


def _refuse_host(uri: str) -> None:
    label = r"[0-9a-z]([0-9a-z_-]*[0-9a-z])?"
    host = rf"{label}(\.{label})*\.?|[0-9a-f.]*:[0-9a-f:.]*"
    try:
        parts = urlsplit(uri)
        well_formed = re.match(rf"({host})\Z", parts.hostname or "") and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise TrackingUriError(
            "Name the host in the address, and its port if it needs one (1 to 65535), for example "
            "http://127.0.0.1:5000."
        )


class TrackingUriExtension(Extension):
    """Gives the template the filters that propose and refuse tracking addresses."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters with copier's Jinja environment."""
        super().__init__(environment)
        environment.filters.update(
            default_tracking_uri=default_tracking_uri,
            example_tracking_uri=example_tracking_uri,
            store_refusal=store_refusal,
            tracking_uri_refusal=tracking_uri_refusal,
        )
