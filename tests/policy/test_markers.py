"""Markers planted in every text of every event never come out of policy, whatever field a later version adds."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from otel_phi.events import AgentEvent, Instant, KnownEvent, Tag, Undecodable, encode_event
from otel_phi.policy.content import admit, decode_without_content, without_content
from otel_phi.wire.events import GenericEvent
from tests.policy.whole import through_json

# Identifiers are kept as they are: a trace is made of them.
IDENTIFIERS = {
    "session_id",
    "loop_id",
    "loop_ids",
    "agent_id",
    "parent_loop_id",
    "child_loop_id",
    "selected_loop_id",
    "tool_call_id",
    "config_id",
    "id",
    "parent_session_id",
    "parent_tool_call_id",
    "child_session_id",
}
ID = "an-identifier"
MARKERS = [
    "planted words with blanks",
    "[Agent stopped: planted words]",
    "API error: planted words",
    "Tool planted words not found",
    "https://planted:words@host.example/planted?words=1",
    "planted\nwords",
    "planted" * 40,
    "\u2028planted\U0001f916",
    # One of each form of secret that could pass for a word; put together here, so that no scanner takes this file for a leak.
    "sk-" + "proj-planted0planted1planted2",
    "ghp" + "_planted0planted1planted2",
    "glpat-" + "planted0planted1",
    "https://u:planted0@host.example",
]


def planted(hint: Any, field: str, marker: str) -> Iterator[Any]:
    """Yields values of a type, each with the marker in every text of it; of a union one for each of its structs."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(hint) if one not in (types.NoneType, msgspec.UnsetType)]
        for one in inner:
            yield from planted(one, field, marker)
    elif origin is tuple:
        (item,) = planted(typing.get_args(hint)[0], field, marker)
        yield (item,)
    elif origin is dict and field in ("attributes", "session_attributes"):
        yield {marker: 7, "a-key": True, "another": 0.5, "a-text": "its configurer's own words"}
    elif origin is dict:
        yield {marker: Tag(marker)}
    elif (
        hint is str and field == "agent_name"
    ):  # its configurer's own word: tests/policy/test_words.py says what is one
        yield "Research Planner"
    elif hint is str:
        yield ID if field in IDENTIFIERS else marker
    elif hint is msgspec.Raw:
        yield msgspec.Raw(msgspec.json.encode(_content(marker)))
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield from structs(hint, marker)
    elif hint in (bool, int, float, Instant):
        yield {bool: True, int: 7, float: 0.5, Instant: Instant(7)}[hint]
    else:
        pytest.fail(f"{field}: {hint} is new; say here what stands in it")


def _content(marker: str) -> Any:
    return [
        {
            "type": "text",
            "text": marker,
            "role": "toolResult",
            "toolCallId": "c",
            "toolName": marker,
            "traceparent": marker,
        }
    ]


def structs(kind: type[msgspec.Struct], marker: str) -> Iterator[Any]:
    """Yields structs of a class with the marker in every text; one for each class that a field can hold."""
    hints = typing.get_type_hints(kind)
    fields = [(one, list(planted(hints[one], one, marker))) for one in kind.__struct_fields__]
    for number in range(max([len(values) for _, values in fields], default=0)):
        yield kind(**{field: values[min(number, len(values) - 1)] for field, values in fields})


KINDS: list[type[msgspec.Struct]] = [*typing.get_args(KnownEvent), GenericEvent]
EVENTS = [
    pytest.param(event, marker, id=f"{type(event).__name__}-{type(getattr(event, 'message', None)).__name__}-{number}")
    for number, marker in enumerate(MARKERS)
    for kind in KINDS
    for event in structs(kind, marker)
]


def printed(event: AgentEvent) -> str:
    """Returns all that is in an event, its JSON too."""
    return repr(msgspec.to_builtins(event, enc_hook=_as_text)) + encode_event(event).decode()


def _as_text(value: Any) -> Any:
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else int(value)


@pytest.mark.parametrize(("event", "marker"), EVENTS)
def test_a_planted_text_never_comes_out(event: AgentEvent, marker: str) -> None:
    assert "planted" in printed(event) or not _has_texts(event)
    said = without_content(event)
    assert "planted" not in printed(said)
    assert "planted" not in repr(through_json(said))
    assert without_content(said) == said


@pytest.mark.parametrize(("event", "marker"), [one for one in EVENTS if not isinstance(one.values[0], GenericEvent)])
def test_a_planted_text_is_not_even_decoded(event: AgentEvent, marker: str) -> None:
    said = decode_without_content(encode_event(event))
    assert not isinstance(said, Undecodable)
    assert said == without_content(event)
    assert "planted" not in printed(said)


def _has_texts(event: AgentEvent) -> bool:
    hints = typing.get_type_hints(type(event))
    return not all(
        hint in (bool, int, float, Instant | None) or name in IDENTIFIERS or "usage" in name or hint == tuple[int, ...]
        for name, hint in hints.items()
    )


# --- texts where none belong ---------------------------------------------------------------------------------------------------


def _misplaced(value: Any) -> Iterator[Any]:
    """Yields a struct with a text in one field, one for each field in it that holds none by its type."""
    hints = typing.get_type_hints(type(value))
    for field in value.__struct_fields__:
        inner = getattr(value, field)
        if isinstance(inner, msgspec.Struct):
            for one in _misplaced(inner):
                yield msgspec.structs.replace(value, **{field: one})
        if str not in (hints[field], *typing.get_args(hints[field])):
            yield msgspec.structs.replace(value, **{field: "planted words"})
            yield msgspec.structs.replace(value, **{field: ["planted words"]})
            if field not in ("attributes", "session_attributes"):  # they are such a dict
                yield msgspec.structs.replace(value, **{field: {"planted": "words"}})


PLAIN = [event for kind in KINDS for event in structs(kind, "a-word")]


@pytest.mark.parametrize(
    "event", PLAIN, ids=lambda event: f"{type(event).__name__}-{type(getattr(event, 'message', None)).__name__}"
)
def test_a_text_where_none_belongs_never_comes_out_either(event: AgentEvent) -> None:
    for made in _misplaced(event):
        said = admit(made)
        assert isinstance(said, Undecodable) or "planted" not in printed(said)
