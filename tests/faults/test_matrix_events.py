"""Events are random, reordered, repeated, missing, unknown or hostile: nothing is raised, and every span is a good one."""

from __future__ import annotations

import functools
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import otel_phi
from otel_phi.events import AgentEnd, AgentStart
from otel_phi.testing import Receiver
from tests.faults.loops import give
from tests.hook.conftest import Install
from tests.hook.stories import arrived, as_bytes, as_dict, expected, loop_of, session
from tests.laws import identity, links, times
from tests.streams import at

SEED = 20_261_123
EVENTS = 100_000
STORY = loop_of("one")
LOOP = f"{session('one')}.agent.1"


@functools.cache
def story_of(name: str, number: int) -> list[dict[str, object]]:
    return [as_dict(event) for event in loop_of(name, number, turns=2)]


def mistreated(chance: random.Random) -> tuple[str, Any]:
    """Returns what was done to a story's event, and the event: a loop of 2,000, in turns of any order."""
    name = f"loop-{chance.randrange(500)}"
    event = dict(chance.choice(story_of(name, chance.randrange(1, 5))))
    fault = chance.choice(["as it is"] * 5 + ["missing", "unknown", "wrong", "noise"])
    match fault:
        case "missing":
            del event[chance.choice(sorted(event))]
        case "unknown":
            event["type"] = chance.choice(["Newer", "", "agent_start", "\x00"])
        case "wrong":
            event[chance.choice(sorted(event))] = chance.choice(
                [None, -1, 2**70, math.nan, "", "\ud800", [], {}, "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
            )
        case "noise":
            return fault, chance.randbytes(chance.randrange(60))
        case _:
            return fault, event
    return fault, event


def test_100_000_random_reordered_repeated_missing_and_unknown_events(install: Install, receiver: Receiver) -> None:
    """Of 2,000 loops in any order, each of their events some 3 times or never; the seed is in the code."""
    hook = install()
    chance = random.Random(SEED)
    seen: Counter[str] = Counter()
    for number in range(EVENTS):
        fault, event = mistreated(chance)
        seen[fault] += 1
        hook(event)
        if number % 10_000 == 0:
            assert hook.stats().balanced()
    assert min(seen.values()) > 10_000
    assert hook.flush(30.0)
    assert hook.shutdown(30.0)
    stats = hook.stats()
    assert stats.balanced(), stats
    assert (stats.events, stats.failed, stats.lost, stats.open_loops) == (EVENTS, 0, {}, 0)
    assert stats.delivery.dropped == ()
    found = list(receiver.spans)
    assert len(found) == stats.delivery.acknowledged > 1_000
    assert [*identity(found), *times(found), *links(found)] == []


DEEP = b"[" * 5_000 + b"]" * 5_000
AHEAD = b'{"type":"TurnRequest","loop_id":"%s","turn_index":0,"timestamp":"2026-05-28T20:26:40Z",' % LOOP.encode()
HOSTILE: dict[str, bytes | dict[str, object]] = {
    "5,000 deep, whole": DEEP,
    "5,000 deep, in a field": AHEAD + b'"payload":%s}' % DEEP,
    "5,000 deep, in metadata": as_bytes(STORY[0])[:-1] + b',"metadata":%s}' % DEEP,
    "NaN": AHEAD + b'"payload":{"temperature":NaN}}',
    "NaN in a dict": {**as_dict(STORY[1]), "turn_index": math.nan},
    "infinite": AHEAD + b'"payload":{"temperature":1e999}}',
    "lone surrogate, escaped": AHEAD + rb'"payload":{"model_id":"\ud800"}}',
    "lone surrogate, in a dict": {"type": "Newer\ud800", "loop_id": LOOP, "text": "\udfff"},
    "invalid UTF-8": AHEAD + b'"payload":{"model_id":"\xff\xfe"}}',
    "NUL, escaped": AHEAD + rb'"payload":{"model_id":"a\u0000b"}}',
    "NUL, raw": AHEAD + b'"payload":{"model_id":"a\x00b"}}',
    "CR LF": AHEAD + rb'"payload":{"model_id":"a\r\nb"}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_costs_at_most_its_own_event(name: str, install: Install, receiver: Receiver) -> None:
    """In the midst of a turn. The chat's span may say something else then; every other span is as it would be."""
    hook = install()
    for event in STORY[:2]:
        hook(event)
    hook(HOSTILE[name])
    for event in STORY[2:]:
        hook(event)
    assert hook.shutdown(5.0)
    assert len(receiver.spans) == sum(expected(STORY).values())
    assert {span.span_id for span in receiver.spans if span.name.startswith("invoke")} != set()
    missing = expected(STORY) - arrived(receiver)
    assert sum(missing.values()) <= 2
    assert (hook.stats().failed, hook.stats().delivery.dead) == (0, 0)


@pytest.mark.parametrize(
    "text", ["\ud800", "a\x00b", "a\r\nb", "\udfff" * 1_000], ids=["surrogate", "nul", "crlf", "many"]
)
def test_hostile_text_in_a_span_costs_no_neighbour(
    text: str, receiver: Receiver, open_hook: Callable[..., otel_phi.Hook]
) -> None:
    """The stock SDK loses a whole batch, up to 512 spans, for a surrogate in one name."""
    hook = open_hook()
    give(hook, range(1, 13))
    for event in (
        AgentStart(session_id=f"one{text}", loop_id=f"a.13{text}", timestamp=at(13), agent_id=text),
        AgentEnd(loop_id=f"a.13{text}", timestamp=at(14)),
    ):
        hook(event)
    give(hook, range(14, 513))
    assert hook.flush(10.0)
    assert len(receiver.spans) == 512
    (span,) = [span for span in receiver.spans if span.get("phi.agent.id") != "a"]
    said = text.encode("utf-8", "replace").decode().replace("?", "\ufffd")
    assert (span.get("phi.agent.id"), span.get("session.id")) == (said, f"one{said}")
