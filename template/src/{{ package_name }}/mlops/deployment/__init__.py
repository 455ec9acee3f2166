"""`kedro mlflow deploy`: the serving target that mlflow.yml names, one module a target.

Each has a function ``plan``: it takes a `Deployment`, checks what can be checked beforehand, and
returns the steps.
"""
