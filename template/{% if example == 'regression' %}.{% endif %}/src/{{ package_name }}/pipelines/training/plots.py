"""Figures of the evaluation. They are drawn on `Figure` objects, never on pyplot's shared state."""

from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from ..preparation import TARGET
from .parameters import Importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # Kedro resolves type hints at every start, and matplotlib takes long to import.
    Axes = Figure = Any

# Okabe and Ito's blue: dark enough on white, and seen with every kind of colour vision.
BLUE = "#0072B2"
INK, GREY, PALE = "#262626", "#5F5F5F", "#E3E3E3"
SIZE = (9, 5.4)


def residual_plot(test_records: DataFrame, test_predictions: DataFrame) -> Figure:
    """Draw measured minus predicted target of each test record over the prediction."""
    import numpy as np
    from matplotlib.figure import Figure

    predicted = test_predictions[TARGET]
    residuals = test_records[TARGET] - predicted
    rmse = float(np.sqrt((residuals**2).mean()))
    reach = 1.12 * max(float(residuals.abs().max()), 1.0)

    figure = Figure(figsize=SIZE, layout="constrained")
    scatter, distribution = figure.subplots(
        1, 2, sharey=True, gridspec_kw={"width_ratios": [5, 1], "wspace": 0.04}
    )
    scatter.axhspan(-rmse, rmse, color=BLUE, alpha=0.08, linewidth=0)
    scatter.axhline(0, color=INK, linewidth=1)
    scatter.scatter(predicted, residuals, s=42, color=BLUE, alpha=0.75, edgecolor="white")
    scatter.annotate(
        f"± RMSE = {rmse:.1f}",
        xy=(1, rmse),
        xycoords=("axes fraction", "data"),
        xytext=(-6, 5),
        textcoords="offset points",
        ha="right",
        color=BLUE,
    )
    scatter.set_ylim(-reach, reach)
    scatter.set_xlabel(f"Predicted {TARGET}")
    scatter.set_ylabel(f"Measured minus predicted {TARGET}")

    distribution.hist(
        residuals,
        bins=np.linspace(-reach, reach, 19),
        orientation="horizontal",
        color=BLUE,
        alpha=0.75,
        edgecolor="white",
    )
    distribution.axhline(0, color=INK, linewidth=1)
    distribution.set_xlabel("Records")
    _title(
        scatter,
        f"Errors on {len(residuals)} test records",
        f"Above the line the {TARGET} was higher than predicted, below it lower.",
    )
    for axes in (scatter, distribution):
        _plain(axes)
        axes.grid(axis="y", color=PALE, linewidth=0.8)
    distribution.tick_params(left=False)
    return figure


def feature_importance_plot(
    regressor: Any,
    test_features: DataFrame,
    test_records: DataFrame,
    parameters: Importance,
) -> Figure:
    """Draw how much the RMSE on the test records grows when one feature is shuffled.

    Permutation importance (Breiman 2001, "Random Forests", section 10), on records the regressor
    has not seen. Features that say the same, as the cholesterols do, share their importance.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from sklearn.inspection import permutation_importance

    importance = permutation_importance(
        regressor,
        test_features,
        test_records[TARGET],
        scoring="neg_root_mean_squared_error",
        n_repeats=parameters.repeats,
        random_state=parameters.seed,
    )
    order = np.argsort(importance.importances_mean)
    mean, spread = importance.importances_mean[order], importance.importances_std[order]
    names = [str(test_features.columns[i]).replace("_", " ") for i in order]

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(names))
    axes.axvline(0, color=INK, linewidth=1)
    axes.hlines(rows, mean - spread, mean + spread, color=BLUE, linewidth=3, alpha=0.35)
    axes.scatter(mean, rows, s=64, color=BLUE, edgecolor="white", zorder=3)
    axes.set_yticks(rows, names)
    axes.tick_params(axis="y", left=False)
    axes.set_xlabel(f"Growth of the RMSE, mean ± sd of {parameters.repeats} shuffles")
    _title(
        axes,
        "What the predictions rest on",
        f"How much worse {len(test_features)} test records are predicted when a feature is "
        "shuffled.",
    )
    _plain(axes)
    axes.grid(axis="both", color=PALE, linewidth=0.8)
    return figure


def _title(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title, loc="left", pad=30, fontsize=15, color=INK)
    axes.annotate(
        subtitle,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 12),
        textcoords="offset points",
        fontsize=10.5,
        color=GREY,
    )


def _plain(axes: Axes) -> None:
    """Take away the frame; keep the data."""
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=GREY, labelcolor=INK, length=0)
