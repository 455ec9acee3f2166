"""The model: the whole inference pipeline, packaged as one MLflow model.

`packaging.py` writes it after a run that has fitted all of it; `pyfunc_code.py` is the code that
MLflow runs when it loads the model; `plan.py` runs the pipeline wherever the model is loaded;
`schema.py` says what its input is, in words of `columns.py` and `frames.py`, read by
`inferred_schema.py` from what `training_tables.py` has seen; `predictions.py` writes its output;
`batch.py` lets `kedro run` score with a registered version; `card.py` writes the model card.
Versions run beside each other in processes of their own: `own_process.py` starts `predict.py`, and
`transfer.py` writes and reads what goes from one to the other.
"""
