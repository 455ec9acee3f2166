"""Names for type hints that cost nothing at run time.

Kedro resolves every node's hints when it looks for typed parameters, so the names in them must
exist. Importing pandas, scikit-learn and matplotlib for that alone would add more than a second
to `kedro registry list`; the functions that need them import them when they run.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series
    from sklearn.base import RegressorMixin
    from sklearn.preprocessing import StandardScaler
else:
    Axes = DataFrame = Figure = RegressorMixin = Series = StandardScaler = Any

__all__ = ["Axes", "DataFrame", "Figure", "RegressorMixin", "Series", "StandardScaler"]
