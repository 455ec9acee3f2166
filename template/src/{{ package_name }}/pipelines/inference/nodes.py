"""Nodes of the inference pipeline."""

from typing import Any

import pandas as pd

from ..preparation import TARGET


def predict(features: pd.DataFrame, regressor: Any) -> pd.DataFrame:
    """Predict the progression of each patient: one column, `progression`, and the same index."""
    return pd.DataFrame({TARGET: regressor.predict(features)}, index=features.index)
