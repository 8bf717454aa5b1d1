"""What whoever runs an agent says of a session: a function that is asked at the door, and an option for all of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import otel_phi
from otel_phi.config import resolve
from otel_phi.errors import ConfigError
from otel_phi.events import SideCall
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from otel_phi.wire.events import AgentStart
from tests.hook.conftest import Install
from tests.hook.stories import as_bytes, as_dict, loop_of, parallel_of
from tests.laws import role
from tests.streams import at

USERS: dict[str, str | bool | int | float] = {"user.id": "ada", "tenant": "t1", "vip": True, "weight": 0.5, "seats": 7}


def given(span: Span) -> dict[str, Any]:
    return {key: value for key, value in span.attributes if key in USERS}


@pytest.mark.parametrize("form", [lambda event: event, as_dict, as_bytes], ids=["events", "dicts", "bytes"])
@pytest.mark.parametrize("scope", ["session", "loop"])
def test_what_is_given_for_a_session_stands_on_all_its_spans(
    form: Callable[[Any], Any], scope: str, install: Install, receiver: Receiver
) -> None:
    asked: list[str] = []

    def attributes_for(session: str) -> Mapping[str, Any]:
        asked.append(session)
        return USERS if session == story[0].session_id else {}

    story: list[Any] = [*parallel_of("one"), *loop_of("two")]
    story[0] = next(event for event in story if isinstance(event, AgentStart))
    hook = install(attributes_for=attributes_for, trace_scope=scope)
    for event in [*parallel_of("one"), *loop_of("two")]:
        hook(form(event))
    assert hook.flush(5.0)
    first = [span for span in receiver.spans if span.get(s.SESSION_ID) == story[0].session_id]
    assert {role(span) for span in first} >= {"loop", "turn", "chat", "group"}
    assert [given(span) for span in first] == [USERS] * len(first)
    assert [given(span) for span in receiver.spans if span not in first if given(span)] == []
    assert set(asked) == {event.session_id for event in story if isinstance(event, AgentStart)}


def test_every_door_gives_the_same_spans(install: Install, receiver: Receiver) -> None:
    config = resolve(attributes_for=lambda _: USERS, service_name="test")
    hook = install(attributes_for=lambda _: USERS)
    for event in loop_of("one"):
        hook(event)
    assert hook.flush(5.0)
    offline = list(otel_phi.spans(loop_of("one"), config))
    assert [span.attributes for span in receiver.spans] == [span.attributes for span in offline]
    assert given(offline[0]) == USERS


def test_a_side_call_of_an_open_loop_says_it_too(install: Install, receiver: Receiver) -> None:
    hook = install(attributes_for=lambda _: USERS)
    story = loop_of("one")
    start = story[0]
    assert isinstance(start, AgentStart)
    call = SideCall(id="t", session_id=start.session_id, loop_id=start.loop_id, start=at(1), end=at(2))
    for event in [*story[:-1], call, story[-1]]:
        hook(event)
    assert hook.flush(5.0)
    (side,) = [span for span in receiver.spans if span.get(s.SIDE_CALL_ID)]
    assert given(side) == USERS


def test_it_never_takes_the_place_of_ours_and_comes_before_what_is_said_of_all(
    install: Install, receiver: Receiver
) -> None:
    hook = install(
        attributes_for=lambda _: {s.LOOP_ID: "x", s.SESSION_ID: "y", "tenant": "own"},
        attributes={"tenant": "all", "region": "eu", s.OPERATION: "w"},
    )
    for event in loop_of("one"):
        hook(event)
    assert hook.flush(5.0)
    for span in receiver.spans:
        assert (span.get("tenant"), span.get("region")) == ("own", "eu")
        assert span.get(s.SESSION_ID) != "y"
        assert span.get(s.OPERATION) != "w"
        assert span.get(s.LOOP_ID) != "x" or role(span) == "root"  # which has none of its own


@pytest.mark.parametrize(
    "attributes_for",
    [lambda _: 1 / 0, lambda _: None, lambda _: 7, lambda _: {1: 2}, dict],
    ids=["raises", "none", "a number", "a number for a key", "takes no session"],
)
def test_a_function_that_fails_costs_its_attributes_alone(
    attributes_for: Any, install: Install, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook = install(attributes_for=attributes_for)
    for event in loop_of("one"):
        hook(event)
    assert hook.flush(5.0)
    assert {role(span) for span in receiver.spans} == {"root", "loop", "turn", "chat", "tool"}
    (trouble,) = hook.stats().troubles
    assert trouble.startswith("attributes_for: ")
    assert hook.stats().failed == 0


def test_what_no_attribute_can_be_is_left_out_and_what_is_long_is_cut(install: Install, receiver: Receiver) -> None:
    wild = {"user.id": "u" * 5_000, "a b": 1, "": 2, "nan": float("nan"), "list": [1], "big": 1 << 70, "ok": 1}
    hook = install(attributes_for=lambda _: {**wild, **{f"k{number}": number for number in range(100)}})
    for event in loop_of("one"):
        hook(event)
    assert hook.flush(5.0)
    for span in receiver.spans:
        said = dict(span.attributes)
        assert said["user.id"] == "u" * 1_024
        assert said["ok"] == 1
        assert {"a b", "", "nan", "list", "big"} & set(said) == set()
        assert sum(key.startswith("k") for key in said) <= 64


def test_what_was_given_is_in_the_journal_and_nobody_is_asked_again(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    hook = install(attributes_for=lambda _: USERS, record=tmp_path / "record.jsonl")
    for event in loop_of("one"):
        hook(event)
    assert hook.flush(5.0)
    first = json.loads((tmp_path / "record.jsonl").read_text().splitlines()[0])
    assert first["session_attributes"] == USERS
    again = list(otel_phi.spans(otel_phi.read_events(tmp_path / "record.jsonl"), resolve(service_name="test")))
    assert [span.attributes for span in again] == [span.attributes for span in receiver.spans]


def test_offline_a_function_that_fails_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def attributes_for(session: str) -> Mapping[str, Any]:
        raise KeyError("what a person wrote")

    caplog.set_level(logging.DEBUG)
    assert len(list(otel_phi.spans(loop_of("one"), resolve(attributes_for=attributes_for)))) > 3
    assert [record.getMessage() for record in caplog.records] == ["attributes_for failed: KeyError"]


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="a function that takes a session id"):
        resolve(attributes_for={"user.id": "u"})  # type: ignore[arg-type]  # it is no function


SECRET = "AKIAIOSFODNN7EXAMPLE"


def test_secrets_are_taken_out_of_what_is_given_for_a_session_and_for_all(install: Install, receiver: Receiver) -> None:
    """Whether contents may be said or not: what is given stands on every span, and nobody looks at it again."""
    hook = install(
        attributes_for=lambda _: {"user.id": "ada", "note": f"key {SECRET}", "password": "hunter2-and-more"},
        attributes={"region": "eu", "deploy": f"by {SECRET}", "tags": ("a", SECRET)},
        redact_keys=["seat"],
    )
    for event in loop_of("one"):
        hook(event)
    assert hook.flush(5.0)
    for span in receiver.spans:
        said = dict(span.attributes)
        assert (said["user.id"], said["region"]) == ("ada", "eu")
        assert SECRET not in str(said)
        assert "hunter2" not in str(said)
    folder = Path(str(hook.config.state_dir))
    assert not [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    offline = list(otel_phi.spans(loop_of("one"), hook.config))
    assert SECRET not in str(offline)
