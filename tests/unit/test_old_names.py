"""What was written against version 1 works by its old name, and one line says the new one.

The package is a copy under a name that Python can import, as an owner has it; files of version 1
come from its archive.
"""

from __future__ import annotations

import pickle
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import TypeAlias

import pytest
from kedro.io import DataCatalog
from kedro.utils import load_obj
from kedro.validation import PanderaValidator

from tests.support import answers, versions
from tests.support.rooms import room

PACKAGE = "old_study"

Write: TypeAlias = "Callable[[str, str], None]"

# What the pages of version 1 told owners to write, and edited files of its own.
DOCUMENTED = {
    "a sink (docs/sinks.md)": """
        from .tracking.journal import Record, all_records
        from .tracking.shipping.sink import Sink

        class MySink(Sink):
            place = "My place"
    """,
    "an error of a sink (docs/examples/wandb_sink.py)": """
        from .tracking.errors import TrackingError

        error = TrackingError("no")
    """,
    "settings of an adopted project (docs/adopting.md)": """
        from .tracking import MlflowHook
        from .tracking.requirements import filled_in

        HOOKS = (MlflowHook(),)
        assert filled_in("NOT_SET_ANYWHERE", "default") == "default"
    """,
    "schemas without the file that checked them": """
        from .pipelines.validation import validated
    """,
    "a command": """
        from . import commands

        assert "promote" in [path.stem for path in Path(commands.__path__[0]).glob("*.py")]
        promote = import_module(".promote", commands.__name__).command
    """,
    "a module's attribute": """
        import old_study.tracking.journal

        Record = old_study.tracking.journal.Record
    """,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package that has just been updated; nothing of it is imported yet."""
    source = answers.REPOSITORY / "template" / "src" / "{{ package_name }}"
    package = tmp_path / "src" / PACKAGE
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(package.parent))
    # The package puts a validator of its own in this one's place, and is gone after the test.
    monkeypatch.setattr(PanderaValidator, "validate", PanderaValidator.validate)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def old_names(folder: Path) -> ModuleType:
    """The module, in the package that has been imported."""
    import_module(PACKAGE)
    return sys.modules[f"{PACKAGE}.mlops.old_names"]


@pytest.fixture
def write(folder: Path) -> Write:
    """Write a file of the package."""

    def to(path: str, text: str) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(dedent(text), "utf-8")

    return to


def of_version_1(path: str) -> str:
    """A file of the package, as version 1.0.0 rendered it."""
    with tarfile.open(versions.ARCHIVES / "1.0.0.tar.xz") as archive:
        member = archive.extractfile(f"template/src/{{{{ package_name }}}}/{path}")
        assert member is not None
        return member.read().decode("utf-8")


def names() -> dict[str, str]:
    return dict(room("old_names").NAMES)


@pytest.mark.parametrize("old", names())
def test_an_old_name_is_the_new_object_and_says_so_once(
    old: str, old_names: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    new = old_names.NAMES[old]
    assert load_obj(f"{PACKAGE}.{old}") is load_obj(f"{PACKAGE}.mlops.{new}")
    load_obj(f"{PACKAGE}.{old}")
    said = capsys.readouterr()
    (message,) = said.err.splitlines()
    for name in (f"{PACKAGE}.{old}", f"{PACKAGE}.mlops.{new}"):
        assert f"{name.removesuffix('.__path__')}" in message
    assert said.out == ""


@pytest.mark.parametrize("text", DOCUMENTED.values(), ids=DOCUMENTED)
def test_what_version_1_documented_can_be_imported(text: str, write: Write) -> None:
    needed = "from importlib import import_module\nfrom pathlib import Path\n"
    write("mine.py", text)
    mine = Path(str(sys.path[0]), PACKAGE, "mine.py")
    mine.write_text(needed + mine.read_text("utf-8"), "utf-8")
    import_module(f"{PACKAGE}.mine")


@pytest.mark.parametrize("path", ["settings.py", "cli.py"])
def test_a_shared_file_of_version_1_works_unchanged(path: str, write: Write) -> None:
    write(path, of_version_1(path))
    module = import_module(f"{PACKAGE}.{path.removesuffix('.py')}")
    if path == "settings.py":
        assert [type(hook).__module__ for hook in module.HOOKS] == [f"{PACKAGE}.mlops.hook"]
    else:
        group = module.cli.commands["mlflow"]
        assert "promote" in group.list_commands(None)
        assert group.get_command(None, "promote").name == "promote"


def test_a_catalog_may_name_the_data_set_of_version_1(
    old_names: ModuleType, tmp_path: Path
) -> None:
    entry = {"type": f"{PACKAGE}.datasets.SkopsDataset", "filepath": str(tmp_path / "x.skops")}
    data_set = DataCatalog.from_config({"model": entry})["model"]
    assert type(data_set).__module__ == f"{PACKAGE}.mlops.datasets"


def test_mlflow_yml_may_name_the_token_command_of_version_1(old_names: ModuleType) -> None:
    access = import_module(f"{PACKAGE}.mlops.backend.access")
    old = f"{PACKAGE}.tracking.token_command.TokenCommand"
    made = access.instantiate("server.type", old, object, {"command": "echo x"})
    assert type(made).__module__ == f"{PACKAGE}.mlops.backend.token_command"


def test_a_pickle_of_version_1_can_be_read(old_names: ModuleType) -> None:
    by_name = f"c{PACKAGE}.datasets\nSkopsDataset\n.".encode()
    assert pickle.loads(by_name) is import_module(f"{PACKAGE}.mlops.datasets").SkopsDataset


def test_the_code_of_a_registered_model_finds_its_plan_in_silence(
    old_names: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = import_module(f"{PACKAGE}.tracking.pipeline_model.plan")
    assert plan.InferencePlan is import_module(f"{PACKAGE}.mlops.model.plan").InferencePlan
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "current"),
    [
        (f"{PACKAGE}.datasets.SkopsDataset", f"{PACKAGE}.mlops.SkopsDataset"),
        (f"{PACKAGE}.mlops.SkopsDataset", f"{PACKAGE}.mlops.SkopsDataset"),
        ("another.datasets.SkopsDataset", "another.datasets.SkopsDataset"),
        ("pandas.CSVDataset", "pandas.CSVDataset"),
    ],
)
def test_a_models_entry_has_a_current_name(
    name: str, current: str, old_names: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old_names.current_name(name) == current
    assert capsys.readouterr().err == ""


def test_a_models_data_set_is_made_in_silence(
    old_names: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make = import_module(f"{PACKAGE}.mlops.model.plan").dataset_at
    made = make("model", {"type": f"{PACKAGE}.datasets.SkopsDataset"}, tmp_path / "x.skops")
    assert type(made) is import_module(f"{PACKAGE}.mlops.datasets").SkopsDataset
    assert capsys.readouterr().err == ""


def test_a_worker_process_says_nothing(
    old_names: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("multiprocessing.parent_process", object)
    load_obj(f"{PACKAGE}.tracking.MlflowHook")
    assert capsys.readouterr().err == ""


def test_importing_the_package_says_and_imports_nothing(
    old_names: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = {name for name in sys.modules if name.startswith(f"{PACKAGE}.mlops.")}
    assert imported == {f"{PACKAGE}.mlops.old_names"}
    assert capsys.readouterr().err == ""


def test_what_was_never_there_is_still_an_error(old_names: ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError, match=rf"No module named '{PACKAGE}\.tracking\.wrong'"):
        import_module(f"{PACKAGE}.tracking.wrong")
    with pytest.raises(AttributeError, match="has no attribute 'Wrong'"):
        load_obj(f"{PACKAGE}.tracking.Wrong")


# --- what is there for real ---


def test_a_module_of_the_owners_comes_first(write: Write) -> None:
    write("datasets.py", "class SkopsDataset: ...\n")
    write("tracking/__init__.py", "class MlflowHook: ...\n")
    write("pipelines/validation.py", "def validated(): ...\n")
    import_module(PACKAGE)
    for name in ("datasets.SkopsDataset", "tracking.MlflowHook", "pipelines.validation.validated"):
        assert ".mlops" not in load_obj(f"{PACKAGE}.{name}").__module__


def test_what_python_leaves_of_a_folder_is_no_module(write: Write) -> None:
    write("tracking/__pycache__/hook.cpython-311.pyc", "")
    write("tracking/errors.py", "class TrackingError(Exception): ...  # edited, so kept\n")
    import_module(PACKAGE)
    for name in ("tracking.MlflowHook", "tracking.errors.TrackingError"):
        assert load_obj(f"{PACKAGE}.{name}").__module__.startswith(f"{PACKAGE}.mlops.")


def test_an_owners_file_in_an_old_folder_can_be_imported(write: Write) -> None:
    write("tracking/mine.py", "from .errors import TrackingError\n")
    mine = import_module(f"{PACKAGE}.tracking.mine")
    assert mine.TrackingError is import_module(f"{PACKAGE}.mlops.errors").TrackingError


def test_an_edited_file_that_an_update_has_kept_finds_what_is_gone(write: Write) -> None:
    write("tracking/__init__.py", of_version_1("tracking/__init__.py"))
    hook = import_module(f"{PACKAGE}.tracking").MlflowHook
    assert hook is import_module(f"{PACKAGE}.mlops.hook").MlflowHook
