"""What a node reports while it works."""

from .active_run import current_scope


def report_metric(name: str, value: float, step: int) -> None:
    """Log a point of a metric's history from inside a node, such as the error after each epoch.

    In a trial of `kedro mlflow tune` whose metric this is, it ends the node if the trial is not
    worth going on. Outside a run it does nothing.
    """
    scope = current_scope()
    if scope and scope.progress:
        scope.progress.run.metric_reported(name, value, step, scope.namespace)
