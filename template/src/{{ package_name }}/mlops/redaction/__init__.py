"""Redaction: keeps secrets out of what is written, logged, shown or raised.

A secret is known by its name (`names`), by where it is in a text (`texts`), or by its value
(`values`): those of the environment, of parameters, of credentials.yml and of the catalog.
"""

from .leaving import mask_error, redacted_log
from .values import (
    KNOWN,
    MASK,
    Patterns,
    credential_values,
    is_secret,
    mask,
    mask_leaves,
    mask_text,
    secret_values,
)

__all__ = [
    "KNOWN",
    "MASK",
    "Patterns",
    "credential_values",
    "is_secret",
    "mask",
    "mask_error",
    "mask_leaves",
    "mask_text",
    "redacted_log",
    "secret_values",
]
