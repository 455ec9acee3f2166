"""`make docs` builds every page as a site, and a link that leads nowhere stops it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from tests.support import answers

BESIDE = ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "zensical.toml"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what the site is made from."""
    for name in ["docs", "extensions", "scripts"]:
        shutil.copytree(answers.REPOSITORY / name, tmp_path / name)
    for name in BESIDE:
        shutil.copyfile(answers.REPOSITORY / name, tmp_path / name)
    return tmp_path


def build(repository: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` calls."""
    command = [sys.executable, "scripts/docs.py"]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


def test_the_site_has_every_page_and_a_dead_link_stops_it(repository: Path) -> None:
    built = build(repository)
    assert built.returncode == 0, built.stdout + built.stderr
    site = repository / "build" / "site"
    pages = {page.stem for page in (repository / "docs").glob("*.md")}
    assert {page.parent.name for page in site.glob("*/index.html")} >= pages
    first = (site / "index.html").read_text(encoding="utf-8")
    assert [page for page in pages if f'href="{page}/"' not in first] == []

    broken = {
        "README.md": "(docs/nowhere.md)",
        "docs/runs.md": "(serving.md#nowhere)",
        "docs/security.md": "(../NOWHERE.md)",
    }
    for name, link in broken.items():
        with (repository / name).open("a", encoding="utf-8") as page:
            page.write(f"\n[A link]{link}.\n")
    built = build(repository)
    assert built.returncode != 0
    places = set(re.findall(r"\[ (\S+?):", built.stderr))
    assert places == {"index.md", "runs.md", "security.md"}
    assert [link for link in broken.values() if link not in built.stderr] == []
    assert "Traceback" not in built.stderr


def test_the_navigation_leads_to_every_page() -> None:
    configuration = tomli.loads((answers.REPOSITORY / "zensical.toml").read_text(encoding="utf-8"))
    sections = configuration["project"]["nav"]
    shown = [page for section in sections for pages in section.values() for page in pages]
    pages = [page.name for page in (answers.REPOSITORY / "docs").glob("*.md")]
    beside = ["index.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
    assert sorted(shown) == sorted([*pages, *beside])
