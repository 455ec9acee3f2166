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

# Where a project tracks unless its owner says otherwise.
DEFAULT_BY_PRESET = {"local": "sqlite:///mlflow.db", "server": "http://127.0.0.1:5000"}

# Presets that decide the address: it is not asked for, and an answer to it would not be recorded.
DECIDING_PRESETS = frozenset({"local"})

# The kind of address every other preset needs, and how a refusal describes it.
KIND_BY_PRESET = {"server": "server"}
DESCRIPTIONS = {"server": "the address of an MLflow server, for example https://mlflow.example.com"}

SERVER_SECRETS = (
    "Leave the user name and password out of the address: put them in MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD."
)
DATABASE_SECRETS = (
    "Leave the user name and password out of the address: "
    "put the whole address in MLFLOW_TRACKING_URI."
)


class TrackingUriError(ValueError):
    """An address that MLflow cannot use or that holds a secret; the message is for its owner."""


def tracking_uri_kind(uri: str) -> str:
    """The kind of store an address names: server, database, folder, databricks, sagemaker, azureml.

    Raises:
        TrackingUriError: When the address is malformed, of no known kind, or holds a secret.
            The message never repeats the address, which may hold one.
    """
    scheme = uri.partition(":")[0].lower().partition("+")[0]
    kind = KIND_BY_SCHEME.get(scheme, "")
    _refuse_secrets(uri, kind, scheme)
    _refuse_characters(uri)
    if not kind:
        raise TrackingUriError(
            "Begin the address with http:// or https://, or with another scheme that MLflow knows."
        )
    if kind == "server":
        _refuse_host(uri)
    return kind


def tracking_uri_refusal(uri: str, preset: str) -> str:
    """Why a project with this tracking preset cannot track at this address; empty when it can."""
    if preset in DECIDING_PRESETS:
        decided = DEFAULT_BY_PRESET[preset]
        leave_out = f"Leave tracking_uri out: tracking_preset={preset} always means {decided}."
        return "" if uri == decided else leave_out
    try:
        kind = tracking_uri_kind(uri)
    except TrackingUriError as error:
        return str(error)
    wanted = KIND_BY_PRESET[preset]
    if kind == wanted:
        return ""
    return f"Give {DESCRIPTIONS[wanted]}: this one is of the kind {kind}."


def _refuse_secrets(uri: str, kind: str, scheme: str) -> None:
    """First of all: whatever else is wrong, this is what its owner must hear of."""
    # Wherever the @ stands: a password with a / in it moves it out of what a parser calls the host.
    # SQLite has no users, and its files may be called anything.
    if "@" in uri and scheme != "sqlite":
        raise TrackingUriError(DATABASE_SECRETS if kind == "database" else SERVER_SECRETS)
    if kind == "database" and re.search(r"(?i)[?&](user|password|passwd|pwd)=", uri):
        raise TrackingUriError(DATABASE_SECRETS)
    if kind == "server" and re.search(r"[?#]", uri):
        raise TrackingUriError(
            "End the address before the ? or #: a token belongs into MLFLOW_TRACKING_TOKEN."
        )


def _refuse_characters(uri: str) -> None:
    if not uri:
        raise TrackingUriError(f"Give {DESCRIPTIONS['server']}.")
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
            default_tracking_uri=DEFAULT_BY_PRESET.__getitem__,
            tracking_uri_refusal=tracking_uri_refusal,
        )
