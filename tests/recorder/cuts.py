"""Streams gone through a recorder core in one go, and cut: what each says, as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.events import (
    AgentEvent,
    CompactionEnded,
    CompactionStarted,
    ConfigSnapshot,
    GenericEvent,
    InputRejected,
    ParallelLoopEnd,
    ParallelLoopStart,
    PrunApplied,
    RevertApplied,
    SideCall,
    Tag,
    ToolExecutionEnd,
    ToolExecutionStart,
    Usage,
)
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.policy.capture.rules import Capture
from otel_phi.policy.content import without_content
from otel_phi.policy.options import ContentOptions
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import Notice
from otel_phi.recorder.references import Ahead
from otel_phi.wire.decode import Undecodable
from tests.delivery.samples import RESOURCE
from tests.streams import (
    LOOP,
    OTHER,
    READ_FROM,
    SESSION,
    answer,
    at,
    end,
    request,
    result,
    said,
    start,
    text,
    tool,
    tool_end,
    turn,
    turn_end,
    user,
    whole_loop,
)

OPTIONS = [
    MappingOptions(service_name="t"),
    MappingOptions(loop_layout="flat", tool_spans=False, agent_name="a", trace_namespace="n", mlflow_trace_name=True),
    MappingOptions(trace_scope="loop", join=True, caller=f"00-{1:032x}-{2:016x}-01"),
]
CALLER = f"00-{7:032x}-{8:016x}-01"
_CAPTURE = Capture(ContentOptions(capture=True), 32_768)
GROUP = ("g1", "g2", "g3")

# At its end each kind of state is held at once, see `test_snapshot.test_every_field_of_a_state_is_written_once_at_least`.
FULL: list[AgentEvent] = [
    ParallelLoopStart(session_id=SESSION, loop_ids=GROUP, timestamp=at(0)),
    *whole_loop(1, "g1"),
    start(2, "g2"),
    ParallelLoopEnd(session_id=SESSION, selected_loop_id="g1", selected_config_index=1, evaluation_usage=Usage(1, 2)),
    ParallelLoopStart(session_id=SESSION, loop_ids=("g3",)),
    # What phi-core does not write.
    SideCall(id="title", session_id=OTHER, start=at(1), end=at(2)),
    SideCall(id="beside", session_id=SESSION, loop_id="g2", start=at(1), end=at(3), usage=Usage(5, 6)),
    start(
        3,
        f"{SESSION}.own",
        agent_name="planner",
        attributes={"tier": "gold", "beta": True, "share": 1.0, "count": 1},
        session_attributes={"user.id": "ada", "seats": 2},
    ),
    turn(4, 0, f"{SESSION}.own"),
    said(5, f"{SESSION}.own", first_token_ms=7, streamed=True),
    ToolExecutionStart(loop_id=f"{SESSION}.own", tool_call_id="c1", tool_name="ask", timestamp=at(6)),
    ToolExecutionStart(loop_id=f"{SESSION}.own", tool_call_id="c2", tool_name="ask", timestamp=at(6)),
    ToolExecutionStart(loop_id=f"{SESSION}.own", tool_call_id="c3", tool_name="ask", timestamp=at(6)),
    start(7, f"{SESSION}.sub", parent_loop_id=f"{SESSION}.own", parent_tool_call_id="c1", continuation_kind="SubAgent"),
    start(
        7, f"{SESSION}.sub.2", parent_loop_id=f"{SESSION}.own", parent_tool_call_id="c4", continuation_kind="SubAgent"
    ),
    ToolExecutionEnd(
        loop_id=f"{SESSION}.own", tool_call_id="c2", child_loop_id="far", child_session_id="away", timestamp=at(8)
    ),
    ToolExecutionEnd(loop_id=f"{SESSION}.own", tool_call_id="c3", outcome="detached", timestamp=at(8)),
    start(9, "read", source=READ_FROM),
    turn(9, 0, "read"),
    said(10, "read", cost_usd=0.25),
    tool("known", loop="read"),
    tool_end("known", loop="read"),
    turn_end(12, 0, "read"),
    *whole_loop(20, OTHER, session=OTHER, metadata=msgspec.Raw(f'{{"traceparent":"{CALLER}"}}'.encode())),
    start(
        40,
        parent_loop_id=OTHER,
        continuation_kind={"Branch": Tag("t")},
        config_snapshot=ConfigSnapshot(model="m", provider="anthropic", temperature=0.5),
    ),
    PrunApplied(loop_id=LOOP, tokens_removed=3, memo="kept", timestamp=at(41)),
    RevertApplied(loop_id=LOOP, category="tangent", abandoned_node_ids=(5,), timestamp=at(42)),
    InputRejected(loop_id=LOOP, reason="no"),
    GenericEvent(type="Dreamt", loop_id=LOOP, timestamp=at(43), raw=msgspec.Raw(b'{"type": "Dreamt"}')),
    CompactionStarted(loop_id=LOOP, estimated_tokens=9, timestamp=at(44)),
    user("[Agent stopped: Max turns reached (1/1)]", 45),
    turn(46, 5),
    turn_end(47, 5, message=answer(47, 5)),
    turn(50),
    CompactionStarted(loop_id=LOOP, estimated_tokens=8, timestamp=at(51)),
    CompactionEnded(loop_id=LOOP, messages_before=4, timestamp=at(52)),
    said(53),
    tool("c9"),
    tool_end("c9", child=OTHER),
    tool("c8"),
    *[PrunApplied(loop_id=LOOP, timestamp=at(54)) for _ in range(130)],
    *whole_loop(62, f"{SESSION}.child", parent_loop_id=LOOP),
    start(80, f"{SESSION}.open", parent_loop_id=LOOP),
    turn(89),  # aborts the one before, with its tool and its happenings, and is closed already: a repeat
    CompactionEnded(loop_id=LOOP, messages_before=4, timestamp=at(91)),
    request(92, temperature=0.25),
    said(93),
    *[tool(call) for call in ("c1", "c1", "c2", "c3")],
    tool_end("c1", error="Tool exceeded timeout"),
    tool_end("c2", child=OTHER),
    result(94),
    result(95, "unseen", is_error=True),
    *[PrunApplied(loop_id=LOOP, timestamp=at(96)) for _ in range(130)],
    CompactionStarted(loop_id=LOOP, estimated_tokens=7, timestamp=at(97)),
    turn_end(98, 5),  # closed already
    end(99, "unknown"),
]
# Contents are captured: a session that waits for its prompt, and a loop that has all there is.
CAPTURED: list[AgentEvent] = [
    start(100, "waiting", session="waits"),
    start(101, "captured", session="captures"),
    turn(102, 0, "captured"),
    user("go", 102, "captured"),
    said(103, "captured", content=text("I think")),
    turn_end(104, 0, "captured"),
    turn(105, 1, "captured"),
    request(
        106,
        1,
        "captured",
        system_prompt=text("be brief"),
        tools=msgspec.Raw(b"[]"),
        messages=msgspec.Raw(b'[{"role":"user","content":"go"},{"role":"assistant"},{"role":"user","content":"on"}]'),
    ),
    result(107, "c0", loop="captured"),
    said(107, "captured", content=text("use a tool")),
    ToolExecutionStart(loop_id="captured", tool_call_id="c1", tool_name="ask", args=msgspec.Raw(b'{"q":1}')),
    tool_end("c1", loop="captured"),
    ToolExecutionStart(loop_id="captured", tool_call_id="c2", tool_name="ask", args=msgspec.Raw(b'{"q":2}')),
    result(108, "c1", loop="captured"),
]
CAPTURED_REST: list[AgentEvent] = [
    turn(109, 0, "waiting"),
    user("hello", 110, "waiting"),
    end(111, "waiting"),
    tool_end("c2", loop="captured"),
    turn_end(112, 1, "captured"),
    turn(113, 2, "captured"),
    request(114, 2, "captured", system_prompt=text("be brief"), tools=msgspec.Raw(b"[]")),
    said(115, "captured", content=text("done")),
    turn_end(116, 2, "captured"),
    end(117, "captured"),
]
# What goes on from there, so that each of it is told.
REST: list[AgentEvent] = [
    SideCall(id="title", session_id=OTHER.upper(), start=at(1), end=at(2)),
    SideCall(id="beside", session_id=SESSION, loop_id="g2", start=at(1), end=at(3), usage=Usage(5, 6)),
    start(97, "read.sub", source=READ_FROM, parent_loop_id=None, parent_tool_call_id="known"),
    end(98, "read.sub"),
    end(98, "read"),
    end(98, f"{SESSION}.sub", outcome="cancelled"),
    ToolExecutionStart(loop_id=f"{SESSION}.own", tool_call_id="c4", tool_name="ask", timestamp=at(98)),
    end(99, f"{SESSION}.sub.2"),
    turn_end(99, 0, f"{SESSION}.own"),
    end(99, f"{SESSION}.own", outcome="error", error_type="KeyError"),
    tool_end("c1"),
    result(100),
    CompactionEnded(loop_id=LOOP, messages_before=4, timestamp=at(101)),
    turn_end(102),
    turn(103, 5),
    turn_end(104, 5),
    end(105),
    end(106, f"{SESSION}.open"),
    end(107, "g2"),
    start(108, "g3"),
    end(109, "g3"),
    ParallelLoopEnd(session_id=SESSION, selected_loop_id="g3"),
    start(110, f"{SESSION}.last", parent_loop_id=LOOP),
    start(110, f"{SESSION}.last", parent_loop_id=LOOP),
]


def _plain(value: Any) -> Any:
    return repr(bytes(value)) if isinstance(value, msgspec.Raw) else int(value)


_notices = msgspec.json.Encoder(enc_hook=_plain)


def fed(core: RecorderCore, events: Iterable[AgentEvent]) -> list[Notice]:
    """Returns the notices of some events, as they may be said: with contents those of `CAPTURED`, without them all others."""
    return [notice for event in events for notice in core.on_event(_admitted(event))]


def _admitted(event: AgentEvent) -> AgentEvent:
    if getattr(event, "loop_id", None) not in ("waiting", "captured"):
        return without_content(event)
    said = _CAPTURE.admit(event)
    assert not isinstance(said, Undecodable)
    return said


def as_bytes(notices: Sequence[Notice]) -> list[bytes]:
    """Returns notices as bytes, each with its kind, and then their spans as bytes under several sets of options."""
    encoders = [(options, Encoder(RESOURCE)) for options in OPTIONS]
    said = [type(notice).__name__.encode() + _notices.encode(notice) for notice in notices]
    spans = [
        encoder.span(span) for options, encoder in encoders for notice in notices for span in spans_of(notice, options)
    ]
    return said + spans


def restored(core: RecorderCore, ahead: Ahead | None = None) -> RecorderCore:
    """Returns a core made of a core's state, which is written again as it was."""
    state = core.snapshot()
    found = RecorderCore.restore(state, ahead)
    assert found.snapshot() == state
    return found


def after_cuts(events: list[AgentEvent], cuts: Iterable[int], *, lost: bool, ahead: Ahead | None = None) -> None:
    """Asserts that a stream cut at some of its events says after each cut what it says without one."""
    whole, cut, begin = RecorderCore(ahead), RecorderCore(ahead), 0
    for stop in [*sorted({number % (len(events) + 1) for number in cuts}), len(events)]:
        assert as_bytes(fed(cut, events[begin:stop])) == as_bytes(fed(whole, events[begin:stop]))
        cut, begin = restored(cut, ahead), stop
        assert cut.counts == whole.counts
        assert cut.open_work() == whole.open_work()
    assert as_bytes(cut.flush(lost=lost)) == as_bytes(whole.flush(lost=lost))
    assert cut.snapshot() == whole.snapshot()
