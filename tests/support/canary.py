"""Canaries: secrets with a distinctive value, to be looked for where no secret belongs."""

from __future__ import annotations

import zipfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

# In every secret; as part of an Authorization header too, which is base64.
CANARY = "CANARY"
FORMS = [CANARY.encode(), *(b64encode(b"*" * shift + b"CANARYCANARY")[4:12] for shift in range(3))]


def traces(*folders: Path) -> list[Path]:
    """The files that hold a canary, those in archives too; in .env and conf/ they were planted."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if not {".env", ".venv", "conf"} & set(path.parts)
        and path.is_file()
        and any(map(leaks, contents(path)))
    ]


def contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())


def leaks(content: bytes) -> bool:
    # The screen breaks long lines.
    content = b"".join(content.split())
    return any(form in content for form in FORMS)


def leaky(text: str) -> list[str]:
    """The lines that hold a canary."""
    lines = text.splitlines()
    return [line for line in lines if leaks(line.encode())] or [text] * leaks(text.encode())
