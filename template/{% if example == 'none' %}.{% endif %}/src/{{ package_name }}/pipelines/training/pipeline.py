"""The training pipeline: split, fit, evaluate. Its catalog entry validates its input."""

from kedro.pipeline import Pipeline, node

from ..inference import nodes as inference
from . import nodes


def create_pipeline() -> Pipeline:
    """Wire the nodes. `predict` is the one that inference uses."""
    return Pipeline(
        [
            node(
                nodes.split,
                inputs=["records", "params:split"],
                outputs=["train_records", "test_records"],
                name="split",
            ),
            node(nodes.fit, inputs="train_records", outputs="model", name="fit"),
            node(
                inference.predict,
                inputs=["test_records", "model"],
                outputs="test_predictions",
                name="predict_test",
            ),
            node(
                nodes.evaluate,
                inputs=["test_records", "test_predictions"],
                outputs="evaluation",
                name="evaluate",
            ),
        ]
    )
