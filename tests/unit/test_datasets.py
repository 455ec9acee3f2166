"""SkopsDataset: what is saved comes back, and what is not trusted is not loaded by other runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError, Version
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    isotonic,
    linear_model,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    random_projection,
    svm,
    tree,
)
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from tests.support.rooms import Rooms

TRUSTED = ["fractions.Fraction"]

TABLE = pd.DataFrame(
    {
        "age": [*np.linspace(20.0, 80.0, 29), np.nan],
        "weight": np.sqrt(np.arange(30.0)),
        "town": ["Bern", "Oslo", None] * 10,
    }
)
CLASSES = np.arange(30) % 2
NUMBERS = ["age", "weight"]


class Clip(BaseEstimator):
    """A transformer of the owner's own."""

    def fit(self, X: Any, y: Any = None) -> Clip:  # noqa: N803
        self.top_ = 60.0
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return np.minimum(X, self.top_)


def columns() -> Any:
    """Return what makes numbers of a table of mixed types with gaps."""
    towns = make_pipeline(
        impute.SimpleImputer(strategy="most_frequent"),
        preprocessing.OneHotEncoder(handle_unknown="ignore"),
    )
    numbers = make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    return compose.ColumnTransformer(
        [("numbers", numbers, NUMBERS), ("towns", towns, ["town"])], sparse_threshold=0.0
    )


def booster(library: str, name: str, **options: Any) -> Any:
    return getattr(pytest.importorskip(library), name)(n_estimators=3, **options)


ESTIMATORS: dict[str, Callable[[], Any]] = {
    "ridge": linear_model.Ridge,
    "logistic": linear_model.LogisticRegression,
    "tweedie": lambda: linear_model.TweedieRegressor(power=1.5),
    "sgd": lambda: linear_model.SGDClassifier(random_state=0),
    "tree": tree.DecisionTreeClassifier,
    "forest": lambda: ensemble.RandomForestClassifier(3),
    "extra trees": lambda: ensemble.ExtraTreesRegressor(3),
    "isolation": lambda: ensemble.IsolationForest(n_estimators=3),
    "bagging": lambda: ensemble.BaggingRegressor(n_estimators=3),
    "ada boost": lambda: ensemble.AdaBoostClassifier(n_estimators=3),
    "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=3),
    "histograms": lambda: ensemble.HistGradientBoostingClassifier(max_iter=3),
    "histogram regressor": lambda: ensemble.HistGradientBoostingRegressor(max_iter=3),
    "voting": lambda: ensemble.VotingClassifier([("a", tree.DecisionTreeClassifier())]),
    "stacking": lambda: ensemble.StackingClassifier([("a", tree.DecisionTreeClassifier())], cv=2),
    "nearest": lambda: neighbors.KNeighborsClassifier(3),
    "nearest by haversine": lambda: neighbors.KNeighborsRegressor(3, algorithm="ball_tree"),
    "vectors": svm.SVC,
    "network": lambda: neural_network.MLPClassifier((4,), max_iter=5),
    "process": gaussian_process.GaussianProcessRegressor,
    "bayes": naive_bayes.GaussianNB,
    "calibrated": lambda: calibration.CalibratedClassifierCV(tree.DecisionTreeClassifier(), cv=2),
    "search": lambda: model_selection.GridSearchCV(
        tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, scoring="f1", cv=2
    ),
    "best columns": lambda: make_pipeline(
        feature_selection.SelectKBest(feature_selection.f_classif, k=1), Ridge()
    ),
    "splines": lambda: make_pipeline(preprocessing.SplineTransformer(), Ridge()),
    "bins": lambda: make_pipeline(preprocessing.KBinsDiscretizer(3), Ridge()),
    "logarithm": lambda: make_pipeline(FunctionTransformer(np.tanh), Ridge()),
    "components": lambda: make_pipeline(
        make_union(decomposition.PCA(1), random_projection.SparseRandomProjection(1)), Ridge()
    ),
    "clusters": lambda: cluster.KMeans(2, n_init=1),
    "xgboost": lambda: booster("xgboost", "XGBClassifier"),
    "xgboost regressor": lambda: booster("xgboost", "XGBRegressor"),
    "lightgbm": lambda: booster("lightgbm", "LGBMClassifier", verbose=-1),
    "lightgbm regressor": lambda: booster("lightgbm", "LGBMRegressor", verbose=-1),
}


@pytest.fixture
def skops_dataset(mlops: Rooms) -> Any:
    return mlops("datasets").SkopsDataset


def skops_io() -> Any:
    """Imported when a test asks for it: it takes seconds."""
    return import_module("skops.io")


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
    skops_io().dump(untrusted(), path)
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
    skops_io().dump(Ridge(), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DatasetError, match=rf"ridge\.skops is not a whole .* \({size} bytes\)\."):
        skops_dataset(filepath=str(path)).load()


def test_what_cannot_be_saved_leaves_the_file_as_it_was(skops_dataset: Any, tmp_path: Path) -> None:
    path = tmp_path / "ridge.skops"
    data_set = skops_dataset(filepath=str(path))
    with pytest.raises(DatasetError, match="Birch"):
        data_set.save(cluster.Birch())
    assert not path.exists()
    data_set.save(Ridge(alpha=3.0))
    before = path.read_bytes()
    with pytest.raises(DatasetError, match="Birch"):
        data_set.save(cluster.Birch())
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_of_the_usual_libraries_come_back_and_predict_the_same(
    skops_dataset: Any, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_pipeline(columns(), ESTIMATORS[name]())
    model.fit(TABLE, CLASSES)
    path = str(tmp_path / "model.skops")
    skops_dataset(filepath=path).save(model)
    assert not caplog.records
    np.testing.assert_array_equal(
        skops_dataset(filepath=path).load().predict(TABLE), model.predict(TABLE)
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: preprocessing.OneHotEncoder().fit_transform([["a"]]), id="sparse"),
        pytest.param(isotonic.IsotonicRegression, id="not fitted"),
        pytest.param(lambda: {"a": np.float32(1), "rng": np.random.default_rng(0)}, id="numpy"),
    ],
)
def test_what_estimators_are_made_of_comes_back(
    skops_dataset: Any, tmp_path: Path, data: Callable[[], Any]
) -> None:
    path, saved = str(tmp_path / "part.skops"), data()
    skops_dataset(filepath=path).save(saved)
    assert type(skops_dataset(filepath=path).load()) is type(saved)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_alone_comes_back(skops_dataset: Any, tmp_path: Path, library: str) -> None:
    kind = {"xgboost": "XGBRegressor", "lightgbm": "LGBMRegressor"}[library]
    model = booster(library, kind).fit(TABLE[NUMBERS], CLASSES)
    alone = model.get_booster() if library == "xgboost" else model.booster_
    path = str(tmp_path / "booster.skops")
    skops_dataset(filepath=path).save(alone)
    assert type(skops_dataset(filepath=path).load()) is type(alone)


@pytest.mark.parametrize(
    ("make", "trusted", "advice"),
    [
        pytest.param(untrusted, [], "add `trusted: [fractions.Fraction]` to its entry", id="type"),
        pytest.param(
            lambda: make_pipeline(Clip(), Ridge()),
            TRUSTED,
            f"add `trusted: [fractions.Fraction, {__name__}.Clip]`",
            id="own class",
        ),
        pytest.param(
            lambda: FunctionTransformer(json.dumps), [], "`trusted: [json.dumps]`", id="function"
        ),
        pytest.param(
            lambda: FunctionTransformer(lambda rows: rows),
            [],
            "a lambda, or what a function defines, has no name",
            id="lambda",
        ),
    ],
)
def test_what_is_not_trusted_is_saved_and_loaded_by_its_own_run_alone(
    skops_dataset: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[], Any],
    trusted: list[str],
    advice: str,
) -> None:
    options = {"filepath": str(tmp_path / "own.skops"), "trusted": trusted}
    data_set, saved = skops_dataset(**options), make()
    data_set.save(saved)
    (record,) = caplog.records
    assert advice in record.message
    assert "own.skops" in record.message
    loaded = data_set.load()
    assert type(loaded) is type(saved)
    assert loaded is not saved
    with pytest.raises(DatasetError) as refusal:
        skops_dataset(**options).load()
    assert advice in str(refusal.value)
    # What somebody else has put there meanwhile is not what was saved.
    skops_io().dump(untrusted(), tmp_path / "own.skops")
    if not trusted:
        with pytest.raises(DatasetError, match=r"fractions\.Fraction"):
            data_set.load()


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "functools.partial",
        "lightgbm.basic.Dataset",
        "numpy.memmap",
        "numpy.save",
        "numpy.testing._private.utils.runstring",
        "operator.methodcaller",
        "os.system",
        "scipy.io._netcdf.netcdf_file",
        "scipy.sparse._csr.os",
        "scipy.stats._continuous_distns.norm_gen",  # It executes a text that it holds.
        "sklearn.datasets._base.load_files",
        "sklearn.metrics._classification.np",
        "sklearn.metrics._scorer.partial",  # Imported there.
        "sklearn.model_selection._search.clone",
        "sklearn.tree._classes.DecisionTreeClassifier.fit",
        "sklearn.tree._classes.Nothing",
        "sklearn.tree.tests.test_tree.X",
        "sklearn.utils._testing.ignore_warnings",
        "sklearn_of_a_stranger.tree.Tree",
        "xgboost.core.DMatrix",
    ],
)
def test_nothing_else_of_these_libraries_is_trusted(mlops: Rooms, name: str) -> None:
    assert not mlops("datasets").is_trusted(name)


def test_a_file_that_was_made_up_builds_nothing(skops_dataset: Any, tmp_path: Path) -> None:
    """`numpy.memmap` would empty a file when it is built."""
    victim = tmp_path / "victim"
    victim.write_text("precious", "utf-8")
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "is_json": True}
    arguments = [text | {"content": json.dumps(each)} for each in (str(victim), "uint8", "w+")]
    content = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    state = {"__class__": "memmap", "__module__": "numpy", "protocol": 2}
    state |= {"__loader__": "ConstructorFromReduceNode"}
    with ZipFile(tmp_path / "own.skops", "w") as file:
        whole = {**state, "content": {**content, "content": arguments}}
        file.writestr("schema.json", json.dumps(whole))
    with pytest.raises(DatasetError, match=r"numpy\.memmap"):
        skops_dataset(filepath=str(tmp_path / "own.skops")).load()
    assert victim.read_text("utf-8") == "precious"


def test_no_module_of_a_stranger_is_imported_to_ask(
    mlops: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = mlops("datasets")
    asked: list[str] = []
    monkeypatch.setattr(module, "import_module", asked.append)
    for name in ("this.that", "sklearn.conftest.x", "numpy.f2py.__main__.main", "os.system"):
        assert not module.is_trusted(name)
    assert not asked


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
