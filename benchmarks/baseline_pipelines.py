"""The project's pipelines for kedro-mlflow; copied into the project in place of its own registry.

Its model checks no rows by itself: a node does it, with the same function.
"""

from pathlib import Path

from kedro.pipeline import Pipeline, node
from kedro_mlflow.pipeline import pipeline_ml_factory  # type: ignore[import-not-found]

from .pipelines import inference, training  # type: ignore[import-not-found]
from .pipelines.schemas import validate_instances  # type: ignore[import-not-found]


def register_pipelines() -> dict[str, Pipeline]:
    """List the training that logs its inference pipeline as a model, and the same without."""
    checked = Pipeline([node(validate_instances, "instances", "checked", name="validate")])
    predicting = Pipeline(inference.create_pipeline(), inputs={"instances": "checked"})
    with_model = pipeline_ml_factory(
        training=training.create_pipeline(),
        inference=checked + predicting,
        input_name="instances",
        log_model_kwargs={
            "name": "model",
            "signature": "auto",
            "code_paths": [str(Path(__file__).parent)],
        },
    )
    return {"__default__": with_model, "without_model": training.create_pipeline()}
