"""The model: the whole inference pipeline, packaged as one MLflow model.

`packaging.py` writes it after a run that has fitted all of it; `pyfunc_code.py` is the code that
MLflow runs when it loads the model; `plan.py` runs the pipeline wherever the model is loaded;
`batch.py` lets `kedro run` score with a registered version; `card.py` writes the model card.
"""
