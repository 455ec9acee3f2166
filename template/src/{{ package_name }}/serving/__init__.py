"""The server that `kedro mlflow serve` starts."""
