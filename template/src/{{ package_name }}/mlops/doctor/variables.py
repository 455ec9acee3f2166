"""Environment variables: which are missing, and which value counts."""

from collections.abc import Mapping

from ..backend.pages import is_databricks
from ..project import is_server
from .finding import Finding, failed, ok, warning

# One without the others is a slip.
_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


_PRINCIPAL = ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET")


_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


_AZURE_PRINCIPAL = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")


def judge_variables(
    uri: str,
    artifact_location: str | None,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str | None],
) -> Finding:
    """Judge the variables that open the door to a place for runs; values are never shown.

    Args:
        uri: the tracking URI.
        artifact_location: where files go, if mlflow.yml says so.
        environ: the variables that count.
        dotenv: those in .env.
    """
    groups, others = _variables_of(uri, artifact_location or "", environ)
    missing = [
        name
        for group in groups
        if any(environ.get(name) for name in group)
        for name in group
        if not environ.get(name)
    ]
    if missing:
        return failed(
            f"{' and '.join(missing)} not set",
            "Put what is missing into .env: .env.example says what it holds.",
        )
    overruled = [name for name, value in dotenv.items() if value and environ.get(name) != value]
    if overruled:
        return warning(
            f"{', '.join(overruled)}: exported with another value than in .env, which loses",
            "Unset what was exported, if .env is what you mean.",
        )
    found = [name for name in (*sum(groups, ()), *others) if environ.get(name)]
    return ok(f"{', '.join(found)} set" if found else "none is needed")


def _variables_of(
    uri: str, location: str, environ: Mapping[str, str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """List the variables that are only good together, and the others that are read."""
    groups: list[tuple[str, ...]] = []
    others = ["MLFLOW_TRACKING_URI"]
    if is_server(uri):
        groups.append(_LOGIN)
        others += ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_SERVER_CERT_PATH"]
    if is_databricks(uri):
        groups.append(_PRINCIPAL)
        others += ["DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"]
    if uri.startswith("arn:") or location.startswith("s3:"):
        groups.append(_AWS_KEYS)
        others += ["AWS_PROFILE", "MLFLOW_S3_ENDPOINT_URL"]
    if uri.startswith("azureml:"):
        # The identity of a machine goes by its client id alone.
        machine = not environ.get("AZURE_CLIENT_SECRET")
        groups.append(("AZURE_CLIENT_ID",) if machine else _AZURE_PRINCIPAL)
    if location.startswith("wasbs:"):
        others += ["AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"]
    if location.startswith("gs:"):
        others.append("GOOGLE_APPLICATION_CREDENTIALS")
    return groups, others
