"""The training pipeline: split, prepare, fit, evaluate. Its catalog entry validates its input."""

from kedro.pipeline import Pipeline, node

from .. import preparation
from ..inference import nodes as inference
from . import nodes, plots


def create_pipeline() -> Pipeline:
    """Wire the nodes. `prepare` and `predict` are the ones inference uses."""
    return Pipeline(
        [
            node(
                nodes.split,
                inputs=["records", "params:split"],
                outputs=["train_records", "test_records"],
                name="split",
            ),
            node(
                preparation.fit_preparation,
                inputs="train_records",
                outputs="preparation",
                name="fit_preparation",
            ),
            node(
                preparation.prepare,
                inputs=["train_records", "preparation"],
                outputs="train_features",
                name="prepare_train",
            ),
            node(
                preparation.prepare,
                inputs=["test_records", "preparation"],
                outputs="test_features",
                name="prepare_test",
            ),
            node(
                nodes.fit,
                inputs=["train_features", "train_records", "params:model"],
                outputs="classifier",
                name="fit",
            ),
            node(
                inference.predict,
                inputs=["test_features", "classifier"],
                outputs="test_predictions",
                name="predict_test",
            ),
            node(
                nodes.evaluate,
                inputs=["test_records", "test_predictions", "params:evaluation"],
                outputs="evaluation",
                name="evaluate",
            ),
            node(
                plots.confusion_matrix_plot,
                inputs=["test_records", "test_predictions"],
                outputs="confusion_matrix_plot",
                name="plot_confusion_matrix",
            ),
            node(
                plots.calibration_plot,
                inputs=["test_records", "test_predictions"],
                outputs="calibration_plot",
                name="plot_calibration",
            ),
        ]
    )
