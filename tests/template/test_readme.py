"""README says what is: its tables and its tree are those of the template."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import answers
from tests.support.answers import Render


@pytest.fixture(scope="module")
def readme() -> str:
    return (answers.REPOSITORY / "README.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next one of its kind."""
    found = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found, heading
    return found


def test_the_questions_are_copiers(readme: str) -> None:
    questions = answers.questions()
    row = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
    rows = row.findall(section(readme, "The questions"))
    assert [key for key, *_ in rows] == list(questions)
    for key, asked, given, when in rows:
        question = questions[key]
        assert asked == question["help"]
        assert (when == "always") == ("when" not in question), key
        if choices := answers.choices(question):
            assert re.findall("`([^`]+)`", given) == choices, key
        else:
            assert given.startswith("text; "), key


def test_the_tree_is_the_default_projects(readme: str, render: Render) -> None:
    project = render()
    shown = paths_of_tree(readme)
    assert [path for path in shown if not (project / path).exists()] == []
    leaves = [path for path in shown if not any(f"{path}/" in f"{other}" for other in shown)]
    files = [path for path in answers.files(project) if not path.endswith("__init__.py")]
    hidden = [
        file
        for file in files
        if not any(file == leaf or file.startswith(f"{leaf}/") for leaf in leaves)
    ]
    assert hidden == []


def paths_of_tree(readme: str) -> list[str]:
    """The paths in README's tree, read off its indentation."""
    tree = re.search(r"<!-- tree.*?```text\n(.*?)```", readme, re.DOTALL)
    assert tree is not None
    paths: list[str] = []
    branch: list[str] = []
    for line in tree[1].splitlines()[1:]:
        depth = (len(line) - len(line.lstrip())) // 4 - 1
        branch[depth:] = [line.split()[0].rstrip("/")]
        paths.append("/".join(branch))
    return paths


def test_whose_file_is_whose_stands_here_as_in_a_project(readme: str, render: Render) -> None:
    rendered = (render() / "README.md").read_text(encoding="utf-8")
    rows = [
        re.findall(r"^\| `.*$", section(text, "Whose file is whose"), re.MULTILINE)
        for text in (readme, rendered)
    ]
    assert rows[0]
    assert rows[0] == rows[1]


def test_every_link_leads_to_a_file(readme: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", readme)
    assert len(links) > 5
    missing = [link for link in links if not (answers.REPOSITORY / link).exists()]
    assert missing == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    here = str(answers.REPOSITORY.parent)
    texts = [*Path(answers.REPOSITORY).glob("*.md"), *Path(answers.REPOSITORY).glob("docs/*.md")]
    assert texts
    assert [path.name for path in texts if f"{here}/" in path.read_text(encoding="utf-8")] == []
