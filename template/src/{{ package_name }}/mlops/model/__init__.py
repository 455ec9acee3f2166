"""The model: the whole inference pipeline, packaged as one MLflow model.

`packaging.py` writes it after a run that has fitted all of it; `pyfunc_code.py` is the code that
MLflow runs when it loads the model; `plan.py` runs the pipeline wherever the model is loaded.
`parts.py` finds the data sets that go along, `own_code.py` the owner's modules, and `frozen.py`
what has changed since. `schema.py` says what the input is, in words of `columns.py` and
`frames.py`, read by `inferred_schema.py` from what `training_tables.py` has seen; `predictions.py`
writes the output. `batch.py` lets `kedro run` score with a registered version. Versions run beside
each other in processes of their own: `own_process.py` starts `predict.py`, `environment.py` says
what they see of the environment, and `transfer.py` writes and reads what goes from one to the
other. `card.py` writes the model card, `example.py` the row that a model shows.
"""
