"""What is rendered: whole, valid and clean for every answer sheet, and for names nobody expects."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import _get_project_metadata
from kedro_telemetry.plugin import KedroTelemetryHook  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from omegaconf import OmegaConf

from tests.support import answers
from tests.support.answers import Render, choices, pairwise, questions
from tests.support.profiles import IS_WEEKLY, examples
from tests.support.rooms import room

load_yaml = partial(yaml.load, Loader=yaml.CSafeLoader)  # By libyaml: a tenth of the time.

# Questions with alternatives, and a text for each of the others.
ALTERNATIVES = {
    key: choices(question) for key, question in questions().items() if len(choices(question)) > 1
} | {
    "description": ["", "Says who leaves, and why: 100 % of the time"],
    "author_name": ["", "Ada Lovelace"],
    "author_email": ["", "ada@example.com"],
}
DEFAULTS = {key: given[0] for key, given in ALTERNATIVES.items()}
AWS = {
    *("AWS_PROFILE", "AWS_DEFAULT_REGION"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
}
SAGEMAKER = {"SAGEMAKER_ROLE_ARN", "SAGEMAKER_IMAGE", "SAGEMAKER_BUCKET"}
SHEETS = list(pairwise(ALTERNATIVES))


def each_answer_once() -> Iterator[dict[str, str]]:
    """Few of these sheets, in which each answer is."""
    given = [answers.coherent(sheet).items() for sheet in SHEETS]
    missing = set().union(*given)
    while missing:
        most = max(range(len(SHEETS)), key=lambda number: len(missing & given[number]))
        missing -= given[most]
        yield SHEETS[most]


PER_COMMIT = list(each_answer_once())


def text_files(project: Path) -> list[tuple[str, str]]:
    """Every file of a project that is text: all but pictures and models."""
    return [(path, content.decode("utf-8")) for path, content in answers.files(project).items()]


@cache
def parse(path: str, text: str) -> object:
    """Read a file as its kind is read; text of no known kind is itself.

    Raises:
        ValueError: The file is not valid. Every parser's own error is one.
    """
    parsers: dict[str, Callable[[str], object]] = {
        ".json": json.loads,
        ".py": ast.parse,
        ".toml": tomli.loads,
        ".yaml": load_yaml,
        ".yml": load_yaml,
    }
    try:
        return parsers.get(Path(path).suffix, str)(text)
    except (yaml.YAMLError, SyntaxError) as error:
        raise ValueError(f"{path}: {error}") from error


def ruff(project: Path, *arguments: str) -> str:
    """What ruff of the development environment finds in a project, by the project's own rules."""
    program = shutil.which(
        "ruff", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    assert program, "ruff is not installed"
    command = [program, *arguments, "--no-cache", "--quiet", "."]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


# --- every answer sheet ---


def test_the_matrix_holds_every_pair_of_answers() -> None:
    for first, second in [(a, b) for a in ALTERNATIVES for b in ALTERNATIVES if a != b]:
        met = {(sheet[first], sheet[second]) for sheet in SHEETS}
        assert len(met) == len(ALTERNATIVES[first]) * len(ALTERNATIVES[second])


def name_of(sheet: dict[str, str]) -> str:
    return "-".join(value for key, value in sheet.items() if choices(questions()[key]))


@pytest.fixture(
    scope="module",
    params=SHEETS if IS_WEEKLY else PER_COMMIT,
    ids=name_of,
)
def project(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project for each answer sheet of the matrix: pairs of answers meet every week."""
    sheet = answers.coherent(request.param)
    return answers.render(template, tmp_path_factory.mktemp("matrix") / "project", sheet)


@pytest.fixture(scope="module")
def texts(project: Path) -> list[tuple[str, str]]:
    """Its files, read once."""
    return text_files(project)


def test_every_file_parses(texts: list[tuple[str, str]]) -> None:
    for path, text in texts:
        parse(path, text)


def test_no_jinja_is_left_over(texts: list[tuple[str, str]]) -> None:
    for path, text in texts:
        # `${{ … }}` is GitHub's; braces in Python are Python's, unless they hold a name and spaces.
        marks = r"\{\{ \w|\{% \w" if path.endswith(".py") else r"(?<!\$)\{\{|\{%|\{#"
        if path.startswith("deploy/monitoring/"):  # `{{ $labels.x }}` and `{{x}}` are Prometheus'.
            marks = r"\{\{ \w|\{%|\{#"
        assert not re.search(marks, text), path
        assert not re.search(r"[{}]", path), path


def test_ruff_has_nothing_to_say(project: Path) -> None:
    # Nor of mlops/, which the owner's own ruff leaves out.
    everything = ("--config", "extend-exclude = []")
    assert ruff(project, "check", *everything) == ""
    assert ruff(project, "format", "--check", *everything) == ""


def test_lines_and_blank_lines_are_tidy(texts: list[tuple[str, str]]) -> None:
    for path, text in texts:
        if not text or path == "LICENSE":  # Apache's begins with a blank line, to the letter
            continue
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert not text.startswith("\n"), path
        assert "\r" not in text, path
        assert not re.search(r"[ \t]$", text, re.MULTILINE), path
        if not path.endswith(".py"):
            assert "\n\n\n" not in text, path


def test_no_folder_is_empty(project: Path) -> None:
    folders = [path for path in project.rglob("*") if path.is_dir()]
    assert [path for path in folders if not any(path.iterdir())] == []


def test_nothing_of_the_machine_is_left(
    texts: list[tuple[str, str]], project: Path, template: Path
) -> None:
    for path, text in texts:
        if path == ".copier-answers.yml":  # it says where the template is
            continue
        assert str(template) not in text, path
        assert str(project) not in text, path
        assert str(Path.home()) not in text, path


def test_no_file_leads_to_a_page_that_the_project_lacks(texts: list[tuple[str, str]]) -> None:
    pages = [
        (path, page)
        for path, text in texts
        for page in re.findall(r"(?<!the template's )\bdocs/[\w-]+\.md", text)
    ]
    assert pages == []


def test_readme_has_a_blank_line_around_every_heading_and_fence(project: Path) -> None:
    readme = (project / "README.md").read_text("utf-8")
    prose = re.sub(r"```.*?```", "```", readme, flags=re.DOTALL)
    for heading in re.finditer(r"^#+ .*$", prose, re.MULTILINE):
        assert heading.start() == 0 or prose[: heading.start()].endswith("\n\n"), heading.group()
        assert prose[heading.end() :].startswith("\n\n"), heading.group()
    for fence in re.finditer(r"^```$", prose, re.MULTILINE):
        assert prose[: fence.start()].endswith("\n\n")
        assert prose[fence.end() :].startswith("\n\n")


@pytest.fixture(scope="module")
def rendered_files(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, bytes]]:
    """What answers render, without the file that says them."""

    @cache
    def files_of(*given: tuple[str, str]) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("choice") / "project"
        # Python and data are copied as they are: each choice also changes a file of Jinja.
        exclude = ["*.py", "*.csv"]
        content = answers.files(answers.render(template, folder, dict(given), exclude=exclude))
        del content[".copier-answers.yml"]  # it would differ whatever the template does
        return content

    return files_of


@pytest.mark.parametrize(
    ("key", "others"),
    [
        *((key, {}) for key in ALTERNATIVES if choices(questions()[key])),
        *((key, {"tracking_preset": "server"}) for key in ("backend_store", "artifact_store")),
    ],
    ids=str,
)
def test_every_choice_changes_what_is_rendered(
    key: str, others: dict[str, str], rendered_files: Callable[..., dict[str, bytes]]
) -> None:
    rendered = []
    for answer in ALTERNATIVES[key]:
        sheet = answers.coherent(others | {key: answer})
        # The default answers are rendered once for all questions.
        changed = {each: given for each, given in sheet.items() if given != DEFAULTS.get(each)}
        rendered.append(rendered_files(*changed.items()))
    assert all(a != b for position, a in enumerate(rendered) for b in rendered[:position])


@pytest.mark.parametrize("key", ["project_name", "package_name", *ALTERNATIVES])
def test_every_text_reaches_what_is_rendered(key: str, template: Path) -> None:
    sources = [path for path in (template / "template").rglob("*") if key in path.name]
    sources += [
        path
        for folder in ("template", "includes")
        for path in (template / folder).rglob("*.jinja")
        if path.is_file() and key in path.read_text("utf-8")
    ]
    assert sources


def test_the_same_answers_give_the_same_bytes(render: Render) -> None:
    first, second = answers.files(render()), answers.files(render())
    assert first == second


# --- single files ---


@pytest.fixture(scope="module")
def default(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project, for tests that only read it."""
    return answers.render(template, tmp_path_factory.mktemp("default") / "project")


def pyproject(project: Path) -> dict[str, Any]:
    return tomli.loads((project / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("license", "first_line", "expression"),
    [
        ("Apache-2.0", "Apache License", "Apache-2.0"),
        ("MIT", "MIT License", "MIT"),
        ("BSD-3-Clause", "BSD 3-Clause License", "BSD-3-Clause"),
        (
            "Proprietary",
            "Copyright (c) Ada Lovelace. All rights reserved.",
            "LicenseRef-Proprietary",
        ),
    ],
)
def test_the_licence_is_there_in_full(
    license: str, first_line: str, expression: str, render: Render
) -> None:
    project = render(license=license, author_name="Ada Lovelace")
    text = (project / "LICENSE").read_text("utf-8")
    assert text.strip().splitlines()[0].strip() == first_line
    assert pyproject(project)["project"]["license"] == expression
    if license in {"MIT", "BSD-3-Clause"}:
        assert "Copyright (c) Ada Lovelace\n" in text


def test_a_licence_without_an_author_names_the_projects_authors(render: Render) -> None:
    text = (render(license="MIT") / "LICENSE").read_text("utf-8")
    assert "Copyright (c) the authors of Diabetes Progression\n" in text


def test_a_proprietary_project_cannot_be_uploaded(render: Render) -> None:
    project = pyproject(render(license="Proprietary"))["project"]
    assert project["classifiers"] == ["Private :: Do Not Upload"]


def test_the_lowest_python_version_is_required(render: Render) -> None:
    settings_of = pyproject(render(python_version="3.12"))
    assert settings_of["project"]["requires-python"] == ">=3.12,<3.14"
    assert settings_of["tool"]["mypy"]["python_version"] == "3.12"


def test_kedro_finds_the_project(default: Path) -> None:
    metadata = _get_project_metadata(default)
    assert metadata.project_name == "Diabetes Progression"
    assert metadata.package_name == "diabetes_progression"
    assert metadata.source_dir == default / "src"


def test_telemetry_is_off_without_a_word(
    default: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "GITHUB_REPOSITORY_OWNER"):
        monkeypatch.delenv(variable, raising=False)

    class Context:
        project_path = default

    hook = KedroTelemetryHook()
    with caplog.at_level("DEBUG"):
        hook.after_context_created(Context())
        hook.after_catalog_created(catalog=None)
        hook.after_command_run()
    assert hook._consent is False
    assert not hook._sent
    assert caplog.text == ""


def test_env_example_names_variables_and_gives_no_values(project: Path) -> None:
    lines = (project / ".env.example").read_text("utf-8").splitlines()
    assert all(line == "" or line.startswith("# ") for line in lines)
    variables = [line for line in lines if re.match(r"# [A-Z_]+=", line)]
    assert variables
    assert all(re.fullmatch(r"# [A-Z_]+=", line) for line in variables)


# What an answer brings that no other does: variables and packages.
BROUGHT: list[tuple[dict[str, str], set[str], set[str]]] = [
    ({}, set(), set()),
    ({"backend_store": "postgresql"}, set(), {"psycopg"}),
    ({"backend_store": "mysql"}, set(), {"pymysql"}),
    (
        {"artifact_store": "s3"},
        {"MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_S3_ENDPOINT_URL", *AWS},
        {"boto3"},
    ),
    (
        {"artifact_store": "gcs"},
        {"MLFLOW_DEFAULT_ARTIFACT_ROOT", "GOOGLE_APPLICATION_CREDENTIALS"},
        {"google-cloud-storage"},
    ),
    (
        {"artifact_store": "azure"},
        {
            "MLFLOW_DEFAULT_ARTIFACT_ROOT",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_CONNECTION_STRING",
        },
        {"azure-identity", "azure-storage-blob"},
    ),
    (
        {"tracking_preset": "server", "backend_store": "mysql", "artifact_store": "s3"},
        {
            *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
            "MLFLOW_TRACKING_SERVER_CERT_PATH",
        },
        set(),
    ),
    (
        {"tracking_preset": "databricks"},
        {
            *("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_MODEL_SCHEMA"),
            *("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"),
            *("MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI"),
        },
        {"mlflow[databricks]"},
    ),
    ({"tracking_preset": "sagemaker"}, AWS, {"sagemaker-mlflow"}),
    (
        {"tracking_preset": "azureml"},
        {"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"},
        {"azureml-mlflow"},
    ),
    ({"serving_target": "sagemaker"}, {*SAGEMAKER, *AWS}, {"boto3"}),
    (
        {"serving_target": "sagemaker", "artifact_store": "s3"},
        {*SAGEMAKER, *AWS, "MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_S3_ENDPOINT_URL"},
        {"boto3"},
    ),
]
ANYTHING_BROUGHT = {package for *_, packages in BROUGHT for package in packages}


@pytest.mark.parametrize(
    ("given", "variables", "packages"),
    BROUGHT,
    ids=lambda part: ",".join(sorted(part)) if isinstance(part, set) else str(part),
)
def test_an_answer_brings_the_variables_and_packages_that_it_needs_and_no_others(
    given: dict[str, str], variables: set[str], packages: set[str], render: Render
) -> None:
    project = render(**answers.coherent(given))
    env_example = (project / ".env.example").read_text("utf-8")
    # Those of an environment are the same again.
    variable = r"^# (?:STAGING_|PRODUCTION_)?([A-Z0-9_]+)=$"
    named = set(re.findall(variable, env_example, re.MULTILINE))
    always = {"MLFLOW_TRACKING_URI", "MODEL_ALIAS", "KEDRO_ENV"}
    always |= {"KEDRO_SERVER_TOKEN", "SERVING_TOKEN"}
    assert named - always == variables
    depends = pyproject(project)["project"]["dependencies"]
    brought = {re.split(r"[=<>]", line)[0].replace("[binary]", "") for line in depends}
    assert {name for name in brought if name in ANYTHING_BROUGHT} == packages
    # Those that mlflow.yml reads are there; in its head they are examples.
    read = re.findall(r"\$\{oc\.env:([A-Z0-9_]+)", (project / "conf/base/mlflow.yml").read_text())
    assert {name for name in read if name != "NAME" and f"# {name}=\n" not in env_example} == set()


def test_what_a_server_needs_is_no_need_of_its_clients(render: Render) -> None:
    server = {"tracking_preset": "server", "backend_store": "mysql", "artifact_store": "gcs"}
    groups = pyproject(render(**server))["dependency-groups"]
    assert [re.split(r"[=<>]", line)[0] for line in groups["server"]] == [
        *("mlflow[auth]", "pymysql", "google-cloud-storage")
    ]
    assert "server" not in pyproject(render())["dependency-groups"]


@pytest.mark.parametrize("preset", choices(questions()["tracking_preset"]))
def test_the_examples_of_environments_work_once_they_are_uncommented(
    preset: str, render: Render
) -> None:
    serving = {"serving_target": "kubernetes"}
    project = render(**answers.coherent({"tracking_preset": preset, **serving}))
    env_example = (project / ".env.example").read_text("utf-8")
    base = yaml.safe_load((project / "conf/base/mlflow.yml").read_text("utf-8"))
    for environment in ("staging", "production"):
        text = (project / "conf" / environment / "mlflow.yml").read_text("utf-8")
        assert yaml.safe_load(text) is None  # It changes nothing until then.
        about, _, example = text.partition("\n\n")
        assert environment in about
        own = yaml.safe_load(re.sub("^# ?", "", example, flags=re.MULTILINE))
        content: Any = OmegaConf.to_container(OmegaConf.merge(base, own), resolve=False)
        del content["model"]["alias"]  # A variable's value.
        config = room("config").parse_config(content)
        assert environment in config.model.name
        is_named = environment.upper() in config.server.uri
        assert is_named == (preset not in ("local", "databricks"))
        read = re.findall(r"\$\{oc\.env:([A-Z0-9_]+)", example)
        assert {name for name in read if f"# {name}=\n" not in env_example} == set()


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:5000", "https://[::1]:5000/a%20b/~c", "http://h/$x,(y)'z'=:*"]
)
def test_the_address_reaches_mlflow_yml_unchanged(
    uri: str, render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = render(tracking_preset="server", tracking_uri=uri)
    config = OmegaConf.load(project / "conf" / "base" / "mlflow.yml")
    assert config.server.mlflow_tracking_uri == uri


def test_git_ignores_secrets_and_what_runs_write(default: Path, tmp_path: Path) -> None:
    project = shutil.copytree(default, tmp_path / "project")
    written = [
        ".env",
        "conf/local/credentials.yml",
        "mlflow.db",
        "mlflow.db-journal",
        "mlartifacts/1/model",
        ".kedro_mlflow/journal",
        "data/01_raw/mine.csv",
        "data/06_models/regressor.skops",
        "data/07_model_output/predictions.csv",
        "data/08_reporting/evaluation.json",
        ".venv/bin/python",
    ]
    for path in written:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).touch()
    answers.git(project, "init", "--quiet")
    untracked = set(answers.git(project, "ls-files", "--others", "--exclude-standard").splitlines())
    assert not untracked & set(written)


def test_git_ignores_nothing_that_is_rendered(project: Path, tmp_path: Path) -> None:
    # An update overwrites an ignored file without a word.
    copy = shutil.copytree(project, tmp_path / "project")
    answers.git(copy, "init", "--quiet")
    assert answers.git(copy, "ls-files", "--others", "--ignored", "--exclude-standard") == ""


def test_git_shows_the_wall_and_keeps_line_ends(default: Path, tmp_path: Path) -> None:
    project = shutil.copytree(default, tmp_path / "project")
    answers.git(project, "init", "--quiet")
    package = "src/diabetes_progression"
    attributes = {
        (path, name): value
        for path in (f"{package}/mlops/config.py", f"{package}/pipelines/schemas.py")
        for name in ("linguist-generated", "eol")
        for value in answers.git(project, "check-attr", name, path).split(": ")[2:]
    }
    assert {key: value.strip() for key, value in attributes.items()} == {
        (f"{package}/mlops/config.py", "linguist-generated"): "true",
        (f"{package}/mlops/config.py", "eol"): "lf",
        (f"{package}/pipelines/schemas.py", "linguist-generated"): "unspecified",
        (f"{package}/pipelines/schemas.py", "eol"): "lf",
    }


def test_readme_says_of_every_file_whose_it_is(project: Path) -> None:
    package = answers.recorded(project)["package_name"]
    named = {name for row in answers.ownership(project).values() for name in row}
    for name in named:
        assert (project / name).exists(), f"{name} is not rendered"
    for path in answers.files(project):
        owners = [name for name in named if f"{path}/".startswith(f"{name}/")]
        # An entry for the package's own folder would hide a new file from this test.
        assert len(owners) == 1, f"{path} is in {len(owners)} rows"
        assert owners[0] not in {"src", f"src/{package}"}


def test_agents_md_says_what_is_true_in_forty_lines(project: Path) -> None:
    text = (project / "AGENTS.md").read_text("utf-8")
    assert len(text.splitlines()) <= 40
    paths = [name for name in re.findall(r"`([^`\s]+)`", text) if re.search(r"[./]", name)]
    assert len(paths) > 10
    assert [path for path in paths if not (project / path).exists()] == []
    owned = answers.ownership(project)
    mine = text.partition("- `src/")[2].partition("\n- ")[2].partition("the owner's")[0]
    for owner, shown in {"yours": mine, "the template's": text.partition("is the")[0]}.items():
        named = {name.rstrip("/") for name in re.findall(r"`(\S+/\S*)`", shown)}
        assert named
        assert named <= set(owned[owner])


def test_every_command_of_agents_md_is_kedros_or_the_projects(project: Path) -> None:
    text = (project / "AGENTS.md").read_text("utf-8")
    commands = re.findall(r"^uv run (.*?) {2,}#", text, re.MULTILINE)
    assert len(commands) > 5
    installed = (project / "pyproject.toml").read_text("utf-8")
    (ours,) = (project / "src").glob("*/mlops/commands")
    for command in commands:
        program, *words = command.split()
        assert f'    "{program}>=' in installed or f'    "{program}[' in installed, command
        if program == "kedro" and words[0] == "mlflow":
            source = (ours / f"{words[1]}.py").read_text("utf-8")
            assert [o for o in words if o.startswith("--") and f'"{o}"' not in source] == []
        elif program == "kedro":
            options = {o for parameter in kedro_run.params for o in parameter.opts}
            assert words[0] == "run"
            assert {o for o in words if o.startswith("--")} <= options


# What the reference of containers.dev names, and how it wants it.
DEVCONTAINER = {
    "name": str,
    "image": str,
    "containerEnv": dict,
    "postCreateCommand": str,
    "forwardPorts": list,
    "portsAttributes": dict,
    "customizations": dict,
}


@pytest.mark.parametrize(("target", "ports"), [("mlflow", [5000, 8000]), ("none", [5000])])
def test_a_devcontainer_has_the_projects_python_and_forwards_its_servers(
    target: str, ports: list[int], render: Render
) -> None:
    sheet = {"features": "[devcontainer]", "python_version": "3.12", "serving_target": target}
    project = render(**sheet)
    container = json.loads((project / ".devcontainer/devcontainer.json").read_text("utf-8"))
    assert {key: type(value) for key, value in container.items()} == DEVCONTAINER
    assert container["image"].endswith("/python:3.12")
    assert container["postCreateCommand"].endswith("uv sync")
    assert container["forwardPorts"] == ports
    assert list(container["portsAttributes"]) == [str(port) for port in ports]
    assert {key for port in container["portsAttributes"].values() for key in port} == {
        *("label", "onAutoForward"),
    }
    (mlops,) = (project / "src").glob("*/mlops")
    assert "port: int = 5000" in (mlops / "config.py").read_text("utf-8")
    serve = mlops / "commands" / "serve.py"
    assert not serve.exists() or '"--port", default=8000' in serve.read_text("utf-8")


def test_a_notebook_holds_nothing_but_code_and_words(render: Render) -> None:
    project = render(features="[notebook]")
    notebook = json.loads((project / "notebooks/explore.ipynb").read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 3
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.parametrize("example", ["regression", "classification", "none"])
def test_kedro_viz_gets_layers_and_no_rows(example: str, render: Render) -> None:
    catalog = yaml.safe_load((render(example=example) / "conf/base/catalog.yml").read_text("utf-8"))
    viz = {name: entry["metadata"]["kedro-viz"] for name, entry in catalog.items()}
    layers = {each["layer"] for each in viz.values()}
    assert layers == {"raw", "models", "reporting", "model_input", "model_output"}
    hidden = {name for name, each in viz.items() if each.get("preview") is False}
    assert hidden == {name for name, entry in catalog.items() if entry["type"].startswith("pandas")}


@pytest.mark.parametrize(
    ("given", "there"), [({}, True), ({"serving_target": "none"}, False)], ids=["mlflow", "none"]
)
def test_readme_has_a_serving_section_where_there_is_a_server(
    given: dict[str, str], there: bool, render: Render
) -> None:
    readme = (render(**given) / "README.md").read_text("utf-8")
    assert ("\n## Serving\n" in readme) is there
    assert ("kedro mlflow serve" in readme) is there


# --- names nobody expects ---

VISIBLE = [
    *[
        "Credit",
        "é",
        "ß",
        "东京",
        "ي",
        "🎉",
        "👩\u200d🔬",
        "'",
        '"',
        "`",
        "\\",
        "..",
        "/",
        ":",
        "- ",
    ],
    *["{{", "}}", "{%", "#}", "$", "%", "# ", " #", "&", "*", "!", "|", "<b>", "@", "~", ",", ";"],
    *["null", "yes", "1e3", "0x1F", "---", "[x](y)", "class", "_", "__"],
]
UNWRITABLE = [
    *["\n", "\r\n", "\t", "\x00", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff"],
    *[" ", "  ", "${", "x" * 300],
]
HOSTILE = st.one_of(
    # Half of them with something to make a package name of, and nothing that is refused outright.
    st.lists(st.sampled_from(VISIBLE), max_size=6).map(lambda parts: f"a{''.join(parts)}z"),
    st.lists(st.sampled_from(VISIBLE + UNWRITABLE), min_size=1, max_size=6).map("".join),
    st.text(min_size=1, max_size=40),
)


def headings(project: Path) -> list[str]:
    """The README's headings as a reader sees them."""
    tokens = MarkdownIt("commonmark").parse((project / "README.md").read_text("utf-8"))
    return [
        "".join(part.content for part in inline.children or [])
        for opening, inline in itertools.pairwise(tokens)
        if opening.type == "heading_open"
    ]


@settings(
    max_examples=examples(25, weekly=250),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    texts=st.fixed_dictionaries(
        {"project_name": HOSTILE},
        optional={
            "description": HOSTILE,
            "author_name": HOSTILE,
            "license": st.sampled_from(ALTERNATIVES["license"]),
        },
    )
)
def test_a_hostile_text_gives_a_valid_project_or_one_sentence(
    texts: dict[str, str], template: Path, default: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.rmtree(project, ignore_errors=True)
    try:
        # Python is copied as it is: leaving it out halves the time, and the matrix has it.
        answers.render(template, project, texts, exclude=["*.py", "*.csv"])
    except ValueError as refusal:
        sentence = str(refusal).partition(": ")[2]
        assert re.fullmatch(r"[A-Z][^\n]+\.", sentence), sentence
        assert list(tmp_path.iterdir()) == []
        return
    for path, text in text_files(project):
        parse(path, text)
    assert answers.recorded(project).items() >= texts.items()
    assert pyproject(project)["tool"]["kedro"]["project_name"] == texts["project_name"]
    metadata = pyproject(project)["project"]
    assert metadata.get("description", "") == texts.get("description", "")
    authors = [{"name": texts["author_name"]}] if "author_name" in texts else []
    assert metadata.get("authors", []) == authors
    assert headings(project) == [texts["project_name"], *headings(default)[1:]]
