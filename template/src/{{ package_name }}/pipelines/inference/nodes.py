"""Nodes of the inference pipeline."""

from ..hints import DataFrame, RegressorMixin
from ..preparation import TARGET


def predict(features: DataFrame, regressor: RegressorMixin) -> DataFrame:
    """Predict the progression of each patient: one column, `progression`, and the same index."""
    import pandas as pd

    return pd.DataFrame({TARGET: regressor.predict(features)}, index=features.index)
