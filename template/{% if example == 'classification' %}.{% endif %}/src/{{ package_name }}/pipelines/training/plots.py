"""Figures of the evaluation. They are drawn on `Figure` objects, never on pyplot's shared state."""

from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from ..inference.nodes import PROBABILITY
from ..preparation import TARGET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # Kedro resolves type hints at every start, and matplotlib takes long to import.
    Axes = Figure = Any

# Okabe and Ito's colours: dark enough on white, and seen with every kind of colour vision.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
INK, GREY, PALE = "#262626", "#5F5F5F", "#E3E3E3"
SIZE = (9, 5.4)
BINS = 5  # of the probabilities, all of the same width


def confusion_matrix_plot(test_records: DataFrame, test_predictions: DataFrame) -> Figure:
    """Draw how many test records of each class were predicted to be of each class."""
    import numpy as np
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    observed, predicted = test_records[TARGET], test_predictions[TARGET]
    names = sorted(set(observed) | set(predicted))
    counts = confusion_matrix(observed, predicted, labels=names)
    right = counts.trace()

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for place, count in np.ndenumerate(counts):
        axes.annotate(count, place[::-1], ha="center", va="center", fontsize=13, color=INK)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"Predicted {TARGET}")
    axes.set_ylabel(f"Observed {TARGET}")
    _title(
        axes,
        f"{right} of {len(observed)} test records are predicted right",
        "Each row is an observed class: what is beside the diagonal was taken for another one.",
    )
    _plain(axes)
    return figure


def calibration_plot(test_records: DataFrame, test_predictions: DataFrame) -> Figure:
    """Draw how often each class was right over how probable the model had said it was.

    Reliability diagram (Murphy and Winkler 1977), one class against all others, in bins of equal
    width. The area of a point is the number of its records.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1)
    for column, colour in zip(test_predictions.filter(like=PROBABILITY), COLOURS, strict=False):
        name = column.removeprefix(PROBABILITY)
        said = test_predictions[column]
        table = DataFrame({"said": said, "was": test_records[TARGET] == name})
        bins = table.groupby((said * BINS).astype(int).clip(upper=BINS - 1))
        points, sizes = bins.mean(), bins.size()
        axes.plot(points.said, points.was, color=colour, linewidth=1.5, alpha=0.5)
        axes.scatter(
            points.said,
            points.was,
            s=30 + 8 * sizes,
            color=colour,
            alpha=0.75,
            edgecolor="white",
            label=name,
        )
    axes.set_xlabel("Predicted probability")
    axes.set_ylabel("Share of the records that were of the class")
    axes.legend(frameon=False, loc="upper left", markerscale=0.5)
    _title(
        axes,
        "How far its probabilities can be trusted",
        f"On the line, what was said of {len(test_records)} test records came true as often. "
        "Larger points are more records.",
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
