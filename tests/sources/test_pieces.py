"""A document read in pieces: found to be what it is, and named, as one that is read whole."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

import otel_phi.sources.pieces as pieces
from otel_phi.sources.pieces import Unreadable, Window
from otel_phi.sources.reader import BadLine
from otel_phi.sources.saved import read_session
from otel_phi.sources.saved_places import places_of
from otel_phi.sources.stored import Stored
from otel_phi.wire.decode import Undecodable, from_wire
from otel_phi.wire.saved import SavedEvent, SavedLoop

SMALL = 1 << 5  # bytes a piece: every value lies across some


class _Whole(msgspec.Struct):
    session_id: str
    loops: tuple[SavedLoop, ...] | None = None
    agent_id: str | None = None


_whole = msgspec.json.Decoder(_Whole, dec_hook=from_wire)


def reason_whole(content: bytes) -> str:
    """Says why a session that is decoded whole cannot be read, "" if it can."""
    try:
        _whole.decode(content)
    except UnicodeError:
        return "not UTF-8"
    except msgspec.MsgspecError as error:
        return str(error)
    return ""


def reason_in_pieces(content: bytes) -> str:
    stream = io.BytesIO(content)
    try:
        places_of(Window(lambda size: stream.read(min(size, SMALL))))
    except Unreadable as error:
        return str(error)
    return ""


def session(loops: int = 2) -> dict[str, Any]:
    def event(number: int) -> dict[str, Any]:
        inner = {"type": "TurnStart", "loop_id": "l", "turn_index": number, "timestamp": "2026-09-01T00:00:00Z"}
        return {"sequence": number, "event": inner}

    def loop(number: int) -> dict[str, Any]:
        return {
            "loop_id": f"l.{number}",
            "session_id": "s",
            "started_at": "2026-09-01T00:00:00Z",
            "messages": [{"role": "user", "content": 'quoted "]}" \\ é'}, {"role": "assistant"}],
            "turns": [],
            "events": [event(one) for one in range(3)],
            "metadata": {"k": [1.5, -2, None, True, {}]},
            "ended_at": None,
        }

    return {"session_id": "s", "agent_id": "a", "loops": [loop(number) for number in range(loops)]}


CONTENT = json.dumps(session(), ensure_ascii=False).encode()


def test_the_places_are_those_of_the_parts_whatever_the_white_space() -> None:
    for indent in (None, 2):
        content = json.dumps(session(), indent=indent).encode()
        stream = io.BytesIO(content)
        first, second = places_of(Window(lambda size: stream.read(min(size, SMALL))))  # noqa: B023
        assert (first.start.loop_id, second.start.loop_id, second.number) == ("l.0", "l.1", 1)
        assert second.events is not None
        assert second.final_message is not None
        assert second.turns is None
        stored = Window(io.BytesIO(content[second.events :]).read)
        decoder = msgspec.json.Decoder(SavedEvent)
        assert [stored.value(decoder, "").sequence for _ in stored.elements()] == [0, 1, 2]
        last = Window(io.BytesIO(content[second.final_message :]).read)
        assert json.loads(bytes(last.value(msgspec.json.Decoder(Raw), ""))) == {"role": "assistant"}


def test_a_session_cut_anywhere_is_named_as_one_read_whole() -> None:
    for end in range(len(CONTENT)):
        assert reason_in_pieces(CONTENT[:end]) == reason_whole(CONTENT[:end]), end
    assert reason_in_pieces(CONTENT) == ""


@given(st.integers(0, len(CONTENT) - 1), st.sampled_from([b"", b"x", b'"', b"{", b"}", b"[", b"]", b",", b":", b"1"]))
@settings(max_examples=50, deadline=None)
def test_a_session_with_a_byte_changed_is_read_or_not_as_one_read_whole(place: int, byte: bytes) -> None:
    changed = CONTENT[:place] + byte + CONTENT[place + 1 :]
    assert bool(reason_in_pieces(changed)) == bool(reason_whole(changed))


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"session_id": 5}',
        b'{"session_id": "s", "loops": 5}',
        b'{"session_id": "s", "loops": [5]}',
        b'{"session_id": "s", "loops": [{"loop_id": "l"}]}',
        b'{"session_id": "s", "loops": [{"loop_id": "l", "session_id": "s", "started_at": "never"}]}',
        b'{"session_id": "s", "loops": [{"events": [{"sequence": "one"}]}]}',
        b'{"session_id": "s", "loops": [{"turns": [{"started_at": 5}]}]}',
        b'{"session_id": "s", "loops": [{"messages": 1}]}',
        b'{"session_id": "s"} trailing',
        b'{"session_id": "s",}',
        b'{"session_id" "s"}',
        b'{"session_id": "s" "agent_id": null}',
        b'{1: 2}',
        b'{"session_id": "s", "loops": [,]}',
        b'{"session_id": "s", "agent_id": nul, "loops": []                                                            }',
        b'{"session_id": "\xff"}',
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_as_in_a_session_read_whole(content: bytes) -> None:
    assert reason_in_pieces(content) == reason_whole(content) != ""


def test_of_a_key_that_comes_twice_the_later_value_counts() -> None:
    twice = b'{"session_id": "s", "loops": [{"loop_id": "l", "session_id": "s", "started_at": "2026-09-01T00:00:00Z", "events": [{}], "events": null}]}'
    (loop,) = places_of(Window(io.BytesIO(twice).read))
    assert loop.events is None
    assert places_of(Window(io.BytesIO(twice[:-1] + b', "loops": null}').read)) == ()


def test_a_value_past_the_bound_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MAX_VALUE_BYTES", 1 << 17)
    long = b'{"session_id": "s", "metadata": "%s"}' % (b"x" * (1 << 20))
    assert "a value of more than" in reason_in_pieces(long)


def test_a_gzipped_session_that_breaks_off_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(CONTENT)
    path = tmp_path / "s.json.gz"
    path.write_bytes(whole)
    assert not isinstance(read_session(path), Undecodable)
    path.write_bytes(whole[: len(whole) - 30])
    found = read_session(path)
    assert isinstance(found, Undecodable)
    assert found.reason == "the gzip stream ends early"


def _with_a_newer_key(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_a_newer_key(inner) for key, inner in value.items()} | {"newer": 1}
    return [_with_a_newer_key(one) for one in value] if isinstance(value, list) else value


def test_a_saved_session_of_a_newer_phi_core_is_read_without_what_it_knows_more(tmp_path: Path) -> None:
    turn = {"turn_id": {"loopId": "l", "turnIndex": 1}, "usage": {"output": 1}, "started_at": "2026-05-26T09:14:03Z"}
    loop = {"loop_id": "l", "session_id": "s", "started_at": "2026-05-26T09:14:02Z", "ended_at": "2026-05-26T09:14:09Z",
            "status": "Completed", "config": {"model": "m"}, "usage": {"input": 3}, "turns": [turn]}  # fmt: skip
    saved = {"session_id": "s", "loops": [loop]}
    found = []
    for name, content in (("as_known.json", saved), ("newer.json", _with_a_newer_key(saved))):
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding="utf-8")
        bad: list[BadLine] = []
        found.append(list(Stored([path], final=True, on_bad_line=bad.append).events()))
        assert not bad
    assert found[0] == found[1]
    assert [type(event).__name__ for event in found[0]][:2] == ["AgentStart", "TurnStart"]
