"""Nodes of the training pipeline."""

from typing import Any

from pandas import DataFrame

from .parameters import Split


def split(records: DataFrame, parameters: Split) -> list[DataFrame]:
    """Divide the records at random into [training, test]; the same seed gives the same split."""
    test = records.sample(frac=parameters.test_fraction, random_state=parameters.seed)
    return [records.drop(test.index), test]


def fit(train_records: DataFrame) -> dict[str, Any]:
    """Fit a line through the records, by least squares."""
    x, y = train_records["x"], train_records["y"]
    slope = x.cov(y) / x.var()
    return {"slope": slope, "intercept": y.mean() - slope * x.mean()}


def evaluate(test_records: DataFrame, test_predictions: DataFrame) -> dict[str, float]:
    """Measure the error on the test records. What this returns becomes metrics of the run."""
    errors = test_predictions["y"] - test_records["y"]
    return {"rmse": float((errors**2).mean() ** 0.5), "rows": float(len(errors))}
