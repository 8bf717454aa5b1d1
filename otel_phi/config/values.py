"""Values of options: one pure function each, from what was written to what is meant.

Each raises ConfigError, a ValueError, with what was found and what to write. They serve keywords and environment alike.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from otel_phi.errors import ConfigError

Protocol = Literal["http/protobuf", "grpc"]
Sampler = Literal["always_on", "always_off"] | float
Strict = Literal["off", "log", "raise"]
_STRICT: dict[str, Strict] = {
    **dict.fromkeys(("0", "false", "off"), "off"),
    "log": "log",
    **dict.fromkeys(("1", "true", "raise"), "raise"),
}

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


_TYPES: dict[str, tuple[tuple[Any, ...], str]] = {
    **dict.fromkeys(
        ("endpoint", "service_name", "agent_name", "trace_namespace", "file", "destination_name"), ((str,), "a text")
    ),
    **dict.fromkeys(
        (
            "insecure",
            "join",
            "cost",
            "tool_spans",
            "source_info",
            "flush_on_sigterm",
            "content_images",
            "redact_defaults",
        ),
        ((bool,), "True or False"),
    ),
    "capture_content": ((bool, str), "True, False, 'SPAN_ONLY' or 'NO_CONTENT'"),
    "redact": ((Callable,), "a function that takes a text and its place, and returns a text"),
    "redact_keys": ((Iterable,), "a list of names"),
    "redact_patterns": ((Iterable,), "a list of regular expressions, or a mapping of kinds to them"),
    "state_dir": ((str, os.PathLike), "a path"),
    "prices": ((str, os.PathLike), "a path"),
    "strict": ((bool, str), "True, False or 'log'"),
    "attributes_for": ((Callable,), "a function that takes a session id and returns a dict"),
    "record": ((str, os.PathLike, Callable), "a path, or a function that takes a line"),
    "resource_attributes": ((Mapping,), "a mapping"),
    "max_attribute_bytes": ((int,), "a number of bytes above 0"),
}


def check_types(given: Mapping[str, object]) -> None:
    """Checks the types of keywords that nothing else looks at before they are used.

    Raises:
        ConfigError: one is of another type, or no value of its own.
    """
    for name, value in given.items():
        types, wanted = _TYPES.get(name, ((object,), ""))
        if not isinstance(value, types):
            raise ConfigError(f"{name}: {type(value).__name__} is not what it takes: give {wanted}")
        if isinstance(value, str | os.PathLike) and "\0" in os.fspath(value):
            raise ConfigError(f"{name}: there is a NUL character in it")
    if "max_attribute_bytes" in given:
        size(given["max_attribute_bytes"])  # type: ignore[arg-type]  # it was looked at


def protocol(text: str) -> Protocol:
    """Reads the protocol's name."""
    match str(text).lower():
        case "http/protobuf" | "http":
            return "http/protobuf"
        case "grpc":
            return "grpc"
    raise ConfigError(f"protocol {text!r} is not spoken here: use 'http/protobuf' or 'grpc'")


def seconds(value: float | str) -> float:
    """Reads a time above 0 in seconds."""
    seconds = float(value)
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{value} is no time: use a number of seconds above 0")
    return seconds


def give_up_after(value: float) -> float:
    """Reads a time in seconds that may be 0 or infinite."""
    seconds = float(value)
    if not seconds >= 0:
        raise ConfigError(f"{value} is no time: use seconds, 0 to try once, inf for never")
    return seconds


def size(value: int) -> int:
    """Reads a number of bytes above 0."""
    if int(value) < 1:
        raise ConfigError(f"{value} is no size: use a number of bytes above 0")
    return int(value)


def compression(text: str) -> bool:
    """Tells whether to compress with gzip."""
    if str(text).lower() not in ("gzip", "none"):
        raise ConfigError(f"compression {text!r} is unknown: use 'gzip' or 'none'")
    return str(text).lower() == "gzip"


def sampler(value: str | float) -> Sampler:
    """Reads a sampler's name or share."""
    if value == "always_on":
        return "always_on"
    if value == "always_off":
        return "always_off"
    if isinstance(value, str) and not re.fullmatch(r"[0-9.]+", value):
        raise ConfigError(f"sampler {value!r} is unknown: use 'always_on', 'always_off' or a share from 0 to 1")
    return ratio(value)


def ratio(value: str | float) -> float:
    """Reads a share from 0 to 1."""
    share = float(value)
    if not 0 <= share <= 1:
        raise ConfigError(f"{value} is no share of sessions: use a number from 0 to 1")
    return share


def switch(value: bool | str) -> bool:
    """Reads a switch."""
    found = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}.get(str(value).lower())
    if found is None:
        raise ConfigError(f"{value!r} is neither on nor off: use True or False")
    return found


def strict(value: bool | str) -> Strict:
    """Reads what is to happen with an event that nobody understands."""
    found = _STRICT.get(str(value).lower())
    if found is None:
        raise ConfigError(f"strict {value!r} is unknown: use True (1) to raise, 'log' to log each, or False (0)")
    return found


def trace_url(template: str) -> str:
    """Reads the template of a link to a trace."""
    if "{trace_id}" not in template:
        raise ConfigError("a trace URL needs '{trace_id}' where the id goes: 'http://localhost:16686/trace/{trace_id}'")
    return template


def traceparent(text: str) -> str | None:
    """Reads a W3C traceparent, in lower case."""
    if not _TRACEPARENT.fullmatch(text.lower()):
        raise ConfigError("it is no W3C traceparent")
    return text.lower()
