"""Whatever the hook is given: it never raises, costs at most that event, keeps its accounts, and tells no secret."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_phi
from otel_phi.events import AgentEnd, AgentStart, Instant, MessageEnd, TurnEnd, TurnStart
from otel_phi.testing import Receiver
from tests import golden
from tests.hook.conftest import Install
from tests.hook.stories import arrived, as_bytes, as_dict, expected, loop_of, session
from tests.hook.waiting import until
from tests.laws import identity, links, times
from tests.streams import LOOP, SESSION, start

STORY = loop_of("one")
DEEP = b'{"type":"AgentStart","metadata":' + b"[" * 5_000 + b"]" * 5_000 + b"}"


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


class Liar(dict[str, Any]):
    """Is a mapping that fails when it is looked at."""

    def get(self, *_: Any) -> Any:
        raise RuntimeError("a mapping's own")


class Endless(Mapping[str, Any]):
    """Is a mapping that never ends well."""

    def __getitem__(self, key: str) -> Any:
        return self

    def __iter__(self) -> Iterator[str]:
        raise OSError

    def __len__(self) -> int:
        return 1


wrong: Any = "not a time"
HOSTILE: list[Any] = [
    None, 5, 1.5, object(), [], (), set(), b"", "", b"\xff\xfe", "\x00", b"{", b"[]", b"null", "true",
    DEEP, DEEP.decode(), nested(5_000), Liar(), Endless(),
    {}, {"type": 5}, {"type": None}, {"type": "AgentStart"}, {"type": "\ud800"}, {1: 2}, {("a",): 1},
    {"type": "AgentStart", "session_id": 5, "loop_id": [], "timestamp": {}},
    {"type": "AgentStart", "session_id": "s", "loop_id": "l", "timestamp": math.nan},
    {"type": "AgentStart", "session_id": "\ud800", "loop_id": "l", "timestamp": "2026-01-01T00:00:00Z"},
    {"type": "AgentEnd", "loop_id": object()},
    {"type": "TurnEnd", "loop_id": LOOP, "usage": {"input": Decimal(10) ** 400}},
    {"type": "Newer", "loop_id": LOOP, "more": [math.inf, -math.inf, math.nan]},
    b'{"type":"AgentStart","session_id":"s","loop_id":"l","timestamp":NaN}',
    b'{"type":"AgentStart","session_id":"\\ud800","loop_id":"l","timestamp":"2026-01-01T00:00:00Z"}',
    b'{"type":"AgentStart","session_id":"s","loop_id":"l","timestamp":"2026-01-01T00:00:00Z","metadata":{"traceparent":5}}',
    AgentStart(session_id=wrong, loop_id=wrong, timestamp=wrong),
    AgentStart(session_id=wrong, loop_id=msgspec.UNSET, timestamp=Instant(0)),  # type: ignore[arg-type]
    AgentStart(session_id="\ud800", loop_id="\x00\u202e", timestamp=Instant(-(10**30)), agent_id="\udfff"),
    TurnStart(loop_id=LOOP, turn_index=wrong, timestamp=wrong),
    TurnStart(loop_id=LOOP, turn_index=-(10**30), timestamp=Instant(10**30)),
    MessageEnd(loop_id=LOOP, message=wrong),
    TurnEnd(loop_id=LOOP, usage=wrong),
    msgspec.defstruct("Unheard", [])(),
    AgentStart,
]  # fmt: skip


@pytest.mark.parametrize("where", ["before", "amid"])
def test_hostile_events_never_raise_and_cost_no_other(where: str, install: Install, receiver: Receiver) -> None:
    hook = install()
    if where == "amid":
        hook(STORY[0])
    for event in HOSTILE:
        hook(event)
    for event in STORY[1 if where == "amid" else 0 :]:
        hook(event)
    assert hook.flush(5.0)
    assert expected(STORY) - arrived(receiver) == {}
    stats = hook.stats()
    assert stats.balanced(), stats
    assert stats.delivery.dead == 0


@pytest.mark.parametrize("event", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_event_in_the_midst_of_a_loop_costs_only_itself(
    event: Any, install: Install, receiver: Receiver
) -> None:
    hook = install()
    for other in [*STORY[:4], event, *STORY[4:]]:
        hook(other)
    assert hook.flush(5.0)
    assert expected(STORY) - arrived(receiver) == {}
    assert hook.stats().failed <= 1


def test_an_event_made_by_hand_with_a_wrong_type_is_found_when_it_is_given(install: Install) -> None:
    hook = install()
    hook(STORY[0])
    for event in (
        TurnStart(loop_id=LOOP, turn_index=wrong),
        TurnEnd(loop_id=LOOP, usage=wrong),
        AgentStart(session_id=SESSION, loop_id=LOOP, timestamp=wrong),
    ):
        hook(event)
    assert (hook.stats().undecodable, hook.stats().failed) == (3, 0)


def test_plain_integers_are_times_too(install: Install, receiver: Receiver) -> None:
    hook = install()
    begin: Any = int(STORY[0].timestamp)  # type: ignore[union-attr,arg-type]  # it is an AgentStart
    hook(msgspec.structs.replace(STORY[0], timestamp=begin))
    assert hook.stats().recorded == 1


def test_an_event_of_100_mb_costs_neither_the_others_nor_its_memory(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    hook = install()
    big = b'{"type":"Newer","loop_id":"%s","text":"%s"}' % (LOOP.encode(), b"x" * 100_000_000)
    hook(start(0))
    before = resident_bytes()
    hook(big)
    hook(STORY[0])
    assert hook.stats().recorded == 3
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1_000_000
    until(lambda: hook.stats().open_loops == 2)
    assert resident_bytes() - before < 50_000_000
    for event in STORY[1:]:
        hook(event)
    assert hook.shutdown(5.0)
    assert expected(STORY) - arrived(receiver) == {}


def resident_bytes() -> int:
    """Returns what of this process's memory is in the machine's; 0 where the platform does not say."""
    found = Path("/proc/self/statm")
    return int(found.read_text().split()[1]) * 4_096 if found.exists() else 0


@pytest.mark.parametrize("name", ["recorder_wild"])
@golden.needed
def test_wild_streams_of_the_real_phi_core_keep_the_laws(name: str, install: Install, receiver: Receiver) -> None:
    hook = install()
    streams = [events for _, events in golden.random_streams(name)][:40]
    for events in streams:
        for event in events:
            hook(event)
    assert hook.shutdown(10.0)
    assert list(identity(list(receiver.spans))) == []
    assert list(times(list(receiver.spans))) == []


# --- whatever Hypothesis finds ---------------------------------------------------------------------------------------------

PIECES = [as_dict(event) for event in [*loop_of("a", turns=3), *loop_of("b", turns=2)]]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def events(draw: st.DrawFn) -> Any:
    """Draws an event of two loops: as it is, with a field missing, wrong or new, of an unknown type, or none at all."""
    event = dict(draw(st.sampled_from(PIECES)))
    match draw(st.integers(0, 9)):
        case 0:
            event.pop(draw(st.sampled_from(sorted(event))))
        case 1:
            event[draw(st.sampled_from(sorted(event)))] = draw(JSON)
        case 2:
            event["type"] = draw(st.sampled_from(["Newer", "", "AgentStart", "TurnEnd"]))
        case 3:
            return draw(JSON | st.binary(max_size=40) | st.text(max_size=40))
        case _:
            pass
    return event


@settings(max_examples=1_500)
@given(st.lists(events(), min_size=5, max_size=80))
def test_random_reordered_repeated_missing_and_unknown_events_never_raise_and_the_accounts_balance(
    stream: list[Any],
) -> None:
    hook = _hook()
    for event in stream:
        hook(event)
    stats = hook.stats()
    assert stats.balanced(), stats
    assert stats.failed == 0, stats.troubles


_hooks: list[otel_phi.Hook] = []


def _hook() -> otel_phi.Hook:
    return _hooks[-1]


@pytest.fixture(autouse=True)
def hook_for_hypothesis(request: pytest.FixtureRequest, receiver: Receiver, tmp_path: Path) -> Iterator[None]:
    """Gives Hypothesis one hook for all its examples: what one leaves open meets the next."""
    if "random_reordered" not in request.node.name:
        yield
        return
    hook = otel_phi.install(endpoint=receiver.endpoint, state_dir=tmp_path, service_name="test", flush_on_sigterm=False)
    _hooks.append(hook)
    yield
    assert hook.shutdown(10.0)
    stats = hook.stats()
    assert stats.balanced(), stats
    found = list(receiver.spans)
    assert len(found) == stats.delivery.acknowledged
    assert [*identity(found), *times(found), *links(found)] == []


# --- secrets -------------------------------------------------------------------------------------------------------------

SECRET = "hunter2 pa55w0rd"  # with a blank: what is one word in a place for words may be said
# Names and ids are not content: they are on spans by design.
NAMES = {
    "type", "session_id", "loop_id", "loopId", "parent_loop_id", "agent_id", "tool_name", "tool_call_id", "child_loop_id",
    "toolName", "toolCallId", "id", "name", "model", "model_id", "provider", "stopReason", "api", "config_id", "base_url",
    "timestamp", "role", "tag", "triggered_by", "continuation_kind", "selected_loop_id", "loop_ids", "category",
    "thinking_level", "thinkingLevel", "turnId", "session", "kind",
}  # fmt: skip


def planted(value: Any, key: str = "") -> Any:
    """Returns JSON with the secret in every text that is content."""
    if isinstance(value, dict):
        return {name: planted(inner, name) for name, inner in value.items()} | {"unknown_field": SECRET}
    if isinstance(value, list):
        return [planted(inner, key) for inner in value]
    if key in NAMES:
        return value
    return f"{value} {SECRET}" if isinstance(value, str) else value


def test_with_content_off_no_secret_of_any_event_gets_anywhere(
    install: Install, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In every text of the demo's events, in fields of the wrong type, in fields and lines that nobody knows."""
    caplog.set_level(logging.DEBUG)
    receiver.answer(times=2, status=503)
    receiver.answer(times=4, status=400, body=b"no")
    hook = install(agent_name="a", headers={"x-key": "not this one"}, insecure=True)
    for event in golden.demo():
        hook(planted(as_dict(event)))
        hook({"type": "Newer", "loop_id": LOOP, "text": SECRET})
        hook(as_bytes(event)[:-2] + SECRET.encode())
        for name in as_dict(event):
            hook(as_dict(event) | {name: {SECRET: SECRET}})
            hook(as_dict(event) | ({} if name in NAMES - {"timestamp"} else {name: SECRET}))
    hook.flush(5.0)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    requests = b"".join(request.body for request in receiver.requests)
    said = caplog.text + repr(hook.stats()) + repr(hook.config)
    assert len(receiver.spans) > 20
    assert hook.stats().undecodable > 0
    assert [SECRET in said, SECRET.encode() in on_disk, SECRET.encode() in requests] == [False, False, False]


def test_ids_full_of_traversal_make_no_file_outside_the_state_folder(install: Install, tmp_path: Path) -> None:
    hook = install()
    for name in ("../../escaped", "/etc/escaped", "a\x00b", "C:\\escaped", "..", session("x") + "/.."):
        hook(AgentStart(session_id=name, loop_id=name, timestamp=Instant(1)))
        hook(AgentEnd(loop_id=name, timestamp=Instant(2)))
    assert hook.flush(5.0)
    assert [path for path in tmp_path.parent.rglob("*escaped*") if "test_ids_full" not in path.name] == []
