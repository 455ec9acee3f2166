"""SkopsDataset: what is saved comes back, and what is not trusted is neither saved nor loaded."""

from fractions import Fraction
from importlib import import_module
from pathlib import Path

import pytest
import skops.io
from kedro.framework.project import PACKAGE_NAME
from kedro.io import DatasetError, Version
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

SkopsDataset = import_module(f"{PACKAGE_NAME}.mlops").SkopsDataset
TRUSTED = ["fractions.Fraction"]


@pytest.fixture
def untrusted() -> FunctionTransformer:
    """A transformer that holds a type skops does not know."""
    return FunctionTransformer(kw_args={"of": Fraction(1, 3)})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    data_set = SkopsDataset(filepath=str(tmp_path / "new folder" / "ridge.skops"))
    assert not data_set.exists()
    data_set.save(Ridge(alpha=3.0).fit([[0.0], [1.0]], [0.0, 1.0]))
    assert data_set.exists()
    assert data_set.load().alpha == 3.0


def test_versions_are_kept_apart(tmp_path: Path) -> None:
    path = str(tmp_path / "ridge.skops")
    for name, alpha in (("2026-01-01", 1.0), ("2026-01-02", 2.0)):
        SkopsDataset(filepath=path, version=Version(None, name)).save(Ridge(alpha=alpha))

    assert SkopsDataset(filepath=path, version=Version(None, None)).load().alpha == 2.0
    assert SkopsDataset(filepath=path, version=Version("2026-01-01", None)).load().alpha == 1.0


def test_an_untrusted_type_is_named_when_saved(
    tmp_path: Path, untrusted: FunctionTransformer
) -> None:
    path = tmp_path / "transformer.skops"
    with pytest.raises(DatasetError, match=r"add `trusted: \[fractions.Fraction\]`"):
        SkopsDataset(filepath=str(path)).save(untrusted)
    assert not path.exists()


def test_an_untrusted_type_is_named_when_loaded(
    tmp_path: Path, untrusted: FunctionTransformer
) -> None:
    path = tmp_path / "transformer.skops"
    skops.io.dump(untrusted, path)
    with pytest.raises(DatasetError, match=r"add `trusted: \[fractions.Fraction\]`"):
        SkopsDataset(filepath=str(path)).load()


def test_a_trusted_type_is_saved_and_loaded(tmp_path: Path, untrusted: FunctionTransformer) -> None:
    data_set = SkopsDataset(filepath=str(tmp_path / "transformer.skops"), trusted=TRUSTED)
    data_set.save(untrusted)
    assert data_set.load().kw_args == {"of": Fraction(1, 3)}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"ridge\.skops is not there\. Run the pipeline"):
        SkopsDataset(filepath=str(tmp_path / "ridge.skops")).load()
