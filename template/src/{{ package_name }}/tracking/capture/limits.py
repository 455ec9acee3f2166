"""What MLflow takes: the names and lengths in its log-batch call (mlflow.utils.validation)."""

import re

MAX_NAME_LENGTH = 250
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000

_REFUSED_CHARACTERS = re.compile(r"[^\w\-. /:]")
# What makes a name, read as a path, another path: `a//b`, `/a`, `a/`, `a/./b`, `..`.
_REFUSED_IN_PATHS = re.compile(r"(?<=/)/|^/|/$|(?<![^/])\.{1,2}(?![^/])|^\.\.")
_REFUSED_IN_MODELS = re.compile(r"[/:.%\"']")


def mend_name(name: str) -> str:
    """Replace each character that MLflow refuses in a name by ``_``, and cut it to its length."""
    name = _REFUSED_CHARACTERS.sub("_", name)[:MAX_NAME_LENGTH]
    return _REFUSED_IN_PATHS.sub(lambda found: "_" * len(found[0]), name) or "_"


def mend_model_name(name: str) -> str:
    """Replace each character that MLflow refuses in the name of a logged model by ``_``."""
    return _REFUSED_IN_MODELS.sub("_", name) or "_"
