"""Masks what a report may not hold: stdin to stdout, as the scripts beside this one call it.

It masks too much rather than too little: values of the services' variables and of what sounds
secret, accounts, addresses of people and hosts, long codes, and the names of folders. Needs only
the standard library.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus, urlsplit

# Variables whose values are masked: those of the services, and those that sound secret.
NAMED = re.compile(
    r"^(DATABRICKS|AWS|SAGEMAKER|AZURE|AZUREML|MLFLOW|SERVING|IDENTITY|MSI|GOOGLE|IMAGE|KUBE)|"
    r"TOKEN|SECRET|KEY|PASS|CREDENTIAL|AUTH|PWD",
    re.IGNORECASE,
)
SHORTEST = 6

PATTERNS = {
    r"(?i)\b(bearer|basic) +[\w.~+/=-]{6,}": r"\1 <masked>",
    r"//[^/\s:@]*:[^/\s@]*@": "//<masked>@",
    r"(?i)([?&][\w-]*(?:sig|token|key|credential|secret|code)[\w-]*=)[^&\s\"']+": r"\1<masked>",
    r"\beyJ[\w-]+(\.[\w-]+)*": "<masked>",
    r"\b(dapi|dose|AKIA|ASIA|ghp_|gho_|glpat-|xox.-)[\w-]{8,}": "<masked>",
    r"\barn:aws[\w-]*:([\w-]+):[^\s\"',)]*": r"<arn of \1>",
    r"\b[\w.+-]+@[\w-]+(\.[\w-]+)+\b": "<mail>",
    r"\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b": "<uuid>",
    r"\b\d{12}\b": "<account>",
    r"\b\d{1,3}(\.\d{1,3}){3}\b": "<ip>",
    r"\b[\w-]+(\.[\w-]+)*\.(databricks\.com|azuredatabricks\.net|amazonaws\.com|aws|azure\.com"
    r"|azureml\.ms|windows\.net)\b": r"<host>.\2",
    r"\b[\w+/=-]{40,}": "<long text>",
}


def mask(text: str, variables: Mapping[str, str]) -> str:
    """Mask a text."""
    for value, name in sorted(_named(variables), key=lambda found: -len(found[0])):
        text = text.replace(value, f"<{name}>")
    for pattern, instead in PATTERNS.items():
        text = re.sub(pattern, instead, text)
    return text


def _named(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in variables.items():
        if name in ("HOME", "TRY_FOLDER") or NAMED.search(name):
            host = urlsplit(value).netloc if "://" in value else ""
            for form in {value, value.strip(), quote(value, safe=""), quote_plus(value), host}:
                if len(form) >= SHORTEST:
                    yield form, name


if __name__ == "__main__":
    sys.stdout.write(mask(sys.stdin.read(), os.environ))
