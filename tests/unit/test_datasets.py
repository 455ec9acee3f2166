"""SkopsDataset: what is saved comes back, and what is not trusted is neither saved nor loaded."""

from __future__ import annotations

import signal
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import skops.io
from kedro.io import DatasetError, Version
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

from tests.support.rooms import Rooms

TRUSTED = ["fractions.Fraction"]


@pytest.fixture
def skops_dataset(mlops: Rooms) -> Any:
    return mlops("datasets").SkopsDataset


def untrusted() -> FunctionTransformer:
    """A transformer that holds a type skops does not know."""
    return FunctionTransformer(kw_args={"of": Fraction(1, 3)})


def test_what_is_saved_comes_back(skops_dataset: Any, tmp_path: Path) -> None:
    data_set = skops_dataset(filepath=str(tmp_path / "new folder" / "ridge.skops"))
    assert not data_set.exists()
    data_set.save(Ridge(alpha=3.0).fit([[0.0], [1.0]], [0.0, 1.0]))
    assert data_set.exists()
    assert data_set.load().alpha == 3.0
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["ridge.skops"]


def test_it_may_be_on_any_file_system(skops_dataset: Any) -> None:
    data_set = skops_dataset(filepath="memory://models/ridge.skops")
    assert not data_set.exists()
    data_set.save(Ridge(alpha=3.0))
    assert data_set.exists()
    assert data_set.load().alpha == 3.0


def test_versions_are_kept_apart(skops_dataset: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "ridge.skops")
    assert not skops_dataset(filepath=path, version=Version(None, None)).exists()
    for name, alpha in (("2026-01-01", 1.0), ("2026-01-02", 2.0)):
        skops_dataset(filepath=path, version=Version(None, name)).save(Ridge(alpha=alpha))

    assert skops_dataset(filepath=path, version=Version(None, None)).load().alpha == 2.0
    assert skops_dataset(filepath=path, version=Version("2026-01-01", None)).load().alpha == 1.0


def test_an_untrusted_type_is_named_when_loaded(skops_dataset: Any, tmp_path: Path) -> None:
    path = tmp_path / "transformer.skops"
    skops.io.dump(untrusted(), path)
    with pytest.raises(DatasetError, match=r"add `trusted: \[fractions.Fraction\]`"):
        skops_dataset(filepath=str(path)).load()


def test_a_trusted_type_is_saved_and_loaded(skops_dataset: Any, tmp_path: Path) -> None:
    data_set = skops_dataset(filepath=str(tmp_path / "transformer.skops"), trusted=TRUSTED)
    data_set.save(untrusted())
    assert data_set.load().kw_args == {"of": Fraction(1, 3)}


def test_a_file_that_is_not_there_is_named(skops_dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"ridge\.skops is not there\. Run the pipeline"):
        skops_dataset(filepath=str(tmp_path / "ridge.skops")).load()


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_file_that_was_cut_is_named(skops_dataset: Any, tmp_path: Path, size: int) -> None:
    path = tmp_path / "ridge.skops"
    skops.io.dump(Ridge(), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DatasetError, match=rf"ridge\.skops is not a whole .* \({size} bytes\)\."):
        skops_dataset(filepath=str(path)).load()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (untrusted(), r"add `trusted: \[fractions.Fraction\]`"),
        (Lock(), "lock"),
    ],
    ids=["untrusted", "not serializable"],
)
def test_what_cannot_be_saved_leaves_the_file_as_it_was(
    skops_dataset: Any, tmp_path: Path, wrong: Any, error: str
) -> None:
    path = tmp_path / "ridge.skops"
    data_set = skops_dataset(filepath=str(path))
    with pytest.raises(DatasetError, match=error):
        data_set.save(wrong)
    assert not path.exists()
    data_set.save(Ridge(alpha=3.0))
    before = path.read_bytes()
    with pytest.raises(DatasetError, match=error):
        data_set.save(wrong)
    assert path.read_bytes() == before


def test_a_disk_that_is_full_leaves_the_file_as_it_was(skops_dataset: Any, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "array.skops"
    data_set = skops_dataset(filepath=str(path))
    data_set.save(np.zeros(10))
    before = path.read_bytes()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DatasetError, match="File too large"):
            data_set.save(np.random.default_rng(0).normal(size=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(skops_dataset: Any, tmp_path: Path) -> None:
    (tmp_path / "real.skops").touch()
    link = tmp_path / "ridge.skops"
    link.symlink_to(tmp_path / "real.skops")
    skops_dataset(filepath=str(link)).save(Ridge(alpha=3.0))
    assert link.is_symlink()
    assert skops_dataset(filepath=str(tmp_path / "real.skops")).load().alpha == 3.0
