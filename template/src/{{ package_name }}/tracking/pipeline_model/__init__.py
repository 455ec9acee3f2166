"""The registered model is the whole inference pipeline.

`packaging.py` writes it, as an MLflow pyfunc from code, after a run that has fitted all of it;
`model.py` is that code, copied into the model; `plan.py` runs the pipeline wherever the model is
loaded, as the `steps.py` that its nodes are; `scoring.py` lets `kedro run --pipelines inference`
use what the registered model brings along.
"""
