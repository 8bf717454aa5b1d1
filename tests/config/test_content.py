"""Whether contents leave: keyword, then OpenTelemetry's variable, else no; what is odd is said once, and means less, never more."""

from __future__ import annotations

from typing import Any

import pytest

from otel_phi.config import resolve
from otel_phi.config.content import VARIABLE
from otel_phi.errors import ConfigError


def test_by_default_nothing_leaves() -> None:
    assert resolve().capture_content is False


@pytest.mark.parametrize(
    ("value", "captured", "said"),
    [
        ("SPAN_ONLY", True, ""),
        ("span_only", True, ""),
        ("NO_CONTENT", False, ""),
        ("true", True, "older spelling"),
        ("SPAN_AND_EVENT", True, "no events are sent"),
        ("EVENT_ONLY", False, "no events are sent"),
        ("false", False, ""),
        ("everything", False, "it is ignored"),
        ("", False, ""),
    ],
)
def test_the_variable_is_open_telemetrys_own(
    value: str, captured: bool, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert resolve().capture_content is captured
    assert (said in caplog.text) if said else not caplog.records
    assert resolve(capture_content=not captured).capture_content is not captured


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"capture_content": "perhaps"}, "use True or SPAN_ONLY"),
        ({"capture_content": 1}, "True, False"),
        ({"content_input": "half"}, "use 'delta'"),
        ({"content_images": "yes"}, "True or False"),
        ({"redact": "a text"}, "a function"),
        ({"redact_keys": "a_key"}, "a list of names"),
        ({"redact_patterns": ["("]}, "pattern 1 is no regular expression"),
        ({"redact_patterns": "x"}, "a list of regular expressions"),
        ({"redact_defaults": 0}, "True or False"),
        ({"capture_content": True, "max_attribute_bytes": 255}, "256 or more"),
    ],
)
def test_a_keyword_that_cannot_be_is_an_error_with_the_fix(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        resolve(**options)


def test_the_keywords_arrive() -> None:
    found = resolve(
        capture_content="SPAN_ONLY",
        content_input="full",
        content_images=True,
        redact=lambda text, where: text,
        redact_keys=["one"],
        redact_patterns={"Two!": "2+"},
        redact_defaults=False,
    ).content
    assert (found.capture, found.input_mode, found.images, found.redact_keys) == (True, "full", True, ("one",))
    assert [(kind, pattern.pattern) for kind, pattern in found.redact_patterns] == [("two_", "2+")]
    assert (found.redact is not None, found.redact_defaults) == (True, False)
