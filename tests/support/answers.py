"""Answer sheets: what copier.yml asks, and projects rendered from answers to it.

Copier ignores an answer to a question that does not exist, so a test with a typo in it would pass
for the wrong reason: here it is refused.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from unittest.mock import patch

import yaml
from copier import Settings, run_copy
from copier._jinja_ext import SandboxedEnvironment
from copier._main import Worker
from copier._template import load_template_config
from copier._types import Phase

REPOSITORY = Path(__file__).resolve().parents[2]

# All of this repository that copier reads.
TEMPLATE_PARTS = ("copier.yml", "extensions", "includes", "template")


# An address for each tracking preset that asks for one and knows no default.
TRACKING_URIS = {
    "sagemaker": "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team",
    "azureml": "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/12345678-abcd-ef01-2345-"
    "6789abcdef01/resourceGroups/team/providers/Microsoft.MachineLearningServices/workspaces/team",
}

# The answers of Databricks need each other.
DATABRICKS = "databricks"

# Two answers to two questions.
Pair: TypeAlias = frozenset[tuple[str, str]]


class Render(Protocol):
    """Renders a project into a folder of its own."""

    def __call__(self, **given: str) -> Path: ...


class UnknownAnswerError(ValueError):
    """An answer to a question that copier.yml does not ask."""


@cache
def configuration() -> dict[str, Any]:
    """Everything in copier.yml, read once: each test of the matrix is named by its answers."""
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / "copier.yml").read_text("utf-8"))
    return content


def questions() -> dict[str, dict[str, Any]]:
    """The questions and computed values of copier.yml by their key, in order."""
    return {key: value for key, value in configuration().items() if not key.startswith("_")}


def choices(question: Mapping[str, Any]) -> list[str]:
    """The answers to choose from, as a command line gives them; empty where any text is taken.

    Of a list: none, each by itself, and all.
    """
    given = question.get("choices", [])
    values = list(given.values() if isinstance(given, dict) else given)
    if not question.get("multiselect"):
        return values
    return [as_text(some) for some in ([], *([value] for value in values), values)]


def as_text(answer: Any) -> Any:
    """An answer as a command line gives it: several are a list of YAML."""
    return f"[{', '.join(answer)}]" if isinstance(answer, list) else answer


def known(answers: Mapping[str, str]) -> dict[str, str]:
    """The answers, checked for keys that copier would ignore in silence.

    Raises:
        UnknownAnswerError: A key is no question of copier.yml.
    """
    if unknown := sorted(answers.keys() - questions().keys()):
        raise UnknownAnswerError(f"copier.yml asks no such question: {', '.join(unknown)}")
    return dict(answers)


def coherent(sheet: Mapping[str, str]) -> dict[str, str]:
    """An answer sheet with what its answers need, and without what its tracking preset refuses."""
    of_databricks = [
        key for key in ("serving_target", "orchestrator") if sheet.get(key) == DATABRICKS
    ]
    sheet = ({"tracking_preset": DATABRICKS} if of_databricks else {}) | dict(sheet)
    preset = sheet.get("tracking_preset", "local")
    refused = set() if preset in {"local", "server"} else {"backend_store", "artifact_store"}
    if preset != DATABRICKS:
        refused.update(of_databricks)
    address = {"tracking_uri": TRACKING_URIS[preset]} if preset in TRACKING_URIS else {}
    return address | {key: value for key, value in sheet.items() if key not in refused}


def copy_template(folder: Path) -> Path:
    """Copy the template into a folder without git.

    Copier clones a template that is a git repository for each copy it makes, and commits what is
    not committed yet.
    """
    leave_out = shutil.ignore_patterns("__pycache__", ".*_cache")
    folder.mkdir(parents=True, exist_ok=True)
    for part in TEMPLATE_PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=leave_out)
        else:
            shutil.copy2(source, folder / part)
    return folder


def render(
    template: Path,
    project: Path,
    answers: Mapping[str, str] | None = None,
    *,
    exclude: Sequence[str] = (),
    quiet: bool = True,
    trust: bool = True,
    version: str | None = None,
) -> Path:
    """Copy a project from the template: defaults for what is not answered, no prompt.

    Args:
        template: A folder with copier.yml in it.
        project: The folder to render into.
        answers: Answers by the question's key.
        exclude: Paths to leave out, as copier's own option takes them.
        quiet: Whether copier prints neither its progress nor its messages.
        trust: Whether extensions may run, as `--trust` says on the command line.
        version: The tag to render, of a template that is a git repository.

    Raises:
        UnknownAnswerError: A key is no question of copier.yml.
        ValueError: A validator refused an answer.
    """
    with quick_copier():
        run_copy(
            str(template),
            project,
            data=known(answers or {}),
            # A developer's own settings must not answer questions or grant trust.
            settings=Settings(),
            defaults=True,
            exclude=exclude,
            quiet=quiet,
            unsafe=trust,
            vcs_ref=version,
        )
    return project


@contextmanager
def quick_copier() -> Iterator[None]:
    """Let copier compile each text of Jinja once, and render each part of a path once a project.

    Nor does it read a copier.yml again, ask git about the mode of each file (modes count wherever
    this runs, and folders are no repositories), or whether a folder is a bundle. A tenth of the
    time is left.
    """
    with (
        patch.object(SandboxedEnvironment, "compile", _compile_once),
        patch("copier._template.load_template_config", _load_once),
        patch("copier._vcs.is_git_bundle", lambda _: False),
        patch.object(Worker, "_render_context", _context_once),
        patch.object(Worker, "_render_string", _render_once),
        patch.object(Worker, "answers_relpath", property(_answers_relpath)),
        patch.object(Worker, "_sync_git_index_executable_bit", lambda *_: None),
    ):
        yield


def _load_once(path: Path, quiet: bool = False) -> dict[str, Any]:
    key = path.read_bytes()
    if key not in _loaded:
        _loaded[key] = _load(path, quiet)
    return dict(_loaded[key])


def _context_once(self: Any) -> Any:
    if Phase.current() != Phase.RENDER:  # Answers are still being given.
        return _context(self)
    if "context" not in vars(self):
        vars(self)["context"] = _context(self)
    return dict(vars(self)["context"])


def _render_once(self: Any, string: str, extra_context: Any = None) -> str:
    if extra_context or Phase.current() != Phase.RENDER:
        return _render(self, string, extra_context)
    known: dict[str, str] = vars(self).setdefault("rendered", {})
    if string not in known:
        known[string] = _render(self, string)
    return known[string]


def _answers_relpath(self: Any) -> Path:
    """The file's name, which is no text of Jinja here."""
    return Path(self.answers_file or self.template.answers_relpath)


def _compile_once(self: Any, *source: Any, **options: Any) -> Any:
    key = (source, *sorted(options.items()))
    if key not in _compiled:
        _compiled[key] = _compile(self, *source, **options)
    return _compiled[key]


_compile = SandboxedEnvironment.compile
_context = Worker._render_context
_load = load_template_config
_loaded: dict[bytes, dict[str, Any]] = {}
_render = Worker._render_string
_compiled: dict[tuple[object, ...], Any] = {}


def recorded(project: Path) -> dict[str, Any]:
    """What the answers file of a project says, as a command line gives it; no other keys."""
    content: dict[str, Any] = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    no_answer = ("_", "package_folder", "rules_file", "adopting")
    return {key: as_text(value) for key, value in content.items() if not key.startswith(no_answer)}


def files(project: Path) -> dict[str, bytes]:
    """The content of a project by path, without git's."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in sorted(project.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(project).parts
    }


def ownership(project: Path) -> dict[str, list[str]]:
    """What a rendered README says of its files: paths by whose they are."""
    package = recorded(project)["package_name"]
    readme = (project / "README.md").read_text("utf-8")
    table = readme.partition("## Whose file is whose")[2].partition("\n## ")[0]
    owned = {}
    for row in re.findall(r"^\| (`.+`) \| ([^|]+) \|", table, re.MULTILINE):
        names = [name.rstrip("/") for name in re.findall(r"`([^`]+)`", row[0])]
        # A file of the package may stand in the table by its name in the package.
        in_package = [f"src/{package}/{name}" for name in names]
        owned[row[1]] = [
            inside if (project / inside).exists() else name
            for name, inside in zip(names, in_package, strict=True)
        ]
    return owned


def git(folder: Path, *arguments: str) -> str:
    """Run git without the machine's configuration; what it prints."""
    person = {"NAME": "Test", "EMAIL": "test@example.com"}
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_AUTHOR_{key}": value for key, value in person.items()},
        **{f"GIT_COMMITTER_{key}": value for key, value in person.items()},
    }
    command = ["git", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=True,
    ).stdout


def pairwise(alternatives: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Answer sheets in which any two answers to two questions meet at least once.

    Greedy: a pair that is still missing opens a sheet, and each other question takes the answer
    that makes the most missing pairs with what the sheet holds already.
    """
    everything = [
        (question, answer) for question, given in alternatives.items() for answer in given
    ]
    missing = {frozenset(pair) for pair in combinations(everything, 2) if pair[0][0] != pair[1][0]}
    while missing:
        sheet = dict(min(missing, key=sorted))
        for question, given in alternatives.items():
            if question not in sheet:
                sheet[question] = max(given, key=partial(_newly_met, missing, sheet, question))
        missing -= {frozenset(pair) for pair in combinations(sheet.items(), 2)}
        yield {question: sheet[question] for question in alternatives}


def _newly_met(missing: set[Pair], sheet: dict[str, str], question: str, answer: str) -> int:
    return sum(frozenset({(question, answer), met}) in missing for met in sheet.items())
