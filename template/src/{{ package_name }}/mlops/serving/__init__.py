"""The HTTP server that `kedro mlflow serve` starts.

    server.py           the supervisor, in the command's own process
    champion.py         the version to serve
    worker.py           the program of a worker, which never imports the project's package
    connections.py      how many connections there are, for how long, and what counts as HTTP
    app.py              answers requests: who may ask, how large they are
    cost.py             what a body may cost, before it is parsed
    mlflow_protocol.py  MLflow's routes, and the rows in a request
    v2_protocol.py      the same of KServe's protocol; rendered only for containers
    openapi.py          describes the model, for people and for generators of clients
    model.py            loads the model and predicts
    metrics.py          counts for Prometheus, in the workers
    exposition.py       shows them to it, in the supervisor

A worker does without MLflow: its import would double the time until the first answer.
"""
