"""`make docs` builds every page as a site, and a link that leads nowhere stops it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli
import yaml

from tests.support import answers
from tests.support.answers import Render
from tests.support.profiles import weekly
from tests.support.rooms import PACKAGE, SOURCE

COMMANDS = SOURCE / PACKAGE / "mlops" / "commands"
BESIDE = ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "zensical.toml"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what the site is made from."""
    for name in ["docs", "scripts"]:
        shutil.copytree(answers.REPOSITORY / name, tmp_path / name)
    answers.copy_template(tmp_path)
    for name in BESIDE:
        shutil.copyfile(answers.REPOSITORY / name, tmp_path / name)
    return tmp_path


def build(repository: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` calls."""
    command = [sys.executable, "scripts/docs.py"]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


@weekly
def test_the_site_has_every_page(repository: Path) -> None:
    # On each push, by the workflow that publishes it.
    built = build(repository)
    assert built.returncode == 0, built.stdout + built.stderr
    site = repository / "build" / "site"
    pages = {page.stem for page in (repository / "docs").glob("*.md")}
    assert {page.parent.name for page in site.glob("*/index.html")} >= pages
    first = (site / "index.html").read_text(encoding="utf-8")
    assert [page for page in pages if f'href="{page}/"' not in first] == []


def test_a_dead_link_stops_it_and_the_reference_names_everything(
    repository: Path, render: Render
) -> None:
    # Few pages are as good for that.
    settings = repository / "zensical.toml"
    settings.write_text(re.sub(r"(?ms)^nav = \[.*?^\]", "", settings.read_text("utf-8")), "utf-8")
    for made in [*(repository / "docs").glob("*.md"), *repository.glob("*.md")]:
        made.write_text("# A page\n", "utf-8")
    broken = {
        "README.md": "(docs/nowhere.md)",
        "docs/runs.md": "(serving.md#nowhere)",
        "docs/security.md": "(../NOWHERE.md)",
    }
    for name, link in broken.items():
        with (repository / name).open("a", encoding="utf-8") as broken_page:
            broken_page.write(f"\n[A link]{link}.\n")
    built = build(repository)
    assert built.returncode != 0
    # The reference leads to headings that these pages no longer have.
    places = re.findall(r"\[ (\S+?):", built.stderr)
    ours = {place for place in places if not place.startswith("reference-")}
    assert ours == {"index.md", "runs.md", "security.md"}
    assert [link for link in broken.values() if link not in built.stderr] == []
    assert "Traceback" not in built.stderr
    for name, expected in {
        "questions": questions(),
        "configuration": keys(render),
        "commands": commands(),
    }.items():
        page = (repository / "build/docs" / f"reference-{name}.md").read_text(encoding="utf-8")
        assert [each for each in expected if each not in page] == []


def questions() -> list[str]:
    """What the page of questions has to name: keys, questions, choices."""
    return [
        text
        for key, question in answers.questions().items()
        for text in (
            f"## `{key}`",
            question["help"],
            *(f"`{each}`" for each in answers.choices(question | {"multiselect": False})),
        )
    ]


# Keys below these are names of the owner's.
NAMES = {"thresholds", "slices", "improvement", "search", "columns"}
ROWS = [
    "| `tracking.diff.max_kilobytes` | number, at least 0 | `500` | a longer one is cut",
    "| `tracking.params.dict_params.flatten` | `true` or `false` | `false`; new projects: `true` |",
    "| `shipping.on_undelivered` | `keep`, `fail` or `null` | `null` | what did not arrive by the",
    "| `mirrors[].type` | text or `null` | `null` | A second destination",
    '| `deployment.endpoint` | text | new projects: `"diabetes-progression"` | its name',
    "| `thresholds.NAME.min` | number or `null` | `null` | Limits of a value.",
]


def keys(render: Render) -> list[str]:
    """What the page of keys has to name: all that rendered files hold, and some rows as a whole."""
    found = set()
    for target in ("docker", "kubernetes", "sagemaker", "databricks"):
        sheet = {"serving_target": target, "features": "[tuning, monitoring]"}
        folder = render(**answers.coherent(sheet)) / "conf" / "base"
        for file in ("mlflow", "promotion", "tuning", "monitoring"):
            found |= set(
                paths(yaml.safe_load((folder / f"{file}.yml").read_text(encoding="utf-8")))
            )
    assert {"shipping.deadline", "deployment.overlay", "improvement", "trials"} <= found
    return [*(f"| `{key}` |" for key in sorted(found)), *ROWS]


def paths(content: dict[str, object], above: str = "") -> list[str]:
    here = []
    for name, value in content.items():
        here.append(f"{above}{name}")
        if isinstance(value, dict) and name not in NAMES:
            here += paths(value, f"{above}{name}.")
    return here


def commands() -> list[str]:
    """What the page of commands has to name: modules and their options."""
    texts = {path.stem: path.read_text("utf-8") for path in COMMANDS.glob("[!_]*.py")}
    option = r'@click\.option\(\s*(?:"-\w", )?"(--[\w-]+)"'
    options = {each for text in texts.values() for each in re.findall(option, text)}
    assert {"--dry-run", "--trials", "--key"} <= options
    headings = [f"## `kedro mlflow {name}`" for name in [*texts, "run begin", "run end"]]
    return [*headings, *sorted(options)]


def test_the_navigation_leads_to_every_page() -> None:
    configuration = tomli.loads((answers.REPOSITORY / "zensical.toml").read_text(encoding="utf-8"))
    sections = configuration["project"]["nav"]
    shown = [page for section in sections for pages in section.values() for page in pages]
    pages = [page.name for page in (answers.REPOSITORY / "docs").glob("*.md")]
    beside = ["index.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
    made = [f"reference-{name}.md" for name in ("questions", "configuration", "commands")]
    assert sorted(shown) == sorted([*pages, *beside, *made])
