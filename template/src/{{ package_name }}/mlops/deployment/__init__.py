"""`kedro mlflow deploy`: one module per serving target.

Each has a function ``plan``, which takes a `Deployment`, checks what can be checked beforehand, and
returns the steps; one that can go back has ``rollback``.
"""
