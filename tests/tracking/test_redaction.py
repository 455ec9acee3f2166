"""The owner's own patterns mask as the usual names of secrets do."""

from __future__ import annotations

import pytest

from tests.tracking.conftest import Tracking

VALUES = {"customer_id": "CANARY", "deep": [{"customer_name": "CANARY"}], "password": "CANARY"}


def test_the_owners_patterns_mask_too(tracking: Tracking) -> None:
    patterns = tracking("config").parse_config({"redaction": {"patterns": ["^customer_"]}})
    masked = tracking("redaction").mask("", VALUES, patterns.redaction.patterns)
    assert masked == {
        "customer_id": "********",
        "deep": [{"customer_name": "********"}],
        "password": "********",
    }


def test_without_patterns_the_usual_names_alone_are_masked(tracking: Tracking) -> None:
    masked = tracking("redaction").mask("", VALUES)
    assert masked == VALUES | {"password": "********"}


def test_a_pattern_that_is_none_is_refused_by_its_place(tracking: Tracking) -> None:
    with pytest.raises(tracking("errors").TrackingError, match=r"redaction\.patterns\.0"):
        tracking("config").parse_config({"redaction": {"patterns": ["("]}})
