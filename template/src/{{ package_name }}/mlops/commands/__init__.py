"""The commands of `kedro mlflow`: one module a command, its name the module's."""
