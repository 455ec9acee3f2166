"""Settings of the Kedro project. Every option: https://docs.kedro.org/en/stable/configure/."""

from .mlops import MlflowHook, environment_variable, load_environment

# Secrets come from the environment; `.env` in the project's folder fills in what is not set there.
load_environment()

HOOKS = (MlflowHook(),)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    # conf/staging/mlflow.yml, say, need only hold the keys that differ from those in base.
    "merge_strategy": {"mlflow": "soft"},
    # Kedro enables ${oc.env:NAME} for credentials alone; mlflow.yml needs it as well.
    "custom_resolvers": {"oc.env": environment_variable},
}
