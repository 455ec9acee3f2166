"""The conversation: what copier asks, what it takes for an answer, and what it says back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from copier import Settings, run_copy
from copier.errors import UnsafeTemplateError
from pytest_copie.plugin import Copie

from tests.support import answers
from tests.support.answers import (
    UnknownAnswerError,
    as_text,
    choices,
    configuration,
    questions,
)

# The answers of somebody who presses Enter all the way.
DEFAULTS = {
    "project_name": "Diabetes Progression",
    "package_name": "diabetes_progression",
    "description": "",
    "author_name": "",
    "author_email": "",
    "license": "Apache-2.0",
    "python_version": "3.11",
    "tracking_preset": "local",
    "backend_store": "sqlite",
    "artifact_store": "local",
    "serving_target": "mlflow",
    "ci": "github",
    "example": "regression",
    "orchestrator": "none",
    "features": "[]",
}

SERVING = ["mlflow", "none", "docker", "kubernetes", "sagemaker", "databricks"]
ORCHESTRATORS = ["none", "dask", "airflow", "prefect", "argo", "databricks"]
FEATURES = [
    "[]",
    "[tuning]",
    "[monitoring]",
    "[devcontainer]",
    "[notebook]",
    "[tuning, monitoring, devcontainer, notebook]",
]

# Presets that choose no store of their own.
MANAGED = ["databricks", "sagemaker", "azureml"]

ACCEPTED = [
    ("project_name", "Crédit à la consommation"),
    ("project_name", "{{ 7 * 7 }} {% raw %}"),
    ("package_name", "churn_model"),
    ("description", "Says who leaves: 'soon', \"late\" or never # 100 %"),
    ("author_name", "Ada Lovelace"),
    ("author_email", "ada@example.com"),
    *[("license", value) for value in ["Apache-2.0", "MIT", "BSD-3-Clause", "Proprietary"]],
    *[("python_version", value) for value in ["3.10", "3.11", "3.12", "3.13"]],
    *[("tracking_preset", value) for value in ["local", "server", *MANAGED]],
    *[("backend_store", value) for value in ["sqlite", "postgresql", "mysql"]],
    *[("artifact_store", value) for value in ["local", "s3", "gcs", "azure"]],
    *[("serving_target", value) for value in SERVING],
    *[("ci", value) for value in ["github", "gitlab", "none"]],
    *[("example", value) for value in ["regression", "classification", "none"]],
    *[("orchestrator", value) for value in ORCHESTRATORS],
    *[("features", value) for value in FEATURES],
    ("tracking_uri", "https://mlflow.example.com/team"),
]

REFUSED = [
    ("project_name", "", "Give the project a name"),
    ("project_name", "two\nlines", "on one line"),
    ("project_name", "x" * 300, "80 characters"),
    ("package_name", "class", "Choose another package name"),
    ("package_name", "pandas", "Choose another package name"),
    ("package_name", "", "for example churn_model"),
    ("package_name", "a/../b", "lower-case letters"),
    ("description", "x" * 301, "300 characters"),
    ("description", "two\nlines", "on one line"),
    ("author_name", "Lovelace, Ada", "Leave , ;"),
    ("author_email", "ada", "name@example.com"),
    ("license", "GPL-3.0", "'GPL-3.0' is not in"),
    ("python_version", "3.9", "'3.9' is not in"),
    ("tracking_preset", "cloud", "'cloud' is not in"),
    ("tracking_uri", "https://ada:s3cret@mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
    ("tracking_uri", "sqlite:///mlflow.db", "the address of an MLflow server"),
    ("serving_target", "torchserve", "'torchserve' is not in"),
    ("serving_target", "databricks", "Answer tracking_preset=databricks too"),
    ("ci", "jenkins", "'jenkins' is not in"),
    ("example", "iris", "'iris' is not in"),
    ("orchestrator", "cron", "'cron' is not in"),
    ("orchestrator", "databricks", "Answer tracking_preset=databricks too"),
    ("features", "[mining]", "'mining' is not in"),
    ("backend_store", "oracle", "'oracle' is not in"),
    ("artifact_store", "ftp", "'ftp' is not in"),
]


def ask(template: Path, project: Path, given: dict[str, str]) -> Path:
    """Answer all questions, and write nothing but the answers file."""
    return answers.render(template, project, given, exclude=["*", "!.copier-answers.yml"])


# --- what is asked ---


def test_questions_come_in_the_order_of_the_conversation() -> None:
    asked = [key for key, question in questions().items() if question.get("when") is not False]
    assert asked == [*list(DEFAULTS)[:8], "tracking_uri", *list(DEFAULTS)[8:]]
    assert list(questions()) == asked


def test_copier_yml_is_read_from_settings_to_computed_values() -> None:
    keys = list(configuration())
    first_question = keys.index("project_name")
    assert all(key.startswith("_") for key in keys[:first_question])
    assert not any(key.startswith("_") for key in keys[first_question:])
    messages = [key for key in keys if key.startswith("_message")]
    assert keys[first_question - len(messages) : first_question] == messages


@pytest.mark.parametrize("key", questions())
def test_every_question_is_a_whole_question(key: str) -> None:
    assert re.match(r"[A-Z][^?]+\?( \([A-Z].+\.\))?\Z", questions()[key]["help"])


def test_the_default_is_the_first_choice() -> None:
    for question in questions().values():
        if choices(question):
            assert choices(question)[0] == question["default"]


def test_no_question_asks_for_a_secret() -> None:
    assert not any(question.get("secret") for question in questions().values())
    assert not re.search(r"password|token|secret", " ".join(questions()))


def test_every_question_has_an_accepted_and_a_refused_answer_here() -> None:
    accepted, refused = {row[0] for row in ACCEPTED}, {row[0] for row in REFUSED}
    assert accepted == questions().keys()
    assert refused == questions().keys()
    for key, question in questions().items():
        if choices(question):
            assert sorted(choices(question)) == sorted(row[1] for row in ACCEPTED if row[0] == key)


# --- what is answered ---


def test_every_default_is_accepted_and_recorded(copie: Copie, template: Path) -> None:
    result = copie.copy(template_dir=template)
    assert result.exception is None
    assert {key: as_text(value) for key, value in result.answers.items()} == DEFAULTS


@pytest.mark.parametrize(("key", "answer"), ACCEPTED)
def test_an_accepted_answer_is_recorded_as_it_was_given(
    key: str, answer: str, template: Path, tmp_path: Path
) -> None:
    given = answers.coherent({key: answer})
    if key == "tracking_uri":
        given["tracking_preset"] = "server"
    recorded = answers.recorded(ask(template, tmp_path / "project", given))
    assert recorded[key] == answer


@pytest.mark.parametrize(("key", "answer", "remedy"), REFUSED)
def test_a_refused_answer_leaves_a_sentence_and_no_project(
    key: str, answer: str, remedy: str, template: Path, tmp_path: Path
) -> None:
    given = {key: answer}
    if key == "tracking_uri":
        given["tracking_preset"] = "server"
    with pytest.raises(ValueError, match=re.escape(remedy)) as refusal:
        answers.render(template, tmp_path / "project", given)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_project_name_without_latin_letters_asks_for_a_package_name(
    template: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="package_name"):
        ask(template, tmp_path / "refused", {"project_name": "需要预测"})
    ask(template, tmp_path / "taken", {"project_name": "需要预测", "package_name": "forecast"})


def test_the_server_preset_records_its_address(template: Path, tmp_path: Path) -> None:
    recorded = answers.recorded(ask(template, tmp_path / "project", {"tracking_preset": "server"}))
    assert recorded["tracking_uri"] == "http://127.0.0.1:5000"


@pytest.mark.parametrize("preset", choices(questions()["tracking_preset"]))
def test_what_a_preset_decides_is_not_recorded(preset: str, template: Path, tmp_path: Path) -> None:
    given = answers.coherent({"tracking_preset": preset})
    recorded = answers.recorded(ask(template, tmp_path / "project", given))
    stores = set() if preset in MANAGED else {"backend_store", "artifact_store"}
    address = set() if preset in {"local", "databricks"} else {"tracking_uri"}
    assert (
        recorded.keys() == DEFAULTS.keys() - {"backend_store", "artifact_store"} | stores | address
    )


@pytest.mark.parametrize("preset", ["local", "databricks"])
def test_an_address_for_a_preset_that_has_its_own_is_refused(
    preset: str, template: Path, tmp_path: Path
) -> None:
    given = {"tracking_preset": preset, "tracking_uri": "https://mlflow.example.com"}
    with pytest.raises(ValueError, match="Leave tracking_uri out"):
        ask(template, tmp_path / "project", given)


@pytest.mark.parametrize("preset", MANAGED)
@pytest.mark.parametrize(("key", "answer"), [("backend_store", "mysql"), ("artifact_store", "s3")])
def test_a_store_for_a_preset_that_has_its_own_is_refused(
    key: str, answer: str, preset: str, template: Path, tmp_path: Path
) -> None:
    given = answers.coherent({"tracking_preset": preset}) | {key: answer}
    with pytest.raises(ValueError, match=f"Leave {key} out: tracking_preset={preset}"):
        ask(template, tmp_path / "project", given)


@pytest.mark.parametrize("preset", ["sagemaker", "azureml"])
def test_an_address_that_only_its_owner_knows_is_asked_for(
    preset: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match='"tracking_uri" is required'):
        ask(template, tmp_path / "project", {"tracking_preset": preset})
    given = {"tracking_preset": preset, "tracking_uri": answers.TRACKING_URIS[preset]}
    asked: dict[str, str] = {}

    def answer(shown: list[dict[str, Any]], answers: dict[str, Any]) -> dict[str, Any]:
        (question,) = shown
        name = question["name"]
        if not question["when"](answers):
            return answers
        asked[name] = question.get("placeholder", "")
        return {name: given.get(name, answers[name])}

    monkeypatch.setattr("copier._main.unsafe_prompt", answer)
    project = tmp_path / "asked"
    run_copy(str(template), project, settings=Settings(), exclude=["*.py"], quiet=True, unsafe=True)
    assert answers.recorded(project).items() >= given.items()
    assert asked.keys() == DEFAULTS.keys() - {"backend_store", "artifact_store"} | {"tracking_uri"}
    assert asked["tracking_uri"][:4] == given["tracking_uri"][:4]


def test_an_unknown_answer_is_refused_by_the_test_helper(template: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownAnswerError, match="tracking_present"):
        answers.render(template, tmp_path / "project", {"tracking_present": "server"})
    assert list(tmp_path.iterdir()) == []


# --- trust ---


def test_copying_without_trust_is_refused_and_leaves_nothing(
    template: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnsafeTemplateError, match="jinja_extensions"):
        answers.render(template, tmp_path / "project", trust=False)
    assert list(tmp_path.iterdir()) == []


def test_trust_lets_extensions_run_and_nothing_else() -> None:
    assert not configuration().keys() & {"_tasks", "_migrations", "_external_data"}


def test_a_misspelt_variable_in_the_template_stops_the_copy(template: Path, tmp_path: Path) -> None:
    broken = answers.copy_template(tmp_path / "template")
    (broken / "template" / "typo.txt.jinja").write_text("{{ pakage_name }}")
    with pytest.raises(Exception, match="'pakage_name' is undefined"):
        answers.render(broken, tmp_path / "project")
    assert not (tmp_path / "project").exists()


# --- what is said ---


def message_after_copy(
    render_to: Path, template: Path, capsys: pytest.CaptureFixture[str], **given: str
) -> str:
    answers.render(template, render_to, given, exclude=["*"], quiet=False)
    return capsys.readouterr().err


def test_the_message_after_copy_says_what_to_type(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = message_after_copy(tmp_path / "my project", template, capsys)
    commands = [
        line.strip().partition("  ")[0] for line in message.splitlines() if line[:2] == "  "
    ]
    assert commands == [
        f"cd '{tmp_path / 'my project'}'",
        "uv sync",
        'git init -b main && git add . && git commit -m "Start diabetes_progression"',
        "uv run prek install",
        "uv run kedro run",
        "uv run kedro mlflow ui",
        "uv run kedro mlflow serve",
    ]


def test_the_message_offers_serving_only_where_it_is_there(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = message_after_copy(tmp_path / "project", template, capsys, serving_target="none")
    assert "kedro mlflow ui" in message
    assert "serve" not in message


def test_a_copy_into_the_working_directory_needs_no_cd(
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "cd " not in message_after_copy(Path(), template, capsys)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("docker", "SERVING_TOKEN in .env"),
        ("kubernetes", "conf/base/mlflow.yml"),
        ("sagemaker", "SAGEMAKER_ROLE_ARN"),
    ],
)
def test_the_message_says_what_a_deployment_needs(
    target: str, named: str, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = message_after_copy(tmp_path / "project", template, capsys, serving_target=target)
    assert "uv run kedro mlflow deploy " in message
    assert named in message


# What somebody has to hear of who did not press Enter all the way.
HEARD = [
    ({"tracking_preset": "server"}, ["http://127.0.0.1:5000", ".env.example"]),
    ({"tracking_preset": "databricks"}, ["DATABRICKS_HOST", "DATABRICKS_TOKEN", ".env.example"]),
    ({"tracking_preset": "sagemaker"}, ["AWS", ".env.example"]),
    ({"tracking_preset": "azureml"}, ["Azure", ".env.example"]),
    ({"backend_store": "mysql"}, ["fill in MLFLOW_TRACKING_URI."]),
    ({"artifact_store": "gcs"}, ["fill in MLFLOW_DEFAULT_ARTIFACT_ROOT."]),
    (
        {"backend_store": "postgresql", "artifact_store": "s3"},
        ["fill in MLFLOW_TRACKING_URI and MLFLOW_DEFAULT_ARTIFACT_ROOT."],
    ),
]


@pytest.mark.parametrize(("given", "named"), HEARD)
def test_the_message_says_which_variables_are_needed(
    given: dict[str, str],
    named: list[str],
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sheet = answers.coherent(given)
    message = message_after_copy(tmp_path / "project", template, capsys, **sheet)
    named = ["uv run kedro mlflow doctor", *named]
    assert [name for name in named if name not in " ".join(message.split())] == []


@pytest.mark.parametrize(
    ("given", "paragraphs"),
    [({}, 3), ({"serving_target": "docker"}, 4), *((given, 4) for given, _ in HEARD)],
    ids=str,
)
def test_the_message_has_a_blank_line_between_its_paragraphs(
    given: dict[str, str],
    paragraphs: int,
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sheet = answers.coherent(given)
    message = message_after_copy(tmp_path / "project", template, capsys, **sheet)
    text = '"Diabetes' + message.partition('"Diabetes')[2].rstrip()
    assert len(text.split("\n\n")) == paragraphs
    assert "\n\n\n" not in text
