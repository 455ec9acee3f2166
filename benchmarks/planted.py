"""Planted: secrets of each kind in a run of a project, and how many are found after it."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from .measure import FailedCommandError, clean_environment
from .project import Project
from .report import Row

# It tells what it should not: in lines of the log, and in an error.
_NODE = """
import base64, json, logging, os, pathlib, subprocess
from urllib.parse import quote
import yaml


def tell(planted):
    told = [*planted["names"].values(), *planted["addresses"], *planted["key"].splitlines()]
    told += yaml.safe_load(pathlib.Path("conf/local/credentials.yml").read_text())["crm"].values()
    told += [value for name, value in os.environ.items() if name.startswith("SALES_")]
    told = list(map(str, told))
    for form in (str, quote, repr, json.dumps, lambda text: base64.b64encode(text.encode())):
        for secret in told:
            logging.getLogger(__name__).warning("Told %s", form(secret))
    fresh = json.loads(os.environ["FRESH"])
    error = ValueError({"token": fresh[0], "login": {"password": fresh[1]}}, *told)
    error.__notes__ = [f"with --token {fresh[2]}"]
    error.__cause__ = subprocess.CalledProcessError(
        1, ["login", "--password", fresh[3]], told[0].encode(), f"https://h/?sig={fresh[4]}"
    )
    logging.getLogger(__name__).warning("Failed: %s", error, exc_info=error)
    if os.environ.get("FAIL"):
        raise error
    return "told"
"""
_NAMES = ("signing_key", "sshkey", "tokens", "passcode", "passphrase", "apiKey", "cookie", "sas")
_ADDRESSES = (
    "postgresql://eve:a/{}@b@db/x",
    "https://eve:{}%2F@host/x",
    "https://host/x?access_token={}&n=1",
    "https://host/x?X-Amz-Signature={}",
    "jdbc:sqlserver://db:1433;user=eve;password={}&a;encrypt=true",
    "Driver=x;Server=db;UID=eve;PWD={}",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==",
)
_VARIABLES = ("SALES_API_KEY", "SALES_PASSWORD", "SALES_AUTH_TOKEN", "SALES_DSN")


def rows(rendered: Project) -> Iterator[Row]:
    """Plant them in a run that finishes and in one that fails, and look everywhere."""
    place = rendered.copy("planted")
    secrets = {
        "names of parameters": _secrets("names", len(_NAMES)),
        "addresses and connection strings": _secrets("addresses", len(_ADDRESSES)),
        "lines of a key": _secrets("lines", 4),
        "credentials.yml": _secrets("credentials", 2),
        "the environment": _secrets("environment", len(_VARIABLES)),
        "arguments, notes and causes of errors": _secrets("errors", 5),
    }
    names, addresses, lines, credentials, environment, errors = secrets.values()
    key = "\n".join(["-----BEGIN KEY-----", *lines, "-----END KEY-----", ""])
    planted = {
        "names": dict(zip(_NAMES, names, strict=True)),
        "addresses": list(map(str.format, _ADDRESSES, addresses)),
        "key": key,
    }
    _write(place.folder / "conf/base/parameters_planted.yml", {"planted": planted})
    crm = dict(zip(("login", "certificate"), credentials, strict=True))
    _write(place.folder / "conf/local/credentials.yml", {"crm": crm})
    training = place.package / "pipelines/training"
    (training / "planted.py").write_text(_NODE, encoding="utf-8")
    pipeline = training / "pipeline.py"
    text = pipeline.read_text(encoding="utf-8")
    call = '        [node(tell, "params:planted", "told", name="tell"),\n'
    text = "from .planted import tell\n" + text.replace("        [\n", call, 1)
    pipeline.write_text(text, encoding="utf-8")
    variables = clean_environment(os.environ)
    variables |= dict(zip(_VARIABLES, environment, strict=True)) | {"FRESH": json.dumps(errors)}
    written = []
    for fails in ("", "yes"):
        ended = subprocess.run(
            [place.programs / "kedro", "run"],
            cwd=place.folder,
            env=variables | {"FAIL": fails},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if bool(ended.returncode) is not bool(fails):
            raise FailedCommandError(ended.stdout.decode(errors="replace"))
        # The screen breaks long lines.
        written.append(b"".join(ended.stdout.split()))
    written += [path.read_bytes() for path in _written(place.folder)]
    for kind, values in secrets.items():
        found = [value for value in values if any(map(_finder(value), written))]
        what = f"secrets in {kind}"
        yield Row(what, f"{len(values)} planted, {len(found)} found", "", "", "none", not found)


def _secrets(kind: str, count: int) -> list[str]:
    return [f"Planted-{kind}-{number}z7" for number in range(count)]


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML.


def _written(folder: Path) -> Iterator[Path]:
    """All files but those in which they were planted."""
    for path in folder.rglob("*"):
        if path.is_file() and not {"conf", ".venv"} & set(path.relative_to(folder).parts):
            yield path


def _finder(secret: str) -> Callable[[bytes], bool]:
    """Look for a secret as it is, and as a part of base64."""
    data = secret.encode()
    forms = [data, *(b64encode(b"*" * skip + data + b"*")[4:-4] for skip in range(3))]
    return lambda content: any(form in content for form in forms)
