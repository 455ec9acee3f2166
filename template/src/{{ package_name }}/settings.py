"""Settings of the Kedro project. Every option: https://docs.kedro.org/en/stable/configure/."""

import os
import warnings
from pathlib import Path

from .tracking import MlflowHook
from .tracking.requirements import filled_in

# Kedro 1.7 registers its resolvers by a name that OmegaConf 2.4 deprecates, at every command.
warnings.filterwarnings("ignore", r"\s*register_new_resolver\(\) is deprecated", UserWarning)

# Secrets come from the environment. A `.env` in the project's folder fills in what is not set
# there.
_dotenv = Path(__file__).parents[2] / ".env"
if _dotenv.is_file():
    from dotenv import load_dotenv

    load_dotenv(_dotenv, override=False)

# MLflow reports how it is used unless it is told not to; remove this line to let it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

HOOKS = (MlflowHook(),)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    # conf/staging/mlflow.yml, say, need only hold the keys that differ from those in base.
    "merge_strategy": {"mlflow": "soft"},
    # Kedro enables ${oc.env:NAME} for credentials alone; mlflow.yml needs it as well.
    "custom_resolvers": {"oc.env": filled_in},
}
