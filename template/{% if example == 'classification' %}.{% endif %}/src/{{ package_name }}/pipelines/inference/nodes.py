"""Nodes of the inference pipeline."""

from typing import Any

from pandas import DataFrame

from ..preparation import TARGET

# What the column of a class's probability is called, before the class's name.
PROBABILITY = "probability_"


def predict(features: DataFrame, classifier: Any) -> DataFrame:
    """Predict the class of each row and the probability of every class, with the same index."""
    probabilities = classifier.predict_proba(features)
    columns = {TARGET: classifier.classes_[probabilities.argmax(axis=1)]}
    for name, values in zip(classifier.classes_, probabilities.T, strict=True):
        columns[f"{PROBABILITY}{name}"] = values
    return DataFrame(columns, index=features.index)
