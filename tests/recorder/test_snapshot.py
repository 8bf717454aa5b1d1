"""A core cut anywhere goes on as if it had not been: notices, counts and spans after the cut are the same bytes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import (
    AgentEvent,
    AgentStart,
    ConfigSnapshot,
    GenericEvent,
    Instant,
    ParallelLoopEnd,
    ParallelLoopStart,
    RevertApplied,
    Usage,
)
from otel_phi.recorder import states
from otel_phi.recorder.contents import ContentsState
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.identities import UNKNOWN, LoopIdentity
from otel_phi.recorder.notices import Answer, ChatContent, GroupClosed, LoopClosed, LoopOpened, LoopStart, SessionOpened
from otel_phi.recorder.references import ahead_of
from otel_phi.recorder.snapshot import PART_BYTES, OpenWork, sessions_of
from otel_phi.wire.costs import Cost
from tests import golden
from tests.recorder.cuts import CAPTURED, CAPTURED_REST, FULL, GROUP, REST, after_cuts, fed, restored
from tests.streams import (
    LOOP,
    OTHER,
    OWN_CASES,
    SESSION,
    SMALL_CASES,
    Mutilated,
    at,
    end,
    mutilated,
    request,
    result,
    said,
    start,
    tool,
    tool_end,
    turn,
    turn_end,
    whole_loop,
    whole_turn,
    wild_streams,
)

STREAMS = {**golden.small_streams(), **SMALL_CASES, **OWN_CASES, "full": [*FULL, *REST]}
CUTS = st.lists(st.integers(0, 2_000), max_size=4)


# --- cut anywhere --------------------------------------------------------------------------------------------------------


@given(name=st.sampled_from(sorted(STREAMS)), cuts=CUTS, lost=st.booleans(), reads_ahead=st.booleans())
def test_a_golden_stream_cut_anywhere_goes_on(name: str, cuts: list[int], lost: bool, reads_ahead: bool) -> None:
    events = STREAMS[name]
    ahead = ahead_of([event for event in events if isinstance(event, AgentStart)]) if reads_ahead else None
    after_cuts(events, cuts, lost=lost, ahead=ahead)


@golden.needed
@pytest.mark.parametrize("name", ["recorder_cases", "recorder_wild"])
def test_the_random_streams_cut_in_three_go_on(name: str) -> None:
    for number, (_, events) in enumerate(golden.random_streams(name)):
        cuts = [hash_of(number, cut) for cut in range(2)]
        after_cuts(events, cuts, lost=number % 2 == 0)


def hash_of(*parts: int) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "big")


@given(events=wild_streams, cuts=CUTS, lost=st.booleans())
def test_a_wild_stream_cut_anywhere_goes_on(events: list[AgentEvent], cuts: list[int], lost: bool) -> None:
    after_cuts(events, cuts, lost=lost)


@given(recipe=mutilated(STREAMS), cuts=CUTS, lost=st.booleans())
def test_a_mutilated_stream_cut_anywhere_goes_on(recipe: Mutilated, cuts: list[int], lost: bool) -> None:
    after_cuts(recipe.of(STREAMS), cuts, lost=lost)


@pytest.mark.parametrize("lost", [False, True])
def test_a_stream_that_holds_everything_at_once_goes_on_from_each_of_its_events(lost: bool) -> None:
    events = [*FULL, *REST]
    # Within the hundreds of equal ones the first and the last cut tell all.
    cuts = [cut for cut in range(1, len(events)) if type(events[cut]) is not type(events[cut - 1])]
    for cut in [0, *cuts, len(events)]:
        after_cuts(events, [cut], lost=lost)


@pytest.mark.parametrize("lost", [False, True])
def test_captured_contents_go_on_after_a_cut_anywhere(lost: bool) -> None:
    events = [*CAPTURED, *CAPTURED_REST]
    for cut in range(len(events) + 1):
        after_cuts(events, [cut], lost=lost)


def test_every_field_of_a_state_is_written_once_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a field could be forgotten on the way back, and no stream above would tell."""
    monkeypatch.setattr("otel_phi.recorder.turns.MAX_TOOLS", 3)
    # Of the call beside the turns nobody knows what it cost.
    core = RecorderCore(price=lambda call: None if call.tokens.output == 6 else Cost(3, "table"))
    fed(core, [*FULL, *CAPTURED])
    found = set(_keys(core.snapshot()))
    kinds = [states.LoopState, states.TurnState, states.ToolState, states.GroupState, states.LastTurn, states.Indexes]
    kinds += [
        ContentsState,
        ChatContent,
        LoopStart,
        Answer,
        states.HappeningsState,
        states.Happened,
        states.Line,
        states.Head,
    ]
    assert {name for kind in kinds for name in kind.__struct_fields__} - found == set()
    assert restored(core).flush() == core.flush()


def _keys(state: bytes) -> list[str]:
    waiting = [msgspec.json.decode(line) for line in state.splitlines()]
    found: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found += value
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return found


# --- what is easily forgotten ----------------------------------------------------------------------------------------------


def test_a_later_group_of_the_same_ids_that_is_over_does_not_give_them_back() -> None:
    core = RecorderCore()
    later = ParallelLoopStart(session_id=SESSION, loop_ids=GROUP[:1], timestamp=at(1))
    fed(core, [ParallelLoopStart(session_id=SESSION, loop_ids=GROUP), later, *whole_loop(2, "g1")])
    fed(core, [ParallelLoopEnd(session_id=SESSION, selected_loop_id="g1")])
    assert core.open_groups == 1
    notices = fed(restored(core), whole_loop(30, "g1"))
    assert [notice for notice in notices if not isinstance(notice, LoopOpened)][-1].__class__ is LoopClosed
    assert notices == fed(core, whole_loop(30, "g1"))


def test_two_groups_of_the_same_ids_stay_two() -> None:
    core = RecorderCore()
    for number in range(2):
        fed(core, [ParallelLoopStart(session_id=SESSION, loop_ids=GROUP[:2], timestamp=at(number))])
        fed(core, [start(10 + number, "g1")])
    after = restored(core)
    assert (after.open_groups, after.open_loops) == (2, 1)
    story: list[AgentEvent] = [end(20, "g1"), ParallelLoopEnd(session_id=SESSION, selected_loop_id="g1")]
    notices = fed(after, story)
    assert [notice.started_ns for notice in notices if isinstance(notice, GroupClosed)] == [at(11)]
    assert notices == fed(core, story)


def test_the_loop_remembered_longest_is_forgotten_first_after_a_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.recorder.references.MAX_REMEMBERED_LOOPS", 3)
    monkeypatch.setattr("otel_phi.recorder.core.MAX_REMEMBERED_SESSIONS", 2)
    core = RecorderCore()
    fed(core, [start(number, f"l{number}", session="ab"[number % 2]) for number in range(3)])
    fed(core, [start(9, "l0", session="b")])  # seen again: l1 is the oldest now, and the session a
    after = restored(core)
    notices = fed(after, [start(10, "l3", session="c"), start(11, "l4", session="a")])
    assert [after.seen(f"l{number}") for number in range(5)] == [True, False, False, True, True]
    assert [notice.session_id for notice in notices if isinstance(notice, SessionOpened)] == ["c", "a"]


def test_a_loop_that_another_process_saw_stays_what_is_known_of_it() -> None:
    core = RecorderCore()
    core.remember(LoopIdentity(OTHER, f"{OTHER}.x.1", 5, UNKNOWN))
    core.remember(LoopIdentity("", "", 6))
    core.remember(LoopIdentity("~", "~x", 7))
    after = restored(core)
    child = start(1, parent_loop_id=f"{OTHER}.x.1")
    assert fed(after, [child]) == fed(core, [child])
    assert [after.seen(loop) for loop in ("", "~x", "x")] == [True, True, False]


def test_what_json_cannot_carry_is_mended_and_never_raised() -> None:
    core = RecorderCore()
    story: list[AgentEvent] = [
        start(0, "\ud800", config_snapshot=ConfigSnapshot(model="\udfff", temperature=float("nan"))),
        turn(1, 0, "\ud800"),
        tool("\ud83d\ude00", loop="\ud800"),
        GenericEvent(type="New", loop_id="\ud800", raw=msgspec.Raw(b"\xff")),
        start(2, type("Own", (str,), {})("mine"), session=type("Own", (str,), {})("own")),
    ]
    for event in story:
        core.on_event(event)
    after = RecorderCore.restore(core.snapshot())
    assert after.open_work() == core.open_work() == OpenWork(2, 1, 0)
    (loop, _) = [notice for notice in after.flush() if isinstance(notice, LoopClosed)]
    assert loop.loop.identity.loop_id == "\ufffd"
    assert loop.last_turn is not None
    assert loop.last_turn.tools[0].call_id == "\U0001f600"


@pytest.mark.parametrize("raw", [b"null", b"", b" [1]", b'"x"', b'{"text":[', "\u2028\n\U0001f916".encode()])
def test_json_that_an_agent_wrote_by_hand_comes_back_as_it_was(raw: bytes) -> None:
    core = RecorderCore()
    unknown = GenericEvent(type="New", loop_id=LOOP, raw=msgspec.Raw(raw))
    story: list[AgentEvent] = [start(0), turn(1), unknown, tool()]
    for event in [*story, msgspec.structs.replace(result(3, "c2"), message=_failed(raw))]:
        core.on_event(event)
    assert restored(core).flush() == core.flush()


def _failed(content: bytes) -> object:
    message = result(3, "c2", is_error=True).message
    assert message is not None
    return msgspec.structs.replace(message, content=msgspec.Raw(content))


def test_times_and_counts_of_any_size_come_back() -> None:
    core = RecorderCore()
    most = 2**63 - 1
    huge = Usage(most, most, most, most, most, most)
    fed(core, [start(0)])
    for index in range(3):
        fed(core, [turn(index, index), turn_end(index, index, usage=huge)])
    fed(core, [turn(9, -(2**63)), RevertApplied(loop_id=LOOP, timestamp=Instant(2**70))])
    assert restored(core).flush() == core.flush()


# --- the same bytes --------------------------------------------------------------------------------------------------------


def test_equal_states_are_equal_bytes_however_they_came_to_be() -> None:
    one, other = RecorderCore(), RecorderCore()
    for core, order in ((one, (9, 4, 7)), (other, (4, 9, 7))):
        fed(core, [start(0), end(1, "unknown")])
        for index in order:
            fed(core, [turn(10, index), said(11, usage=Usage()), turn_end(12, index, usage=Usage(), message=None)])
        fed(core, [turn(20, 1), tool("c"), tool_end("c")])
    fed(other, [turn(20, 1)])  # the same again: ignored
    assert one.snapshot() == other.snapshot()
    assert b'"sparse":[4,7,9]' in one.snapshot()


def test_a_state_does_not_depend_on_how_a_process_hashes() -> None:
    code = (
        "from otel_phi.recorder.core import RecorderCore; from tests.recorder.cuts import CAPTURED, CAPTURED_REST, FULL, fed; import sys\n"
        "core = RecorderCore(); fed(core, FULL); sys.stdout.buffer.write(core.snapshot())"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=golden.PROJECT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert found[0].startswith(b'{"format":1,')


# --- how large -------------------------------------------------------------------------------------------------------------


def session(number: int) -> str:
    return str(uuid.UUID(int=number << 64 | number))


def remembering(count: int) -> RecorderCore:
    core = RecorderCore()
    for number in range(count):
        loop = f"{session(number)}.mock.1"
        fed(core, [start(number, loop, session=session(number)), end(number + 0.5, loop)])
    return core


def test_a_remembered_loop_with_its_session_costs_less_than_a_hundred_bytes() -> None:
    empty, full = len(RecorderCore().snapshot()), len(remembering(1_000).snapshot())
    assert (full - empty) / 1_000 < 100


def test_a_loops_state_does_not_grow_with_its_turns() -> None:
    core, sizes = RecorderCore(), []
    fed(core, [start(0)])
    for index in range(400):
        fed(core, [*whole_turn(index * 20, index)])
        sizes.append(len(core.snapshot()))
    assert max(sizes) - sizes[0] < 50  # digits of sums and indexes


def test_an_open_loop_with_an_open_turn_costs_less_than_three_kilobytes() -> None:
    core = RecorderCore()
    config = ConfigSnapshot(model="claude-sonnet-4-5", provider="anthropic", api="anthropic_messages")
    story = [*whole_turn(1), turn(20, 1), request(21, 1), said(30), tool(), tool_end(), result(31), tool("c2")]
    before = len(core.snapshot())
    fed(core, [start(0, config_snapshot=config), *story])
    assert len(core.snapshot()) - before < 3_000


# --- in slices -------------------------------------------------------------------------------------------------------------


def test_the_slices_are_small_and_joined_they_are_the_snapshot() -> None:
    core = remembering(1_000)
    for number in range(100):
        loop = f"{session(number)}.mock.2"
        fed(core, [start(2_000 + number, loop, session=session(number)), *whole_turn(3_000, 0, loop)])
    parts = list(core.snapshot_parts())
    assert b"".join(parts) == core.snapshot()
    assert len(parts) > 5
    longest = max(len(line) for line in core.snapshot().splitlines())
    assert max(map(len, parts)) < PART_BYTES + longest + 1
    assert [len(list(RecorderCore().snapshot_parts()))] == [1]


def test_a_core_is_restored_in_slices_and_whole_at_the_last() -> None:
    core = remembering(1_000)
    fed(core, FULL)
    state = core.snapshot()
    open_loops = [(found, found.open_loops) for found in RecorderCore.restore_parts(state)]
    assert len(open_loops) >= len(state) // (PART_BYTES * 2)
    assert len({id(found) for found, _ in open_loops}) == 1
    assert open_loops[0][1] == 0
    assert open_loops[-1][0].snapshot() == state


def test_a_core_that_is_fed_between_the_parts_of_its_snapshot_gives_none() -> None:
    core = remembering(1_000)
    parts = core.snapshot_parts()
    next(parts)
    fed(core, [start(5_000, "new", session="new")])
    with pytest.raises(RuntimeError):
        list(parts)


# --- what is refused -------------------------------------------------------------------------------------------------------


def test_a_state_of_another_format_is_refused_and_the_message_names_both() -> None:
    state = RecorderCore().snapshot().replace(b'"format":1', b'"format":2')
    for ask in (RecorderCore.restore, sessions_of):
        with pytest.raises(ValueError, match="has format 2 and this version of otel-phi reads 1"):
            ask(state)


def test_a_state_cut_short_anywhere_is_refused() -> None:
    core = RecorderCore()
    fed(core, FULL)
    state = core.snapshot()
    for size in range(0, len(state), 7):
        with pytest.raises(ValueError, match="state"):
            RecorderCore.restore(state[:size])


@pytest.mark.parametrize("state", [b"", b"\n", b"{}\n", b"null\n", b"\xff\xfe\n", b"no state\n", b'{"format":"1"}\n'])
def test_what_is_no_state_is_refused(state: bytes) -> None:
    for ask in (RecorderCore.restore, sessions_of):
        with pytest.raises(ValueError, match="no state of a recorder"):
            ask(state)


@given(at_byte=st.integers(0, 100_000), byte=st.integers(0, 255))
def test_a_damaged_state_is_refused_or_read_and_nothing_else(at_byte: int, byte: int) -> None:
    core = RecorderCore()
    fed(core, FULL)
    state = bytearray(core.snapshot())
    state[at_byte % len(state)] = byte
    for ask in (RecorderCore.restore, sessions_of):
        assert refusal_of(ask, bytes(state)) in {"", "no state of a recorder", "the recorder's state"}


def refusal_of(ask: Callable[[bytes], object], state: bytes) -> str:
    """Returns how the refusal of a state begins, "" for one that is read. Any other exception than ours is raised."""
    try:
        ask(state)
    except ValueError as error:
        found = re.match("no state of a recorder|the recorder's state", str(error))
        return found[0] if found else str(error)
    return ""


def test_a_session_that_is_not_there_is_damage() -> None:
    state = remembering(2).snapshot()
    for number in (b"7", b"-1"):
        with pytest.raises(ValueError, match="damaged"):
            RecorderCore.restore(state.replace(b'["~.mock.1",1,', b'["~.mock.1",' + number + b","))


def test_the_state_of_a_source_that_reads_ahead_needs_what_that_source_knows() -> None:
    ahead = ahead_of([start(0)])
    with pytest.raises(ValueError, match="reads ahead"):
        RecorderCore.restore(RecorderCore(ahead).snapshot())
    with pytest.raises(ValueError, match="does not read ahead"):
        RecorderCore.restore(RecorderCore().snapshot(), ahead)


# --- what is open, and a session forgotten -----------------------------------------------------------------------------------


def test_a_state_says_how_much_is_open_and_whose() -> None:
    core = RecorderCore()
    fed(core, FULL)
    fed(core, [start(200, "theirs", session=OTHER)])
    state = core.snapshot()
    assert core.open_work() == RecorderCore.restore(state).open_work() == OpenWork(loops=8, turns=2, groups=2)
    mine = {"g2", "read", LOOP, *(f"{SESSION}.{name}" for name in ("open", "own", "sub", "sub.2"))}
    assert sessions_of(state) == {"theirs": OTHER, **dict.fromkeys(mine, SESSION)}
    assert sessions_of(RecorderCore().snapshot()) == {}


def test_a_session_is_forgotten_in_any_spelling_without_a_word_and_the_others_stay() -> None:
    core = RecorderCore()
    fed(core, FULL)
    fed(core, [start(200, "theirs", session=OTHER), turn(201, 0, "theirs")])
    assert core.forget_session(SESSION.upper()) == 7
    assert core.open_work() == OpenWork(1, 1, 0)
    assert core.forget_session(SESSION) == 0
    assert restored(core).open_work() == OpenWork(1, 1, 0)
    ignored = core.counts["loop_not_open"]
    assert fed(core, [turn(202, 7), end(203), ParallelLoopEnd(session_id=SESSION, selected_loop_id="g1")]) == []
    assert core.counts["loop_not_open"] == ignored + 2
    told = core.flush(lost=True)
    assert {notice.loop.identity.session_id for notice in told if isinstance(notice, LoopClosed)} == {OTHER}


def test_a_forgotten_session_that_goes_on_opens_no_second_time() -> None:
    core = RecorderCore()
    fed(core, [start(0)])
    assert core.forget_session(SESSION) == 1
    notices = fed(core, whole_loop(10, f"{SESSION}.mock.2", parent_loop_id=LOOP))
    assert not [notice for notice in notices if isinstance(notice, SessionOpened)]
    assert len([notice for notice in notices if isinstance(notice, LoopClosed)]) == 1
