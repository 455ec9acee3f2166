"""Nodes of the inference pipeline."""

from typing import Any

from pandas import DataFrame

from ..preparation import TARGET


def predict(features: DataFrame, regressor: Any) -> DataFrame:
    """Predict the target of each row: one column, of its name, and the same index."""
    return DataFrame({TARGET: regressor.predict(features)}, index=features.index)
