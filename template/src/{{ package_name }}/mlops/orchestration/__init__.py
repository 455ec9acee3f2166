"""One MLflow run over many tasks and machines: whoever runs nodes joins the run.

`begin.py` makes the run, each task is a `kedro run` with MLFLOW_RUN_ID, and `end.py` merges what
they have left with the run, registers its model and closes it. `tasks.py` says what to run in which
order: an orchestrator's own file is thin on top of it. `dask_runner.py` runs nodes on workers.
"""
