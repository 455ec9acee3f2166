"""The functions behind copier.yml: what names become, what is refused, and in which words."""

from __future__ import annotations

import ast
import keyword
import re
from pathlib import Path

import pytest
import tomli
import yaml
from copier_template_extensions import TemplateExtensionLoader
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt

from extensions import compiled_once, literals, names, tracking_uri
from tests.support.answers import REPOSITORY, TRACKING_URIS, choices, configuration, questions

MODULES = sorted(REPOSITORY.glob("extensions/[!_]*.py"))

# What a module of pure functions needs; nothing here reads, writes, connects or starts anything.
HARMLESS = {
    "__future__",
    "functools",
    "jinja2",
    "jinja2.ext",
    "keyword",
    "re",
    "sys",
    "unicodedata",
    "urllib.parse",
}


PRESETS = choices(questions()["tracking_preset"])


def is_one_sentence(refusal: str) -> bool:
    """Whether a refusal is a sentence on a line: it begins like one and ends like one."""
    return bool(re.match(r"[A-Z][^\n]+[^.\n]\.\Z", refusal)) and ". " not in refusal


# --- package names ---


@pytest.mark.parametrize(
    ("project", "package"),
    [
        ("Diabetes Progression", "diabetes_progression"),
        ("churn-model", "churn_model"),
        ("  many   spaces  ", "many_spaces"),
        ("Crédit à la consommation", "credit_a_la_consommation"),
        ("Straße & Łódź", "strasse_lodz"),
        ("Ada's model", "adas_model"),
        ("2024 sales", "project_2024_sales"),
        ("C++ / C#", "c_c"),
        ("X", "x_project"),
        ("test", "test_project"),
        ("Class", "class_project"),
        ("JSON", "json_project"),
        ("scikit-learn", "scikit_learn_project"),
        ("No", "no_project"),
        ("../../etc/passwd", "etc_passwd"),
        ("a" * 80, "a" * 50),
        ("需要预测", ""),
        ("🎉", ""),
    ],
)
def test_package_name_is_made_of_the_project_name(project: str, package: str) -> None:
    assert names.package_name(project) == package


@given(st.text(max_size=120))
def test_a_package_name_that_was_made_is_never_refused(project: str) -> None:
    package = names.package_name(project)
    assert package == "" or names.package_name_refusal(package, project) == ""


@given(st.from_regex(r"[a-z_][a-z0-9_]{0,60}", fullmatch=True))
def test_an_accepted_package_name_can_be_imported_and_published(package: str) -> None:
    if names.package_name_refusal(package) == "":
        assert package.isidentifier()
        assert not keyword.iskeyword(package)
        # PEP 508, of the distribution's name.
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", package.replace("_", "-"))
        assert yaml.safe_load(package) == package


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("class", "a word of the Python language"),
        ("match", "a word of the Python language"),
        ("json", "a module of Python's standard library"),
        ("distutils", "a module of Python's standard library"),
        ("tomllib", "a module of Python's standard library"),
        ("sklearn", "a package that the project installs"),
        ("scikit_learn", "a package that the project installs"),
        ("mlflow", "a package that the project installs"),
        ("kedro", "a package that the project installs"),
        ("tests", "a name that test runners look for"),
        ("conf", "a folder of the project"),
        ("yes", "a value in YAML"),
    ],
)
def test_a_taken_package_name_is_refused_with_the_reason(package: str, reason: str) -> None:
    refusal = names.package_name_refusal(package)
    assert (
        refusal
        == f"Choose another package name, for example {package}_project: {package} is {reason}."
    )


@pytest.mark.parametrize(
    ("package", "remedy"),
    [
        ("", "for example churn_model"),
        ("Churn", "for example churn"),
        ("churn-model", "for example churn_model"),
        ("churn model", "for example churn_model"),
        ("2churn", "for example project_2churn"),
        ("_churn", "for example churn"),
        ("churn_", "for example churn"),
        ("churn__model", "for example churn_model"),
        ("churn\n", "for example churn"),
        ("..", "for example churn_model"),
        ("a/b", "for example a_b"),
        ("modèle", "for example modele"),
        ("x", "two or more"),
        ("c" * 51, "50 characters"),
    ],
)
def test_a_malformed_package_name_is_refused_with_a_remedy(package: str, remedy: str) -> None:
    refusal = names.package_name_refusal(package)
    assert remedy in refusal
    assert is_one_sentence(refusal)


def test_a_name_without_latin_letters_asks_for_a_package_name() -> None:
    assert "package_name" in names.package_name_refusal("", "需要预测")


# --- lines of text ---


@pytest.mark.parametrize(
    "project",
    ["Diabetes Progression", "X", 'Say "hi"', "{{ 7 * 7 }}", "..", "需要", "a: b # c", "100 %"],
)
def test_project_name_may_be_anything_that_is_read_in_a_line(project: str) -> None:
    expected = "" if any(map(str.isalnum, project)) else "Put at least one letter or digit"
    assert names.project_name_refusal(project).startswith(expected)


@pytest.mark.parametrize(
    ("project", "remedy"),
    [
        ("", "Give the project a name"),
        ("   ", "Give the project a name"),
        ("...", "at least one letter or digit"),
        ("🎉", "at least one letter or digit"),
        ("x" * 81, "80 characters"),
        ("name\n", "on one line"),
        ("two\r\nlines", "on one line"),
        ("tab\there", "U+0009"),
        ("bell\x07", "U+0007"),
        ("delete\x7f", "U+007F"),
        ("zero\u200bwidth", "U+200B"),
        ("evil\u202etxt.exe", "U+202E"),
        ("line\u2028separator", "U+2028"),
        ("surrogate\ud800", "U+D800"),
        (" name", "Remove the space"),
        ("name ", "Remove the space"),
        ("${oc.env:HOME}", "Leave `${` out"),
    ],
)
def test_an_unwritable_project_name_is_refused_with_a_remedy(project: str, remedy: str) -> None:
    refusal = names.project_name_refusal(project)
    assert remedy in refusal
    assert is_one_sentence(refusal)


@given(st.text(max_size=400))
def test_every_refusal_of_a_text_is_one_sentence(text: str) -> None:
    for refusal in (
        names.project_name_refusal(text),
        names.package_name_refusal(text),
        names.line_refusal(text, "the description"),
        names.author_name_refusal(text),
        names.author_email_refusal(text),
        *[tracking_uri.tracking_uri_refusal(text, preset) for preset in PRESETS],
    ):
        assert refusal == "" or is_one_sentence(refusal), refusal


@pytest.mark.parametrize(
    "author", ["", "Ada Lovelace", "Conan O'Brien", "山田 太郎", "Jean-Luc (JL) R."]
)
def test_author_name_may_be_a_persons(author: str) -> None:
    assert names.author_name_refusal(author) == ""


@pytest.mark.parametrize("author", ["Lovelace, Ada", "Ada <ada@example.com>", 'Ada "Countess"'])
def test_author_name_that_a_mail_header_cannot_hold_is_refused(author: str) -> None:
    assert names.author_name_refusal(author).startswith("Leave , ; <")


@pytest.mark.parametrize("email", ["", "ada@example.com", "a.l+kedro@sub.example.co.uk"])
def test_author_email_may_be_an_address(email: str) -> None:
    assert names.author_email_refusal(email) == ""


@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "a da@example.com",
        "ada@example.com\n",
        "a@b..c",
        ".a@b.c",
        "Ada <ada@example.com>",
        "ada@éxample.com",
        "x" * 250 + "@example.com",
    ],
)
def test_author_email_that_is_no_address_is_refused(email: str) -> None:
    assert names.author_email_refusal(email).startswith(
        "Write the email address as name@example.com"
    )


# --- tracking addresses ---


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("http://127.0.0.1:5000", "server"),
        ("https://mlflow.example.com", "server"),
        ("https://mlflow.example.com/team/", "server"),
        ("HTTPS://MLFLOW.EXAMPLE.COM", "server"),
        ("http://mlflow:5000", "server"),
        ("http://tracking_server:5000", "server"),
        ("http://[::1]:5000", "server"),
        ("https://xn--bcher-kva.example", "server"),
        ("sqlite:///mlflow.db", "database"),
        ("sqlite:////srv/runs@home.db", "database"),
        ("postgresql+psycopg://db/mlflow", "database"),
        ("file:///srv/mlruns", "folder"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks"),
        ("arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team", "sagemaker"),
        ("azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/1", "azureml"),
    ],
)
def test_tracking_address_names_its_kind(uri: str, kind: str) -> None:
    assert tracking_uri.tracking_uri_kind(uri) == kind


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("", "Give the address of an MLflow server"),
        ("mlflow.example.com", "for example https://mlflow.example.com"),
        ("localhost:5000", "for example https://mlflow.example.com"),
        ("127.0.0.1:5000", "for example https://mlflow.example.com"),
        ("ftp://mlflow.example.com", "for example https://mlflow.example.com"),
        ("./mlruns", "for example https://mlflow.example.com"),
        ("http://", "Name the host"),
        ("https:///path", "Name the host"),
        ("http:mlflow", "Name the host"),
        ("http://:5000", "Name the host"),
        ("http://-mlflow", "Name the host"),
        ("http://host:port", "Name the host"),
        ("http://host:99999", "Name the host"),
        ("http://host:0", "Name the host"),
        ("http://[::1", "Name the host"),
        ("http://..", "Name the host"),
        (r"C:\mlruns", "not a Windows path"),
        ("C:/mlruns", "not a Windows path"),
        (r"\\server\share", "not a Windows path"),
        ("http://my host", "Remove the spaces"),
        (" http://host", "Remove the spaces"),
        ("http://host\n", "Remove the spaces"),
        ("http://bücher.example", "U+00FC"),
        ("http://host/${oc.env:HOME}", "U+007B"),
        ('http://host/"quoted"', "U+0022"),
        ("http://" + "h" * 500, "500 characters"),
        ("https://host/?token=abc", "MLFLOW_TRACKING_TOKEN"),
        ("https://host/#abc", "MLFLOW_TRACKING_TOKEN"),
    ],
)
def test_a_malformed_tracking_address_is_refused_with_a_remedy(uri: str, remedy: str) -> None:
    refusal = tracking_uri.tracking_uri_refusal(uri, "server")
    assert remedy in refusal
    assert is_one_sentence(refusal)


@pytest.mark.parametrize(
    ("uri", "variable"),
    [
        ("https://ada:s3cret@mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
        ("https://ada@mlflow.example.com", "MLFLOW_TRACKING_USERNAME"),
        ("https://:s3cret@mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
        ("https://ada:s3cret/with/slash@mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
        ("https://ada:s3cret with space@mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
        ("ada:s3cret@mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
        ("postgresql://ada:s3cret@db/mlflow", "MLFLOW_TRACKING_URI"),
        ("postgresql://db/mlflow?user=ada&password=s3cret", "MLFLOW_TRACKING_URI"),
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_repeated(uri: str, variable: str) -> None:
    refusal = tracking_uri.tracking_uri_refusal(uri, "server")
    assert variable in refusal
    assert "s3cret" not in refusal
    assert is_one_sentence(refusal)


@pytest.mark.parametrize(
    ("preset", "uri", "remedy"),
    [
        ("server", "sqlite:///mlflow.db", "tracking_preset=local"),
        ("server", "postgresql+psycopg://db/mlflow", "tracking_preset=local"),
        ("server", "databricks", "tracking_preset=databricks"),
        ("server", "file:///srv/mlruns", "this names a folder"),
        ("server", TRACKING_URIS["sagemaker"], "tracking_preset=sagemaker"),
        ("server", TRACKING_URIS["azureml"], "tracking_preset=azureml"),
        ("sagemaker", "", "arn:aws:sagemaker:"),
        ("sagemaker", "./mlruns", "arn:aws:sagemaker:"),
        ("sagemaker", "file:///srv/mlruns", "this names a folder"),
        ("sagemaker", "https://mlflow.example.com", "tracking_preset=server"),
        ("sagemaker", "arn:aws:s3:::bucket", "arn:aws:sagemaker:"),
        ("sagemaker", "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/team", "mlflow-tracking"),
        ("sagemaker", f"{TRACKING_URIS['sagemaker']}/", "arn:aws:sagemaker:"),
        ("azureml", "", "azureml://"),
        ("azureml", "https://ml.azure.com", "tracking_preset=server"),
        ("azureml", "azureml://westeurope.api.azureml.ms/mlflow/v1.0", "/workspaces/WORKSPACE"),
        ("local", "https://mlflow.example.com", "tracking_preset=server"),
        ("local", "postgresql+psycopg://db/mlflow", "MLFLOW_TRACKING_URI"),
        ("databricks", "databricks://team", "MLFLOW_TRACKING_URI=databricks://PROFILE"),
        ("databricks", "https://mlflow.example.com", "tracking_preset=server"),
    ],
)
def test_an_address_that_the_preset_cannot_use_is_refused_with_a_remedy(
    preset: str, uri: str, remedy: str
) -> None:
    refusal = tracking_uri.tracking_uri_refusal(uri, preset)
    assert remedy in refusal
    assert is_one_sentence(refusal)


@pytest.mark.parametrize(
    ("preset", "uri", "variable"),
    [
        ("sagemaker", f"{TRACKING_URIS['sagemaker']}@key", "AWS_SECRET_ACCESS_KEY"),
        ("azureml", "azureml://ada:s3cret@westeurope.api.azureml.ms", "AZURE_CLIENT_SECRET"),
        ("azureml", f"{TRACKING_URIS['azureml']}?sig=s3cret", "the environment"),
        ("sagemaker", "https://ada:s3cret@mlflow.example.com", "MLFLOW_TRACKING_PASSWORD"),
        ("local", "postgresql://ada:s3cret@db/mlflow", "MLFLOW_TRACKING_URI"),
        ("databricks", "databricks://ada:s3cret@team", "MLFLOW_TRACKING_URI"),
    ],
)
def test_a_secret_is_refused_for_every_preset(preset: str, uri: str, variable: str) -> None:
    refusal = tracking_uri.tracking_uri_refusal(uri, preset)
    assert variable in refusal
    assert "s3cret" not in refusal
    assert is_one_sentence(refusal)


@pytest.mark.parametrize(
    ("preset", "uri"),
    [
        *TRACKING_URIS.items(),
        ("sagemaker", "arn:aws:sagemaker:us-east-2:123456789012:mlflow-app/app-A1B2"),
        ("sagemaker", "arn:aws-us-gov:sagemaker:us-gov-west-1:123456789012:mlflow-app/x"),
        ("azureml", f"{TRACKING_URIS['azureml']}/"),
    ],
)
def test_the_address_of_a_managed_service_is_accepted(preset: str, uri: str) -> None:
    assert tracking_uri.tracking_uri_refusal(uri, preset) == ""


def test_what_a_preset_proposes_is_what_it_takes() -> None:
    defaults = {preset: tracking_uri.default_tracking_uri(preset) for preset in PRESETS}
    assert {preset for preset, uri in defaults.items() if not uri} == {"sagemaker", "azureml"}
    for preset, uri in defaults.items():
        example = tracking_uri.example_tracking_uri(preset)
        for proposed in filter(None, (uri, example)):
            assert tracking_uri.tracking_uri_refusal(proposed, preset) == ""


# --- literals ---


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_double_quoted_string_means_the_same_in_toml_and_yaml(text: str) -> None:
    written = literals.double_quoted(text)
    assert tomli.loads(f"key = {written}") == {"key": text}
    assert yaml.safe_load(f"key: {written}") == {"key": text}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Diabetes Progression", "Diabetes Progression"),
        ("snake_case stays", "snake_case stays"),
        ("R&D", "R&D"),
        ("C# and F#", "C# and F#"),
        ("_emphasis_", r"\_emphasis\_"),
        ("*bold* `code`", r"\*bold\* \`code\`"),
        ("<script>", r"\<script\>"),
        ("[a](b) | c", r"\[a\](b) \| c"),
        ("&amp; &#65;", r"\&amp; \&#65;"),
        ("# heading #", r"\# heading \#"),
        ("- item", r"\- item"),
        ("1. first", r"1\. first"),
        ("1.5 times", "1.5 times"),
        ("a\\b ~c~ $d$", r"a\\b \~c\~ \$d\$"),
    ],
)
def test_markdown_shows_a_line_as_it_was_typed(text: str, written: str) -> None:
    assert literals.markdown(text) == written


MARKS = st.lists(st.sampled_from([*"\\`*_{}[]()<>#+-.!|~$&;:= \"'1a)é🎉", "&amp;", "http://a.b"]))


@given(st.one_of(MARKS.map("".join), st.text(max_size=40)))
@example("2024. Report")
@example("a_b _c_ __d__")
@example("=== # - #")
def test_markdown_reads_an_accepted_line_back_as_it_was_typed(line: str) -> None:
    if not line or names.line_refusal(line, "the description"):
        return
    for prefix, block in (("", "paragraph_open"), ("# ", "heading_open")):
        opening, inline, _ = MarkdownIt("commonmark").parse(prefix + literals.markdown(line))
        assert opening.type == block
        # `text_special` is a character behind a backslash.
        assert {token.type for token in inline.children or []} <= {"text", "text_special"}
        assert "".join(token.content for token in inline.children or []) == line


# --- compiled once ---


def test_a_text_is_compiled_once_and_rendered_by_each_context() -> None:
    environment = Environment(extensions=[compiled_once.CompiledOnceExtension])
    first, second = (environment.from_string("src/{{ name }}") for _ in range(2))
    assert first is second
    assert [first.render(name=name) for name in "ab"] == ["src/a", "src/b"]
    assert Environment().from_string("src/{{ name }}") is not first


# --- trust ---


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_an_extension_reads_writes_and_starts_nothing(module: Path) -> None:
    tree = ast.parse(module.read_text("utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= HARMLESS
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "exec", "eval", "compile", "__import__", "input", "print"}


def test_every_extension_loads_alone_as_copier_loads_it() -> None:
    loader, *own = configuration()["_jinja_extensions"]
    assert loader == "copier_template_extensions.TemplateExtensionLoader"
    assert {Path(entry.partition(":")[0]).name for entry in own} == {
        module.name for module in MODULES
    }
    environment = Environment(
        loader=FileSystemLoader(REPOSITORY), extensions=[TemplateExtensionLoader]
    )
    for entry in own:
        environment.add_extension(entry)
    assert environment.filters["package_name"]("Churn Model") == "churn_model"
