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
                inputs=["patients", "params:split"],
                outputs=["train_patients", "test_patients"],
                name="split",
            ),
            node(
                preparation.fit_preparation,
                inputs="train_patients",
                outputs="preparation",
                name="fit_preparation",
            ),
            node(
                preparation.prepare,
                inputs=["train_patients", "preparation"],
                outputs="train_features",
                name="prepare_train",
            ),
            node(
                preparation.prepare,
                inputs=["test_patients", "preparation"],
                outputs="test_features",
                name="prepare_test",
            ),
            node(
                nodes.fit,
                inputs=["train_features", "train_patients", "params:model"],
                outputs="regressor",
                name="fit",
            ),
            node(
                inference.predict,
                inputs=["test_features", "regressor"],
                outputs="test_predictions",
                name="predict_test",
            ),
            node(
                nodes.evaluate,
                inputs=["test_patients", "test_predictions", "params:evaluation"],
                outputs="evaluation",
                name="evaluate",
            ),
            node(
                plots.residual_plot,
                inputs=["test_patients", "test_predictions"],
                outputs="residual_plot",
                name="plot_residuals",
            ),
            node(
                plots.feature_importance_plot,
                inputs=["regressor", "test_features", "test_patients", "params:importance"],
                outputs="feature_importance_plot",
                name="plot_feature_importance",
            ),
        ]
    )
