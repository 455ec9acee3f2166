"""The inference pipeline. Its catalog entry validates its input."""

from kedro.pipeline import Pipeline, node

from . import nodes


def create_pipeline() -> Pipeline:
    """Wire the nodes. The whole of it is packaged as the registered model."""
    return Pipeline(
        [
            node(
                nodes.predict, inputs=["instances", "model"], outputs="predictions", name="predict"
            ),
        ]
    )
