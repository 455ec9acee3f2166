"""README and docs/ say what is: tables, tree, figures and links are those of the template."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import answers
from tests.support.answers import Render
from tests.support.pages import DOCS, commands_of, page
from tests.support.rooms import EXAMPLES

PAGES = [*sorted(answers.REPOSITORY.glob("*.md")), *DOCS]
WRITTEN = [path for path in PAGES if path.name != "CHANGELOG.md"]


@pytest.fixture(scope="module")
def readme() -> str:
    return page("README.md")


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next one of its kind."""
    found = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found, heading
    return found


def test_the_tree_is_the_default_projects(render: Render) -> None:
    project = render()
    shown = paths_of_tree(page("docs/project.md"))
    assert [path for path in shown if not (project / path).exists()] == []
    leaves = [path for path in shown if not any(f"{path}/" in f"{other}" for other in shown)]
    files = [path for path in answers.files(project) if not path.endswith("__init__.py")]
    hidden = [
        file
        for file in files
        if not any(file == leaf or file.startswith(f"{leaf}/") for leaf in leaves)
    ]
    assert hidden == []


def paths_of_tree(text: str) -> list[str]:
    """The paths in a page's tree, read off its indentation."""
    tree = re.search(r"<!-- tree.*?```text\n(.*?)```", text, re.DOTALL)
    assert tree is not None
    paths: list[str] = []
    branch: list[str] = []
    for line in tree[1].splitlines()[1:]:
        depth = (len(line) - len(line.lstrip())) // 4 - 1
        branch[depth:] = [line.split()[0].rstrip("/")]
        paths.append("/".join(branch))
    return paths


def test_whose_file_is_whose_is_the_same_here_and_in_a_project(render: Render) -> None:
    rendered = (render() / "README.md").read_text(encoding="utf-8")
    rows = [
        re.findall(r"^\| `.*$", section(text, "Whose file is whose"), re.MULTILINE)
        for text in (page("docs/project.md"), rendered)
    ]
    assert rows[0]
    assert rows[0] == rows[1]


def test_a_project_says_what_each_of_its_settings_files_is_for(render: Render) -> None:
    project = render(features="[tuning, monitoring]")
    rows = (project / "README.md").read_text("utf-8").splitlines()
    (row,) = (row for row in rows if row.startswith("| `conf/base/` |"))
    named = set(re.findall(r"`(\w+\.yml)`: ", row))
    assert named == {path.name for path in (project / "conf/base").iterdir()}


def test_the_wall_of_readme_is_that_of_a_project(readme: str, render: Render) -> None:
    project = render()
    owned = answers.ownership(project)
    wall = re.findall(r"^    (\S.*?) {2,}(yours|shared|the template's): ", readme, re.MULTILINE)
    assert [owner for _, owner in wall] == list(owned)
    package = next((project / "src").iterdir())
    shown = [(package / name.rstrip("/"), owner) for names, owner in wall for name in names.split()]
    for path, owner in shown:
        assert path.relative_to(project).as_posix() in owned[owner]
    hidden = {path.name for path in package.iterdir()} - {path.name for path, _ in shown}
    assert hidden <= {"__init__.py", "__pycache__"}


# --- the landing page ---

# Where docs/benchmarks.md has the figure of a row of README's table.
MEASURED = {
    "Time that tracking adds to 1,000 small nodes": ("tracking", "1,000 nodes, `mlflow server`"),
    "Time to log the model at the end of a run": ("logging", "logging the model"),
    "Time to predict one row": ("predicting", "one row; theirs: kedro-mlflow"),
    "Requests per second, 2 workers, 8 callers": (
        "serving",
        "2 workers, 8 callers: requests a second",
    ),
    "Pipeline's own time with a slow MLflow server": (
        "resilience",
        "a slow server, 50 nodes of 0.2 s: the pipeline's own time",
    ),
}


def rows(text: str) -> dict[str, str]:
    """The rows of tables, by their first cell."""
    return {row[1]: row[2] for row in re.finditer(r"^\| (.+?) \| (.*)$", text, re.MULTILINE)}


def test_every_figure_is_that_of_the_benchmarks(readme: str) -> None:
    compared = rows(section(readme, "Why"))
    figures = page("docs/benchmarks.md")
    for what, (subject, measured) in MEASURED.items():
        of_subject = figures.partition(f"<!-- figures of {subject}:")[2].partition("<!-- end")[0]
        cells = rows(of_subject)[measured]
        shown = re.findall(r"1/\d+\.\d|\d+\.\d+ x|node \d+ of \d+", compared[what])
        assert shown, what
        assert [figure for figure in shown if figure not in cells] == [], what
    assert not re.search(r"\d", "".join(v for k, v in compared.items() if k not in MEASURED))


def test_readme_is_one_screen(readme: str) -> None:
    assert len(readme.splitlines()) <= 80


def test_what_the_screen_shows_are_steps_of_the_demo(readme: str) -> None:
    demo = page("scripts/demo.py")
    steps = re.findall(r"^==> (.*)$", readme, re.MULTILINE)
    assert len(steps) > 1
    assert [step for step in steps if f'step("{step}")' not in demo] == []


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_a_page_begins_with_what_its_reader_can_do_then(file: Path) -> None:
    heading, blank, first = file.read_text(encoding="utf-8").splitlines()[:3]
    assert heading.startswith("# ")
    assert not blank
    assert re.match(r"After this page you (can|know) ", first)


def test_readme_leads_to_every_page(readme: str) -> None:
    assert [file.name for file in DOCS if f"(docs/{file.name})" not in readme] == []


MLOPS = "template/src/{{ package_name }}/mlops"


def test_the_page_of_a_project_has_every_command() -> None:
    shown = section(page("docs/project.md"), "The commands").replace(", `", "| `")
    commands = [path.stem for path in (answers.REPOSITORY / MLOPS).glob("commands/[!_]*.py")]
    assert "tune" in commands
    assert [name for name in commands if f"| `kedro mlflow {name}`" not in shown] == []


def test_the_page_of_the_doctor_has_every_check() -> None:
    shown = section(page("docs/doctor.md"), "The checks")
    checks = re.findall(r'(?:Check\(|yield )"([\w -]+)"', page(f"{MLOPS}/doctor/__init__.py"))
    assert {"sign-in", "workflows", "journal"} <= {*checks}
    left_behind = "left behind"  # What it writes: a section of its own.
    assert [name for name in checks if f"| `{name}` |" not in shown and name != left_behind] == []


def anchors(file: Path) -> set[str]:
    """What a link to a place in a page may name: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.name)
def test_every_link_leads_to_a_file_and_a_heading(file: Path) -> None:
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
        target = file.parent / link if link else file
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.name)
def test_every_file_of_this_repository_that_is_named_exists(file: Path) -> None:
    ours = r"`((?:tests|scripts|benchmarks|extensions|includes|docs)/[\w./-]*)`"
    named = re.findall(ours, file.read_text(encoding="utf-8"))
    roots = (answers.REPOSITORY, answers.REPOSITORY / "template", EXAMPLES["regression"])
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


# What a technical writer would not write, each with what to write instead.
WORDS = {
    r"\banew\b": "again",
    r"\bbelongs? into\b": "belongs in",
    r"\bmends?\b": "fix",
    r"\bstands? (?:in|on|here|there)\b": "is in",
    r"\bgo(?:es)? (?:on|along)\b": "continues",
    r"\b[Nn]obody\b": "passive, or the real subject",
    r"\b[Ww]hoever\b": "everyone who",
    r"[Mm]oving house": "migration",
    r"answer sheet": "answers",
    r"\blies? in\b": "is in",
    r"\b(?:is|are|was) away\b": "is not reachable",
    r"\b(?:tells?|says?|looks?) whether\b": "checks whether",
    r"\bspeaks?\b": "uses, names",
}


def test_the_words_are_plain() -> None:
    template = answers.REPOSITORY / "template"
    names = ("*.md", "*.md.jinja", ".env.example.jinja", "mlflow.yml.jinja")
    files = [answers.REPOSITORY / "copier.yml", *WRITTEN]
    files += [path for name in names for path in template.rglob(name)]
    found = []
    for path in files:
        # What a program prints is shown as it is, and so is what `make bench` writes.
        printed = r"```text.*?```|<!-- figures of.*?<!-- end of"
        # Owners edit what is beside these: a change would be a conflict for them.
        printed += "|nobody is to be served much worse|a class of yours speaks to"
        text = re.sub(printed, "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for word, better in WORDS.items():
            found += [f"{path}: {match[0]}: {better}" for match in re.finditer(word, text)]
    assert found == []


def test_an_adopted_project_gets_the_libraries_of_a_rendered_one(render: Render) -> None:
    shown = commands_of(page("docs/adopting.md"))
    (command,) = (each for each in shown if each.startswith("uv add "))
    rendered = (render() / "pyproject.toml").read_text(encoding="utf-8")
    assert [name for name in command.split()[2:] if f"    {name},\n" not in rendered] == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    here = str(answers.REPOSITORY.parent)
    assert [path.name for path in PAGES if f"{here}/" in path.read_text(encoding="utf-8")] == []
