"""Keeps other libraries' reports of normal events off the screen."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def quieten_mlflow() -> None:
    """Let MLflow report nothing but warnings."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # Environments made by uv hold no pip, which MLflow misses each time it saves a model.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    # What a database refuses is raised as well, and told by who has asked.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


@contextmanager
def muted(logger_name: str) -> Iterator[None]:
    """Keep a logger of another library silent, errors aside."""
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
