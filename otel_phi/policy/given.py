"""Attributes that whoever runs an agent gives: of a session, asked for at the door and kept with its loops; of everything.

Rule 1: the function is asked on the caller's thread; its time is the caller's.
Rule 2: a function that raises, or gives no mapping, costs its attributes alone.
Rule 3: they are guarded as contents are, whether those may be said or not: secrets are taken out, texts behind telling keys too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from otel_phi.policy import parts
from otel_phi.policy.options import ContentOptions
from otel_phi.wire.events import AgentEvent, AgentStart

AttributesFor = Callable[[str], Mapping[str, str | bool | int | float]]


def guarded(given: Mapping[str, Any], options: ContentOptions) -> dict[str, Any]:
    """Returns attributes without secrets, by the rules that are configured; a sequence of texts as a tuple."""
    return _guard(options)(given)


def _guard(options: ContentOptions) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Returns what takes secrets out, all of it loaded: it is called on an agent's threads, and a fork may come at any time."""
    from otel_phi.policy.redaction.ends import Tally
    from otel_phi.policy.redaction.redactor import Redactor  # whoever gives no attributes loads none of it

    redactor = Redactor(options.redact, options.redact_keys, options.redact_patterns, defaults=options.redact_defaults)

    def guard(given: Mapping[str, Any]) -> dict[str, Any]:
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
        found: dict[str, Any] = redactor.value(plain, "attributes", Tally())
        return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}

    return guard


def guarded_text(options: ContentOptions) -> Callable[[str], str]:
    """Returns what takes secrets out of a text that says where an agent worked, by the rules that are configured."""
    guard = _guard(options)

    def text(given: str) -> str:
        return str(guard({"source": given})["source"])

    return text


def guarded_function(asked: AttributesFor | None, options: ContentOptions) -> AttributesFor | None:
    """Returns what gives the attributes of a session, without secrets; None for none."""
    if asked is None:
        return None
    guard = _guard(options)

    def ask(session_id: str) -> Mapping[str, str | bool | int | float]:
        return guard(dict(asked(session_id)))

    return ask


def with_given(event: AgentEvent, asked: AttributesFor | None, failed: Callable[[Exception], object]) -> AgentEvent:
    """Returns an AgentStart that says what is given for its session, any other event as it is.

    Args:
        event: as it may be said.
        asked: gives the attributes of a session by its id, None for none.
        failed: gets the exception of a function that raised, or a TypeError where it gave no mapping.
    """
    if asked is None or not isinstance(event, AgentStart):
        return event
    try:
        kept = parts.attributes(dict(asked(event.session_id)))
    except Exception as error:  # noqa: BLE001  # rule 2: whatever it was, it came out of the function
        failed(error)
        return event
    if event.session_attributes is not UNSET:
        kept = {**kept, **event.session_attributes}  # a source knows its own session
    return msgspec.structs.replace(event, session_attributes=kept) if kept else event
