"""The pages for users, and the commands that these show."""

from __future__ import annotations

import re

from tests.support.answers import REPOSITORY

DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
# A line of .env.
VARIABLE = re.compile(r"[A-Z_]+=\S*")


def page(name: str) -> str:
    """The text of a page of this repository."""
    return (REPOSITORY / name).read_text(encoding="utf-8")


def commands_of(text: str) -> list[str]:
    """The commands of a page: lines of its blocks for a shell, and those after a prompt."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        found += re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        whole = re.sub(r"(<< 'END').*?^END$", r"\1", block.replace("\\\n", ""), flags=re.M | re.S)
        found += [re.split(r"\s+#\s", line)[0].strip() for line in whole.splitlines()]
    return [line for line in found if line and not VARIABLE.fullmatch(line)]
