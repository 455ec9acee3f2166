"""Nodes of the training pipeline."""

from collections.abc import Iterator
from typing import Any

from pandas import DataFrame, Series

from ..preparation import GROUPS, TARGET
from .parameters import Evaluation, Model, Split


def split(records: DataFrame, parameters: Split) -> list[DataFrame]:
    """Divide the records at random into [training, test], with the same share of each class."""
    from sklearn.model_selection import train_test_split

    parts: list[DataFrame] = train_test_split(
        records,
        test_size=parameters.test_fraction,
        random_state=parameters.seed,
        stratify=records[TARGET],
    )
    return parts


def fit(train_features: DataFrame, train_records: DataFrame, parameters: Model) -> Any:
    """Fit a classifier of the target on the features, of the family that `kind` names."""
    return _classifier(parameters).fit(train_features, train_records[TARGET])


def _classifier(parameters: Model) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    trees = {
        "n_estimators": parameters.trees,
        "max_depth": parameters.depth,
        "random_state": parameters.seed,
    }
    if parameters.kind == "forest":
        return RandomForestClassifier(**trees)
    if parameters.kind == "logistic":
        return LogisticRegression(C=parameters.strength, max_iter=5000)
    return GradientBoostingClassifier(**trees, learning_rate=parameters.learning_rate)


def evaluate(
    test_records: DataFrame, test_predictions: DataFrame, parameters: Evaluation
) -> dict[str, Any]:
    """Measure the predictions of the test records, over all and within each group.

    Returns:
        `accuracy`, `f1` and the number of `rows`, and the same below one key per group:
        `sex_male`, `sex_missing`. Groups too small to say anything are left out.
    """
    observed, predicted = test_records[TARGET], test_predictions[TARGET]
    groups = {
        name: _measures(observed[members], predicted[members])
        for name, members in _groups(test_records)
        if members.sum() >= parameters.smallest_group
    }
    return {**_measures(observed, predicted), **groups}


def _measures(observed: Series, predicted: Series) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(observed, predicted)),
        # Each class counts by its rows: in a group of one class, one error is not half of the F1.
        "f1": float(f1_score(observed, predicted, average="weighted", zero_division=0)),
        "rows": float(len(observed)),
    }


def _groups(rows: DataFrame) -> Iterator[tuple[str, Series]]:
    """Name each group and mark its members; rows with a gap are a group as well."""
    for column in GROUPS:
        texts = rows[column].astype(object).where(rows[column].notna(), "missing").astype(str)
        for name in sorted(set(texts)):
            yield f"{column}_{name}", texts == name
