"""The names of the tools that a request offers: only where they are asked for, words alone, read once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from otel_phi.events import RequestPayload, TurnRequest, TurnStart
from otel_phi.hook.taking import event_of, rules_for
from otel_phi.policy import tools
from otel_phi.policy.content import admit, decode_without_content, without_content
from otel_phi.policy.door import WithoutContent
from otel_phi.policy.tools import MAX_LISTS, MAX_NAMES, WithToolNames, names_of
from otel_phi.wire.decode import Undecodable, encode_event
from otel_phi.wire.messages import NULL

OFFERED = [
    {"name": "bash", "description": "what a person wrote"},
    {"name": "read", "parameters": {"a": [1]}},
    {"name": "bash"},
]


WITH_TOOLS = WithToolNames(WithoutContent())


def raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def request(offered: Any = OFFERED) -> TurnRequest:
    return TurnRequest(loop_id="l", payload=RequestPayload(model_id="m", tools=raw(offered)))


def payload_of(event: object) -> RequestPayload:
    assert isinstance(event, TurnRequest)
    assert event.payload is not None
    return event.payload


def test_without_being_asked_a_request_says_no_tools() -> None:
    for said in (admit(request()), decode_without_content(encode_event(request())), event_of(encode_event(request()))):
        assert (payload_of(said).tool_names, payload_of(said).tools) == (UNSET, NULL)


def test_every_door_gives_the_same_names_and_nothing_else_of_the_tools() -> None:
    line = encode_event(request())
    found = [
        WITH_TOOLS.admit(request()),
        WITH_TOOLS.decode(line),
        event_of(line, policy=WITH_TOOLS),
        event_of(line.decode(), policy=WITH_TOOLS),
        event_of(msgspec.json.decode(line), policy=WITH_TOOLS),
    ]
    for said in found:
        assert payload_of(said).tool_names == ("bash", "read")
        assert payload_of(said).tools == NULL
        assert not isinstance(said, Undecodable)
        assert b"person" not in encode_event(said)


def test_the_hooks_quick_way_leaves_requests_alone_to_the_whole_way() -> None:
    rules, quick = rules_for(WITH_TOOLS), rules_for(WithoutContent())
    line, other = encode_event(request()), encode_event(TurnStart(loop_id="l"))
    assert TurnRequest not in rules
    for given in (line, line.decode(), msgspec.json.decode(line)):
        assert quick[type(given)](given) is not None
        assert rules[type(given)](given) is None
    for given in (other, other.decode(), msgspec.json.decode(other)):
        assert rules[type(given)](given) is not None
    assert rules.keys() == quick.keys() - {TurnRequest}


def test_applied_twice_it_changes_nothing() -> None:
    once = WITH_TOOLS.admit(request())
    assert isinstance(once, TurnRequest)
    assert WITH_TOOLS.admit(once) == without_content(once) == once
    assert WITH_TOOLS.decode(encode_event(once)) == once


@pytest.mark.parametrize(
    ("offered", "names"),
    [
        ([], ()),
        ([{"name": "what a person wrote"}, {"name": ""}, {"name": "x" * 129}, {}, {"name": "ok"}], ("ok",)),
        ({"name": "no list"}, ()),
        ([{"name": 7}], ()),
        (["bash"], ()),
        (
            [{"name": f"t{number}"} for number in range(2 * MAX_NAMES)],
            tuple(f"t{number}" for number in range(MAX_NAMES)),
        ),
    ],
    ids=["none", "no words", "no list", "a number", "texts", "very many"],
)
def test_names_are_words_and_bounded(offered: Any, names: tuple[str, ...]) -> None:
    assert names_of(raw(offered)) == names


def test_what_is_no_json_has_no_names() -> None:
    assert names_of(Raw(b"[{")) == ()


def test_names_that_a_source_gives_are_words_too() -> None:
    given = TurnRequest(loop_id="l", payload=RequestPayload(tool_names=("bash", "what a person wrote")))
    for said in (without_content(given), decode_without_content(encode_event(given))):
        assert payload_of(said).tool_names == ("bash", "_other")


def test_a_list_is_read_once_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[bytes] = []
    known: dict[bytes, tuple[str, ...]] = {}
    monkeypatch.setattr(tools, "_known", known)

    def read(text: bytes) -> tuple[str, ...]:
        reads.append(text)
        return ()

    monkeypatch.setattr(tools, "_read", read)
    for _ in range(3):
        names_of(raw(OFFERED))
    assert len(reads) == 1
    for number in range(10 * MAX_LISTS):
        names_of(raw([{"name": f"t{number}"}]))
        assert len(known) <= MAX_LISTS
