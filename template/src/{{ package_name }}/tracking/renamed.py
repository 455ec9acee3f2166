"""Keys of mlflow.yml that have another name now, or are no more: one major version takes both."""

import logging
from typing import Any

logger = logging.getLogger(__name__)

# New names by old ones, both from the top: {"tracking.capture.plots": "tracking.capture.figures"};
# none for a key that is gone. An entry goes with the next major version of the template.
RENAMED_KEYS: dict[str, str | None] = {}


def by_new_names(content: dict[str, Any]) -> dict[str, Any]:
    """The content of mlflow.yml with every value under its key's new name.

    Where both are there, the old one counts: only the project's owner can have written it, in a
    file of another Kedro environment for example, and the new one has a value from the template.
    """
    for old, new in RENAMED_KEYS.items():
        content, found = _taken(content, old.split("."))
        if found is None:
            continue
        if new is None:
            logger.warning("mlflow.yml: '%s' does nothing any more: delete it.", old)
            continue
        content = _over(content, _nested(new.split("."), found[0]))
        logger.warning(
            "mlflow.yml: '%s' is called '%s' now. The old name counts until the next major version "
            "of the project's template.",
            old,
            new,
        )
    return content


def _taken(content: Any, keys: list[str]) -> tuple[Any, tuple[Any] | None]:
    """Take a value out: what is left, without mappings that are empty then, and the value."""
    if not isinstance(content, dict) or keys[0] not in content:
        return content, None
    rest = {key: value for key, value in content.items() if key != keys[0]}
    if len(keys) == 1:
        return rest, (content[keys[0]],)
    inner, found = _taken(content[keys[0]], keys[1:])
    return (content if found is None else rest | ({keys[0]: inner} if inner else {})), found


def _nested(keys: list[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _over(below: Any, above: Any) -> Any:
    """Merge mappings, key by key; what stands above counts."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _over(below.get(key), value) for key, value in above.items()}
