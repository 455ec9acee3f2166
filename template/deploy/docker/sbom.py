"""Prints what is installed as a bill of materials: CycloneDX 1.6, in JSON.

Needs nothing but Python, and reads what is there: not what a lock file says of it.
"""

import json
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from platform import python_version
from urllib.parse import quote


def component(found: Distribution) -> dict[str, object]:
    """Describe a library by the fields of CycloneDX."""
    name, version = found.metadata["Name"], found.version
    # Source: the type `pypi` of the package URL specification.
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{quote(version)}"
    about: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
    }
    named = licenses(found)
    return about | ({"licenses": named} if named else {}) | {"purl": purl}


def licenses(found: Distribution) -> list[dict[str, object]]:
    """Return what a library says of its licence: an SPDX expression, or else names."""
    if expression := found.metadata.get("License-Expression"):
        return [{"expression": expression}]
    field = (found.metadata.get("License") or "").strip()
    names = [field] if field and "\n" not in field else []  # Some have the whole text there.
    if not names:
        classifiers = [each.split(" :: ") for each in found.metadata.get_all("Classifier", [])]
        names = [words[-1] for words in classifiers if words[0] == "License" and len(words) > 2]
    return [{"license": {"name": name}} for name in names]


def bill(found: Mapping[str, Distribution]) -> dict[str, object]:
    """Make the bill of all libraries, in the order of their names."""
    python = {"type": "platform", "name": "python", "version": python_version()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": python},
        "components": [component(found[name]) for name in sorted(found, key=str.lower)],
    }


if __name__ == "__main__":
    print(json.dumps(bill({each.name: each for each in distributions()}), indent=2))
