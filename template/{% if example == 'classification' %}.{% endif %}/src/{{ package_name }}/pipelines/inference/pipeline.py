"""The inference pipeline: prepare, predict. Its catalog entry validates its input."""

from kedro.pipeline import Pipeline, node

from .. import preparation
from . import nodes


def create_pipeline() -> Pipeline:
    """Wire the nodes. The whole of it is packaged as the registered model."""
    return Pipeline(
        [
            node(
                preparation.prepare,
                inputs=["instances", "preparation"],
                outputs="features",
                name="prepare_instances",
            ),
            node(
                nodes.predict,
                inputs=["features", "classifier"],
                outputs="predictions",
                name="predict",
            ),
        ]
    )
