"""The schema of monitoring.yml: which groups are watched, and when data have drifted."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .statistics import share_above


class RuleOptions(BaseModel):
    """The most that a measure of a column may be; null is no rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    psi: float | None = Field(default=0.25, gt=0)
    missing: float | None = Field(default=0.05, ge=0, le=1)
    unseen: float | None = Field(default=0.05, ge=0, le=1)
    out_of_range: float | None = Field(default=0.05, ge=0, le=1)


class MonitoringOptions(BaseModel):
    """All of monitoring.yml; without the file, its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slices: list[str] = []
    chance: float = Field(default=0.01, gt=0, le=1)
    rules: RuleOptions = RuleOptions()
    columns: dict[str, RuleOptions] = {}

    @field_validator("rules", "columns", mode="before")
    @classmethod
    def _has_sections(cls, value: Any) -> Any:
        return {} if value is None else value

    def rules_of(self, column: str) -> RuleOptions:
        """Return the rules of a column: the general ones, but for what it has of its own."""
        own = self.columns.get(column, RuleOptions()).model_dump(exclude_unset=True)
        return self.rules.model_copy(update=own)

    def broken(
        self, column: str, measured: Mapping[str, float], before: Mapping[str, float], rows: int
    ) -> dict[str, float]:
        """Return the rules that the measures of a column break, with their limits.

        What chance explains breaks none: few rows never look like many. A share may be as much
        above that of the training, `before`.
        """
        found = {}
        for name, limit in self.rules_of(column):
            value = measured.get(name)
            if value is None or limit is None:
                continue
            most = limit if name == "psi" else min(limit + before.get(name, 0.0), 1.0)
            by_chance = measured["p_value"] if name == "psi" else share_above(value, rows, most)
            if value > most and by_chance <= self.chance:
                found[name] = limit
        return found
