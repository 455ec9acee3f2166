"""Nodes of the training pipeline."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pandas import DataFrame, Series

from ..preparation import GROUPS, TARGET
from .parameters import Model, Split

# R2 compares with the mean of the group, which one row does not have.
FEWEST_FOR_R2 = 2


def split(records: DataFrame, parameters: Split) -> list[DataFrame]:
    """Divide the records at random into [training, test]; the same seed gives the same split."""
    from sklearn.model_selection import train_test_split

    parts: list[DataFrame] = train_test_split(
        records, test_size=parameters.test_fraction, random_state=parameters.seed
    )
    return parts


def fit(train_features: DataFrame, train_records: DataFrame, parameters: Model) -> Any:
    """Fit a regression of the target on the features, of the family that `kind` names."""
    return _regressor(parameters).fit(train_features, train_records[TARGET])


def _regressor(parameters: Model) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge

    trees = {
        "n_estimators": parameters.trees,
        "max_depth": parameters.depth,
        "random_state": parameters.seed,
    }
    if parameters.kind == "forest":
        return RandomForestRegressor(**trees)
    if parameters.kind == "boosting":
        return GradientBoostingRegressor(**trees, learning_rate=parameters.learning_rate)
    return Ridge(alpha=parameters.alpha)


def evaluate(test_records: DataFrame, test_predictions: DataFrame) -> dict[str, Any]:
    """Measure the errors on the test records, over all and within each group.

    Returns:
        `rmse` and `mae` (in units of the target), `r2` and the number of `rows`, and the same
        below one key per group: `sex_1`, `age_under_40`. A group of one has no `r2`.
    """
    measured, predicted = test_records[TARGET], test_predictions[TARGET]
    groups = {
        name: _errors(measured[members], predicted[members])
        for name, members in _groups(test_records)
    }
    return {**_errors(measured, predicted), **groups}


def _errors(measured: Series, predicted: Series) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    errors = {
        "rmse": float(root_mean_squared_error(measured, predicted)),
        "mae": float(mean_absolute_error(measured, predicted)),
        "rows": float(len(measured)),
    }
    if len(measured) >= FEWEST_FOR_R2:
        errors["r2"] = float(r2_score(measured, predicted))
    return errors


def _groups(rows: DataFrame) -> Iterator[tuple[str, Series]]:
    """Name each group that has members, and mark them: by the values of a column or by bands."""
    import pandas as pd

    for column, bands in GROUPS.items():
        values = rows[column]
        if bands:
            between = [f"{low:g}_to_{high:g}" for low, high in pairwise(bands)]
            names = [f"under_{bands[0]:g}", *between, f"{bands[-1]:g}_and_over"]
            limits = [-float("inf"), *bands, float("inf")]
            values = pd.cut(values, limits, labels=names, right=False)
        texts = values.astype(object).where(values.notna(), "missing").astype(str)
        texts = texts.str.removesuffix(".0")
        for name in sorted(set(texts)):
            yield f"{column}_{name}", texts == name
