"""The pipelines of this project, by the names `kedro run --pipelines` knows them."""

from kedro.pipeline import Pipeline

from .pipelines import inference, training


def register_pipelines() -> dict[str, Pipeline]:
    """List the pipelines. `kedro run` alone trains."""
    pipelines = {
        "training": training.create_pipeline(),
        "inference": inference.create_pipeline(),
    }
    return {**pipelines, "__default__": pipelines["training"]}
