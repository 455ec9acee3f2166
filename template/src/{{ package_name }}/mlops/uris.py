"""Where a tracking URI points to, seen from the project and not from the working directory."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

_SQLITE = "sqlite:///"


def anchor(uri: str, project_path: Path) -> str:
    """Make a relative ``sqlite:///`` URI or file path absolute, starting at the project's folder.

    Args:
        uri: a tracking or registry URI as it stands in mlflow.yml.
        project_path: the project's folder, absolute.

    Returns:
        The URI unchanged when it names a server, a managed service or an absolute place.
    """
    if uri.startswith(_SQLITE):
        path, question_mark, query = uri.removeprefix(_SQLITE).partition("?")
        if path == ":memory:":
            return uri
        return f"{_SQLITE}{(project_path / path).as_posix()}{question_mark}{query}"
    if Path(uri).is_absolute():
        return Path(uri).as_uri()
    is_path = urlsplit(uri).scheme == "" and uri not in ("databricks", "databricks-uc", "uc")
    return (project_path / uri).as_uri() if is_path else uri


def is_server(uri: str) -> bool:
    """Tell whether a tracking server answers at this URI, and so has pages of its own."""
    return urlsplit(uri).scheme in ("http", "https")


def is_database(uri: str) -> bool:
    """Tell whether runs are written straight into a database, with no server in between."""
    return urlsplit(uri).scheme.partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")


def public(uri: str) -> str:
    """Leave user and password out of an address, for it to be shown."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def page(server: str, experiment_id: str, run_id: str | None = None) -> str:
    """Write the address of an experiment's page on a tracking server, or of one of its runs."""
    path = f"#/experiments/{experiment_id}" + (f"/runs/{run_id}" if run_id else "")
    # MLflow's page opens in its view for language models unless the address says otherwise.
    return f"{public(server).rstrip('/')}/{path}?workflowType=machine_learning"


def vanished(location: str) -> bool:
    """Tell whether files were kept in a folder of this machine that is gone, with its parent."""
    parts = urlsplit(location)
    path = Path(url2pathname(parts.path) if parts.scheme == "file" else location)
    return path.is_absolute() and not path.exists() and not path.parent.exists()
