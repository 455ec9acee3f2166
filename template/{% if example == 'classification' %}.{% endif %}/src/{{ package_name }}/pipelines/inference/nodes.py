"""Nodes of the inference pipeline."""

from typing import Any

from pandas import DataFrame

from ..preparation import TARGET

# What the column of a class's probability is called, before the class's name.
PROBABILITY = "probability_"


def predict(features: DataFrame, classifier: Any) -> DataFrame:
    """Predict the class of each row and the probability of every class, with the same index."""
    probabilities = DataFrame(
        classifier.predict_proba(features),
        index=features.index,
        columns=[f"{PROBABILITY}{name}" for name in classifier.classes_],
    )
    likeliest = classifier.classes_[probabilities.to_numpy().argmax(axis=1)]
    return DataFrame({TARGET: likeliest}, index=features.index).join(probabilities)
