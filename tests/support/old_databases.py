"""Databases as older versions of MLflow have left them."""

from __future__ import annotations

import sqlalchemy
from alembic import command
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base

# The tables of MLflow 3.1 and of its users as they began.
RUNS_REVISION, USERS_REVISION = "cbc13b556ace", "8606fa83a998"


def age(uri: str) -> None:
    """Make the tables of an older MLflow in an empty database, with an experiment in them."""
    from mlflow.server.auth.db import utils as users  # Takes seconds.

    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config = utils._get_alembic_config(uri)
        config.attributes["connection"] = connection
        command.upgrade(config, RUNS_REVISION)
        connection.execute(
            sqlalchemy.text(
                "insert into experiments (experiment_id, name, artifact_location, lifecycle_stage) "
                "values (700000, 'from the past', 'mlflow-artifacts:/700000', 'active')"
            )
        )
    users.migrate(engine, USERS_REVISION)
    engine.dispose()


def revisions(uri: str) -> tuple[str, str]:
    """At which revisions the tables of the runs and of the users are."""
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        runs, of_users = (
            connection.execute(sqlalchemy.text(f"select version_num from {table}")).scalar_one()
            for table in ("alembic_version", "alembic_version_auth")
        )
    engine.dispose()
    return str(runs), str(of_users)
