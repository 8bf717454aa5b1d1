"""Whether contents may leave, and what is taken out of them first.

The variable is OpenTelemetry's own. It knows events, which we do not send: what asks for them too means spans alone, and says so once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from otel_phi.config.choices import Choices, report
from otel_phi.errors import ConfigError
from otel_phi.mapping.options import MappingOptions
from otel_phi.policy.options import SHORTEST_LIMIT, ContentOptions, compiled

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_MEANT: dict[str, bool] = {
    "no_content": False,
    "false": False,
    "off": False,
    "event_only": False,
    "span_only": True,
    "true": True,
    "on": True,
    "span_and_event": True,
}
_SAID = {
    "true": "'true' is an older spelling and means SPAN_ONLY: contents go on spans",
    "span_and_event": "no events are sent: SPAN_AND_EVENT means SPAN_ONLY, contents go on spans",
    "event_only": "no events are sent: EVENT_ONLY means NO_CONTENT, contents stay here",
}


def content_options(choices: Choices, mapping: MappingOptions) -> ContentOptions:
    """Settles what of contents may leave.

    Args:
        choices: keywords and environment.
        mapping: for the limit of an attribute.

    Raises:
        ConfigError: a keyword has a value that cannot be; the message holds the fix.
    """
    given = choices.given
    capture = _captures(choices)
    if capture and mapping.max_attribute_bytes < SHORTEST_LIMIT:
        raise ConfigError(
            f"max_attribute_bytes: {mapping.max_attribute_bytes} bytes hold no message; give {SHORTEST_LIMIT} or more with contents on"
        )
    return ContentOptions(
        capture=capture,
        input_mode=choices.choose("content_input", None, _mode, "delta"),
        images=bool(given.get("content_images", False)),
        redact=given.get("redact"),
        redact_keys=choices.choose("redact_keys", None, _keys, ()),
        redact_patterns=choices.choose("redact_patterns", None, _patterns, ()),
        redact_defaults=bool(given.get("redact_defaults", True)),
    )


def _captures(choices: Choices) -> bool:
    found = choices.variable(VARIABLE)
    if "capture_content" not in choices.given and found is not None and found[1].lower() in _SAID:
        report(VARIABLE, _SAID[found[1].lower()])
    return choices.choose("capture_content", found, _capture, False)


def _capture(value: bool | str) -> bool:
    meant = value if isinstance(value, bool) else _MEANT.get(str(value).lower())
    if meant is None:
        raise ConfigError(f"{value!r} is unknown: use True or SPAN_ONLY, False or NO_CONTENT")
    return meant


def _mode(value: str) -> Any:
    if value not in ("delta", "full"):
        raise ConfigError(f"{value!r} is unknown: use 'delta' for what is new in a request, 'full' for all of it")
    return value


def _keys(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(key, str) and key for key in value):
        raise ConfigError("give a list of names, such as ['employee_no']")
    return tuple(value)


def _patterns(value: Iterable[object] | Mapping[str, object]) -> Any:
    if isinstance(value, str | bytes):
        raise ConfigError("give a list of regular expressions, or a mapping of kinds to them")
    return compiled(value)
