"""What `kedro mlflow doctor` looks at: a module a subject, the order in `diagnosis`."""
