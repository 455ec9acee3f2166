"""Tuning: a search for better parameters, in which each trial is a Kedro run.

`options.py` reads tuning.yml, `space.py` checks it against the project and draws values,
`slicing.py` decides which nodes a trial runs, `trials.py` runs them in a warm process, `study.py`
keeps what was tried, `parent_run.py` shows it in MLflow, and `parameter_files.py` writes the best
values into the project. `search.py` holds it all together; `processes.py` adds processes of this
machine, and `dask_workers.py`, with `orchestrator=dask`, those of many.
"""
