"""Small streams by hand, wild ones by Hypothesis, and good ones mutilated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET

from otel_phi.events import (
    AgentEnd,
    AgentEvent,
    AgentStart,
    AssistantMessage,
    CompactionEnded,
    CompactionStarted,
    ConfigSnapshot,
    ExtensionMessage,
    GenericEvent,
    InputRejected,
    Instant,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ParallelLoopEnd,
    ParallelLoopStart,
    ProgressMessage,
    PrunApplied,
    RequestPayload,
    ResponseFormat,
    RevertApplied,
    SideCall,
    Source,
    Tag,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    ToolResult,
    ToolResultMessage,
    TurnEnd,
    TurnId,
    TurnRequest,
    TurnStart,
    Usage,
    UserMessage,
    Vcs,
)

SESSION = "0f8b7c1e-2d4a-4c59-9e1b-6a7d3f2c8b10"
OTHER = "5c2e9d74-8b1f-4a3e-b6d0-1f9a7e3c5d28"
LOOP = f"{SESSION}.mock.1"
EPOCH_MS = 1_780_000_000_000
TOKENS = Usage(10, 5)


def at(ms: float) -> Instant:
    """Returns the time so many milliseconds into the story."""
    return Instant(EPOCH_MS * 1_000_000 + round(ms * 1_000_000))


def text(words: str) -> msgspec.Raw:
    """Returns a content of one text block."""
    return msgspec.Raw(msgspec.json.encode([{"type": "text", "text": words}]))


def start(ms: float, loop: str = LOOP, *, session: str = SESSION, **more: Any) -> AgentStart:
    return AgentStart(session_id=session, loop_id=loop, timestamp=at(ms), agent_id="agent", **more)


def end(ms: float | None, loop: str = LOOP, **more: Any) -> AgentEnd:
    return AgentEnd(loop_id=loop, timestamp=None if ms is None else at(ms), **more)


def turn(ms: float | None, index: int = 0, loop: str = LOOP, by: str = "User") -> TurnStart:
    return TurnStart(loop_id=loop, turn_index=index, timestamp=None if ms is None else at(ms), triggered_by=by)


def request(ms: float, index: int = 0, loop: str = LOOP, **payload: Any) -> TurnRequest:
    body = RequestPayload(**{"model_id": "mock", **payload})
    return TurnRequest(loop_id=loop, turn_index=index, payload=body, timestamp=at(ms))


def answer(ms: int = 0, index: int | None = None, loop: str = LOOP, **fields: Any) -> AssistantMessage:
    turn_id = None if index is None else TurnId(loop, index)
    given = {"model": "mock", "provider": "mock", "usage": TOKENS, **fields}
    return AssistantMessage(timestamp=EPOCH_MS + ms if ms else 0, turn_id=turn_id, **given)


def said(ms: int, loop: str = LOOP, **fields: Any) -> MessageEnd:
    return MessageEnd(loop_id=loop, message=answer(ms, None, loop, **fields))


def user(words: str, ms: int = 1, loop: str = LOOP) -> MessageEnd:
    return MessageEnd(loop_id=loop, message=UserMessage(content=text(words), timestamp=EPOCH_MS + ms))


def turn_end(ms: float | None, index: int | None = 0, loop: str = LOOP, **more: Any) -> TurnEnd:
    fields = {"message": answer(0, index, loop), "usage": TOKENS, **more}
    return TurnEnd(loop_id=loop, timestamp=None if ms is None else at(ms), **fields)


def tool(call: str = "c1", name: str = "bash", loop: str = LOOP) -> ToolExecutionStart:
    return ToolExecutionStart(loop_id=loop, tool_call_id=call, tool_name=name)


def tool_end(
    call: str = "c1", name: str = "bash", loop: str = LOOP, *, error: str | None = None, child: str | None = None
) -> ToolExecutionEnd:
    result = ToolResult(content=text(error or "done"))
    return ToolExecutionEnd(
        loop_id=loop,
        tool_call_id=call,
        tool_name=name,
        result=result,
        is_error=error is not None,
        child_loop_id=child,
    )


def result(ms: int, call: str = "c1", name: str = "bash", loop: str = LOOP, **more: Any) -> MessageEnd:
    stamp = EPOCH_MS + ms if ms else 0
    message = ToolResultMessage(tool_call_id=call, tool_name=name, timestamp=stamp, content=text("done"), **more)
    return MessageEnd(loop_id=loop, message=message)


def listed(*results: tuple[str, int]) -> msgspec.Raw:
    """Returns `TurnEnd.tool_results`: for each call id the time of its result, milliseconds into the story."""
    messages = [
        {"role": "toolResult", "toolCallId": call, "toolName": "bash", "timestamp": EPOCH_MS + ms, "isError": False}
        for call, ms in results
    ]
    return msgspec.Raw(msgspec.json.encode(messages))


def whole_turn(ms: float, index: int = 0, loop: str = LOOP) -> list[AgentEvent]:
    """Returns a turn of ten milliseconds without tools."""
    return [
        turn(ms, index, loop),
        request(ms + 1, index, loop),
        said(round(ms) + 9, loop),
        turn_end(ms + 10, index, loop),
    ]


def whole_loop(ms: float, loop: str = LOOP, **more: Any) -> list[AgentEvent]:
    """Returns a loop of one turn, 12 milliseconds long."""
    return [start(ms, loop, **more), *whole_turn(ms + 1, 0, loop), end(ms + 12, loop)]


# One small stream for each row of the mapping table that the demo and the golden traces together do not show.
SMALL_CASES: dict[str, list[AgentEvent]] = {
    "settings": [
        start(
            0,
            parent_loop_id=None,
            config_snapshot=ConfigSnapshot(
                model="m", provider="google", api="google_vertex", thinking_level="high", temperature=0.5, max_tokens=9
            ),
        ),
        turn(1),
        request(
            2,
            max_tokens=5,
            temperature=0.25,
            thinking_level="low",
            response_format=ResponseFormat("json-schema"),
        ),
        said(9, model="m-2026-01", usage=Usage(100, 20, 7, 30, 0, 150)),
        turn_end(10),
        end(11, usage=Usage(100, 20, 7, 30, 0, 150)),
    ],
    "errors": [
        start(0),
        turn(1),
        request(2),
        turn_end(5, message=answer(4, 0, stop_reason="error", error_message="API error: 500", usage=Usage())),
        user("[Agent stopped: Max turns reached (1/1)]", 6),
        end(7),
    ],
    "never ended": [start(0), turn(1), request(2), tool()],
    "rerun": [
        *whole_loop(0),
        *whole_loop(20, f"{SESSION}.mock.2", parent_loop_id=LOOP, continuation_kind={"Rerun": Tag("why")}),
    ],
    "own context": [
        start(0),
        turn(1),
        PrunApplied(loop_id=LOOP, tokens_removed=9, messages_removed=2, timestamp=at(2)),
        RevertApplied(
            loop_id=LOOP, category="tangent", target=4, abandoned_node_ids=(5,), applied=True, timestamp=at(3)
        ),
        GenericEvent(type="Dreamt", loop_id=LOOP, timestamp=at(4)),
        turn_end(5),
        end(6),
    ],
}


READ_FROM = Source(
    agent="codex",
    version="0.1",
    entrypoint="cli",
    cwd="/w",
    title="a title",
    vcs=Vcs(branch="main", revision="abc", repository_url="https://example.org/r.git"),
)
# What phi-core does not write, and agents of one's own and other sources do.
OWN_CASES: dict[str, list[AgentEvent]] = {
    "own agent": [
        start(0, agent_name="planner", parent_loop_id=None),
        turn(1),
        request(2),
        said(9, streamed=False, error_type="RateLimitError", stop_reason="error"),
        ToolExecutionStart(loop_id=LOOP, tool_call_id="c1", tool_name="ask", timestamp=at(10)),
        start(11, f"{SESSION}.sub.1", parent_loop_id=LOOP, parent_tool_call_id="c1", continuation_kind="SubAgent"),
        *whole_turn(12, 0, f"{SESSION}.sub.1"),
        SideCall(
            id="title",
            session_id=SESSION,
            loop_id=LOOP,
            start=at(12),
            end=at(15),
            model="m",
            kind="title",
            usage=TOKENS,
        ),
        end(23, f"{SESSION}.sub.1", outcome="cancelled"),
        ToolExecutionEnd(
            loop_id=LOOP, tool_call_id="c1", tool_name="ask", is_error=True, error_type="ValueError", timestamp=at(24)
        ),
        ToolExecutionStart(loop_id=LOOP, tool_call_id="c2", tool_name="ask", timestamp=at(25)),
        ToolExecutionEnd(loop_id=LOOP, tool_call_id="c2", tool_name="ask", outcome="detached", timestamp=at(26)),
        turn_end(26, None, message=None, usage=Usage()),
        turn(27, 1),
        request(27, 1),
        said(40, first_token_ms=5, usage=Usage(100, 20, cache_read=7, cached="out", partial=True)),
        end(41, outcome="error", error_type="KeyError"),
        SideCall(id="late", session_id=SESSION, start=at(50), end=at(52), model="m", streamed=False),
        SideCall(id="alone", session_id=OTHER, start=at(50), error_type="Timeout"),
    ],
    "read": [
        start(0, source=READ_FROM, parent_loop_id=None),
        turn(1),
        said(9, cost_usd=0.25),
        ToolExecutionStart(loop_id=LOOP, tool_call_id="c1", tool_name="ask", timestamp=at(8)),
        ToolExecutionEnd(loop_id=LOOP, tool_call_id="c1", tool_name="ask", timestamp=at(20)),
        SideCall(id="in", session_id=SESSION, loop_id=LOOP, start=at(12), end=at(15), model="m", usage=TOKENS),
        turn_end(21, None, message=None, usage=Usage()),
        start(11, f"{SESSION}.a1", parent_loop_id=None, parent_tool_call_id="c1", source=READ_FROM),
        *whole_turn(12, 0, f"{SESSION}.a1"),
        end(25, f"{SESSION}.a1", outcome="ok"),
        end(30, outcome="ok"),
    ],
    "an MCP tool": [
        start(0),
        turn(1),
        said(2),
        tool(name="mcp__web__get"),
        tool_end(name="mcp__web__get"),
        turn_end(9),
        end(10),
    ],
}


# --- wild streams ------------------------------------------------------------------------------------------------------

_SESSIONS = [SESSION, SESSION.upper(), OTHER, "s", "dotted.session", "", "00000000-0000-0000-0000-000000000000"]
_LOOPS = [LOOP, f"{SESSION}.mock.2", f"{OTHER}.sub.1", OTHER, "compaction", "s.c.1", "dotted.session.c.1", ""]
loops = st.one_of(st.just(LOOP), st.just(f"{SESSION}.mock.2"), st.sampled_from(_LOOPS))
sessions = st.one_of(st.just(SESSION), st.sampled_from(_SESSIONS))
names = st.sampled_from(["c1", "c2", "bash", "", "x" * 300, "\u2028\U0001f916"])
_near = st.integers(0, 50).map(at)
instants = st.one_of(_near, _near, _near, st.integers(-(2**62), 2**65).map(Instant))
stamps = st.one_of(_near, _near, st.none(), instants)
milliseconds = st.one_of(st.integers(0, 50).map(lambda ms: EPOCH_MS + ms), st.just(0), st.integers(-(2**63), 2**63 - 1))
indexes = st.one_of(st.integers(0, 3), st.integers(-2, 2_000), st.integers(-(2**63), 2**63 - 1))
told = st.sampled_from([UNSET, "", "s", SESSION, OTHER])
outcomes = st.sampled_from([UNSET, "", "ok", "error", "cancelled", "detached", "newer"])
times = st.one_of(st.just(UNSET), st.integers(0, 50).map(at))
counts = st.one_of(st.integers(0, 500), st.integers(0, 2**63 - 1))
usages = st.one_of(
    st.just(Usage()),
    st.builds(Usage, counts, counts, counts, counts, counts, counts),
    st.builds(Usage, counts, cached=st.sampled_from(["in", "out", "newer"]), partial=st.booleans()),
)
raws = st.sampled_from([b"null", b"[]", b'"x"', b'[{"type":"text","text":"Cancelled"}]', b'{"text":[', b"[1"]).map(
    msgspec.Raw
)
words = st.sampled_from(["stop", "toolUse", "error", "aborted", "length", "newer", "", "Cancelled", "Rate limited"])
kinds = st.sampled_from(
    ["Initial", "Default", "Compaction", "Newer", "", None, {"Rerun": Tag("t")}, {"Branch": Tag()}, {}]
)
apis = st.sampled_from([None, "anthropic_messages", "google_vertex", "openai_completions", "newer"])
configs = st.builds(
    ConfigSnapshot, model=names, provider=words, api=apis, base_url=st.sampled_from([None, "http://[", "https://u@h/p"])
)
_ids = st.builds(TurnId, loops, indexes)
messages = st.one_of(
    st.none(),
    st.builds(
        UserMessage,
        content=st.one_of(raws, st.just(text("[Agent stopped: Max turns reached (1/1)]"))),
        timestamp=milliseconds,
    ),
    st.builds(
        AssistantMessage,
        timestamp=milliseconds,
        turn_id=st.one_of(st.none(), _ids),
        stop_reason=words,
        model=names,
        provider=words,
        usage=usages,
        error_message=st.one_of(st.none(), words),
        error_type=outcomes,
        first_token_ms=st.one_of(st.just(UNSET), milliseconds),
        streamed=st.sampled_from([UNSET, True, False]),
    ),
    st.builds(ToolResultMessage, content=raws, timestamp=milliseconds, tool_call_id=names, tool_name=names),
    st.builds(ExtensionMessage, kind=names),
)
_results = st.one_of(st.none(), st.builds(ToolResult, content=raws, child_loop_id=st.one_of(st.none(), loops)))
_tools = {"loop_id": loops, "tool_call_id": names, "tool_name": names}
starts = st.builds(
    AgentStart,
    session_id=sessions,
    loop_id=loops,
    timestamp=instants,
    parent_loop_id=st.one_of(st.none(), loops),
    continuation_kind=kinds,
    metadata=raws,
    config_snapshot=st.one_of(st.none(), configs),
    parent_session_id=told,
    parent_tool_call_id=st.one_of(st.just(UNSET), names),
    agent_name=told,
    attributes=st.sampled_from([UNSET, {}, {"a": 1, "gen_ai.operation.name": "x"}]),
)
side_calls = st.builds(
    SideCall,
    id=names,
    session_id=sessions,
    loop_id=st.one_of(st.none(), loops),
    start=st.integers(0, 50).map(at),
    end=st.one_of(st.none(), instants),
    usage=usages,
    stop_reason=words,
    error_type=outcomes,
)
events: st.SearchStrategy[AgentEvent] = st.one_of(
    starts,
    starts,
    st.builds(
        AgentEnd,
        loop_id=loops,
        usage=usages,
        timestamp=stamps,
        rejection=st.one_of(st.none(), words),
        outcome=outcomes,
        error_type=outcomes,
    ),
    side_calls,
    st.builds(TurnStart, loop_id=loops, turn_index=indexes, timestamp=stamps, triggered_by=st.one_of(st.none(), words)),
    st.builds(TurnRequest, loop_id=loops, turn_index=indexes, timestamp=stamps, payload=st.none()),
    st.builds(TurnEnd, loop_id=loops, message=messages, usage=usages, timestamp=stamps, tool_results=raws),
    st.builds(MessageStart, loop_id=loops, message=messages),
    st.builds(MessageUpdate, loop_id=loops, message=raws, delta=raws),
    st.builds(MessageEnd, loop_id=loops, message=messages),
    st.builds(ToolExecutionStart, **_tools, args=raws, timestamp=times),
    st.builds(ToolExecutionUpdate, **_tools),
    st.builds(
        ToolExecutionEnd,
        **_tools,
        result=_results,
        is_error=st.booleans(),
        child_loop_id=st.one_of(st.none(), loops),
        error_type=outcomes,
        child_session_id=told,
        outcome=outcomes,
        timestamp=times,
    ),
    st.builds(ProgressMessage, **_tools, text=words),
    st.builds(InputRejected, loop_id=loops, reason=words),
    st.builds(
        ParallelLoopStart, session_id=sessions, loop_ids=st.lists(loops, max_size=4).map(tuple), timestamp=stamps
    ),
    st.builds(ParallelLoopEnd, session_id=sessions, selected_loop_id=loops, evaluation_usage=usages, timestamp=stamps),
    st.builds(CompactionStarted, loop_id=loops, estimated_tokens=counts, timestamp=stamps),
    st.builds(CompactionEnded, loop_id=loops, messages_before=counts, timestamp=stamps),
    st.builds(PrunApplied, loop_id=loops, tokens_removed=counts, timestamp=stamps),
    st.builds(RevertApplied, loop_id=loops, category=words, timestamp=stamps),
    st.builds(GenericEvent, type=names, loop_id=st.one_of(st.none(), loops), timestamp=stamps),
)
wild_streams = st.tuples(starts, st.lists(events, max_size=60)).map(lambda drawn: [drawn[0], *drawn[1]])


# --- mutilated streams -------------------------------------------------------------------------------------------------

_BLOWS = st.tuples(
    st.sampled_from(["drop", "double", "move", "swap", "cut", "repeat"]), st.integers(0, 9_999), st.integers(0, 9_999)
)


class Mutilated(NamedTuple):
    """Is a recipe: which streams, how they are interleaved, and what is done to them. Short to print when it fails."""

    one: str
    other: str | None
    stride: int
    blows: list[tuple[str, int, int]]

    def of(self, streams: dict[str, list[AgentEvent]]) -> list[AgentEvent]:
        """Returns the stream that the recipe makes: events dropped, doubled, moved, interleaved."""
        found = list(streams[self.one])
        if self.other is not None:
            found = _interleaved(found, streams[self.other], self.stride)
        for blow, here, there in self.blows:
            if len(found) >= 3:
                _strike(found, blow, here % len(found), there % len(found))
        return found


def mutilated(streams: Iterable[str]) -> st.SearchStrategy[Mutilated]:
    """Draws recipes over the streams of these names."""
    names = st.sampled_from(sorted(streams))
    return st.builds(Mutilated, names, st.none() | names, st.integers(1, 7), st.lists(_BLOWS, max_size=12))


def _strike(found: list[AgentEvent], blow: str, here: int, there: int) -> None:
    match blow:
        case "drop":
            del found[here]
        case "double":
            found.insert(here, found[here])
        case "move":
            found.insert(there, found.pop(here))
        case "swap":
            found[here], found[there] = found[there], found[here]
        case "cut":
            del found[here : here + 5]
        case _:
            found[there:there] = found[here : here + 10]


def _interleaved(one: list[AgentEvent], other: list[AgentEvent], stride: int) -> list[AgentEvent]:
    mixed: list[AgentEvent] = []
    rest = list(other)
    for number, event in enumerate(one):
        mixed.append(event)
        if number % stride == 0 and rest:
            mixed.append(rest.pop(0))
    return mixed + rest
