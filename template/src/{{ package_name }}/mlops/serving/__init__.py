"""The HTTP server that `kedro mlflow serve` starts.

The command's process is the supervisor (`supervisor.py`): it finds the model, binds the address,
starts worker processes (`process.py`) and counts for all of them (`metrics.py`). Each worker is the
program `server.py`, in which the project's package is never imported, because the model brings the
one it was trained with. It loads one version (`worker.py`, `model.py`, `loading.py`) and answers
requests with it (`app.py`, `body.py`): MLflow's scoring protocol (`scoring.py`) and KServe's
(`inference.py`), both read into a table of the model's columns (`table.py`, `signature.py`). All of
that goes without MLflow, whose import would double the time that it takes.
"""
