"""The validator of the input, as its catalog entry declares it and the catalog applies it."""

import logging
from typing import Any

from kedro.validation import DataValidationError, ValidatorSpec, resolve_validator

logger = logging.getLogger(__name__)


class DeclaredValidator:
    """Checks the rows of a data set as loading it would."""

    def __init__(self, name: str, spec: ValidatorSpec) -> None:
        """Take what is declared.

        Args:
            name: the data set.
            spec: its entry's `validator:`.
        """
        self._name = name
        self._spec = spec
        self._validator = resolve_validator(spec)

    @classmethod
    def of(cls, name: str, declared: Any) -> "DeclaredValidator | None":
        """Make it of a catalog entry's `validator:`; none when loading would check nothing."""
        if not declared:
            return None
        spec = ValidatorSpec.from_dataset_config(name, declared)
        return cls(name, spec) if spec.enabled and "load" in spec.on else None

    def validate(self, rows: Any) -> Any:
        """Return the rows as the validator returns them.

        Raises:
            DataValidationError: it refuses them, and is not declared to warn alone.
        """
        try:
            return self._validator.validate(rows)
        except DataValidationError as error:
            return self._refused(error, rows)
        except Exception as error:  # Whatever a validator raises is its verdict.
            return self._refused(DataValidationError(str(error)), rows)

    def _refused(self, error: DataValidationError, rows: Any) -> Any:
        error.dataset_name = self._name
        error.validator = error.validator or self._spec.class_path
        if self._spec.severity == "warn":
            logger.warning("%s", error)
            return rows
        raise error
