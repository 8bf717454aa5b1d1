"""What each kind of span says, where a snapshot of the demo does not show it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GenAiProviderNameValues

from otel_phi.events import (
    AgentEvent,
    AgentStart,
    CompactionEnded,
    CompactionStarted,
    ConfigSnapshot,
    ResponseFormat,
    Usage,
)
from otel_phi.mapping import semconv as s
from otel_phi.mapping.build import MAX_TIME_NS, clamp_times, inside
from otel_phi.mapping.providers import finish_reason, provider_name, server
from otel_phi.mapping.span import Span, SpanKind
from otel_phi.pipeline import spans
from otel_phi.recorder import references
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import TurnClosed
from otel_phi.wire.parts import Tag
from tests import golden
from tests.laws import role
from tests.streams import (
    LOOP,
    OTHER,
    SESSION,
    SMALL_CASES,
    at,
    end,
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
)

# As agents and libraries call them, and the convention's word.
ALIASES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "google_vertex": "gcp.vertex_ai",
    "google-vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "x-ai": "x_ai",
    "xai": "x_ai",
    "groq": "groq",
    "mistralai": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "deepseek": "deepseek",
    "perplexity": "perplexity",
    "cohere": "cohere",
}


def of(kind: str, events: list[AgentEvent]) -> Span:
    (found,) = [span for span in spans(events) if role(span) == kind]
    return found


@pytest.mark.parametrize(
    ("api", "provider", "name"),
    [
        ("anthropic_messages", "anthropic", "anthropic"),
        ("open_ai_responses", "openai", "openai"),
        ("openai_responses", "x", "openai"),
        ("azure_open_ai_responses", "azure", "azure.ai.openai"),
        ("azure_openai_responses", "azure", "azure.ai.openai"),
        ("google_generative_ai", "google", "gcp.gemini"),
        ("google_vertex", "google", "gcp.vertex_ai"),
        ("bedrock_converse_stream", "bedrock", "aws.bedrock"),
        ("open_ai_completions", "groq", "groq"),
        ("openai_completions", "xAI", "x_ai"),
        (None, "mistral", "mistral_ai"),
        (None, "moonshot", "moonshot_ai"),
        *[
            (None, written, name)
            for alias, name in ALIASES.items()
            for written in (alias, alias.upper(), alias.title())
        ],
        ("open_ai_completions", "google", "gcp.gemini"),
        ("open_ai_completions", "OpenAI", "openai"),
        (None, "mock", "mock"),
        (None, "My-Own", "My-Own"),
        (None, "Unknown", None),
        (None, "unknown", None),
        (None, "", None),
        (None, None, None),
    ],
)
def test_providers_have_the_conventions_names(api: str | None, provider: str | None, name: str | None) -> None:
    assert provider_name(api, provider) == name


def test_every_well_known_provider_keeps_its_name_in_any_case() -> None:
    well_known = {each.value for each in GenAiProviderNameValues}
    assert len(well_known) >= 14
    for value in well_known:
        assert provider_name(None, value) == provider_name(None, value.upper()) == value


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"), ("length", "length"), ("toolUse", "tool_call"), ("error", "error"), ("aborted", "error"),
        ("guardRail", "content_filter"), ("contextCompacted", "compaction"), ("maxTurns", "max_turns"),
        ("userStop", "user_stop"), ("handoff", "handoff"), ("paused", "paused"), ("newer", "newer"),
    ],
)  # fmt: skip
def test_stop_reasons_have_the_conventions_words_beside_phi_cores_own(reason: str, word: str) -> None:
    assert finish_reason(reason) == word
    chat = of("chat", [start(0), turn(1), said(2, stop_reason=reason), turn_end(5), end(6)])
    assert (chat.get(s.FINISH_REASONS), chat.get(s.STOP_REASON)) == ((word,), reason)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.anthropic.com", ("api.anthropic.com", 443)),
        ("http://localhost:11434/v1?key=secret", ("localhost", 11434)),
        ("https://user:secret@host/path", ("host", 443)),
        ("http://[::1]:8080", ("::1", 8080)),
        ("http://[", (None, None)),
        ("http://host:99999", (None, None)),
        ("nonsense", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_of_a_base_url_host_and_port_are_told_and_never_who_or_what(
    url: str | None, expected: tuple[str | None, int | None]
) -> None:
    assert server(url) == expected


def test_a_chat_asks_what_the_request_said_and_answers_with_another_model_only_if_it_is_another() -> None:
    chat = of("chat", SMALL_CASES["settings"])
    assert [
        chat.get(key) for key in (s.REQUEST_MODEL, s.RESPONSE_MODEL, s.REQUEST_MAX_TOKENS, s.REQUEST_TEMPERATURE)
    ] == [
        "mock",
        "m-2026-01",
        5,
        0.25,
    ]
    assert (chat.get(s.REQUEST_THINKING), chat.get(s.OUTPUT_TYPE), chat.kind) == ("low", "json", SpanKind.CLIENT)
    same = of("chat", [start(0), turn(1), request(2), said(3), turn_end(5), end(6)])
    assert same.get(s.RESPONSE_MODEL) is None


def test_gemini_thoughts_are_output_tokens_on_chat_and_loop() -> None:
    chat, loop = of("chat", SMALL_CASES["settings"]), of("loop", SMALL_CASES["settings"])
    assert (chat.get(s.USAGE_INPUT), chat.get(s.USAGE_OUTPUT), chat.get(s.USAGE_REASONING)) == (100, 50, 30)
    assert (loop.get(s.TOTAL_INPUT), loop.get(s.TOTAL_OUTPUT)) == (100, 50)
    assert (chat.get(s.RAW_OUTPUT), loop.get(s.RAW_OUTPUT), chat.get(s.RAW_MODE)) == (20, 20, "inclusive")


def test_thinking_off_and_a_text_format_are_not_worth_an_attribute() -> None:
    config = ConfigSnapshot(model="m", provider="p", thinking_level="off")
    story: list[AgentEvent] = [
        start(0, config_snapshot=config),
        turn(1),
        request(2, thinking_level="off", response_format=ResponseFormat("text")),
        said(3),
        turn_end(5),
        end(6),
    ]
    for span in (of("chat", story), of("loop", story)):
        assert (span.get(s.REQUEST_THINKING), span.get(s.OUTPUT_TYPE)) == (None, None)


def test_a_call_that_counted_nothing_has_no_usage() -> None:
    story: list[AgentEvent] = [
        start(0),
        turn(1),
        said(2, usage=Usage(), stop_reason="error"),
        turn_end(5, usage=Usage()),
        end(6),
    ]
    assert [key for key, _ in of("chat", story).attributes if "usage" in key] == []
    assert [key for key, _ in of("loop", story).attributes if "usage" in key] == []


def by(agent_id: str, events: list[AgentEvent]) -> list[AgentEvent]:
    """Returns events whose loops are an agent's."""
    return [
        msgspec.structs.replace(event, agent_id=agent_id) if isinstance(event, AgentStart) else event
        for event in events
    ]


def compaction(ms: float, *, ended: bool) -> AgentEvent:
    if ended:
        return CompactionEnded(loop_id=LOOP, messages_before=9, messages_after=4, timestamp=at(ms))
    return CompactionStarted(loop_id=LOOP, estimated_tokens=900, message_count=9, timestamp=at(ms))


def test_a_compaction_is_one_event_with_its_duration_and_marks_the_call_after_it() -> None:
    pair = [compaction(2, ended=False), compaction(4, ended=True)]
    story: list[AgentEvent] = [start(0), turn(1), *pair, said(9), turn_end(10), end(11)]
    (event,) = of("turn", story).events
    assert (event.name, event.time_ns, dict(event.attributes)[s.COMPACTION_DURATION_MS]) == (
        s.EVENT_COMPACTION,
        at(4),
        2.0,
    )
    chat = of("chat", story)
    assert (chat.get(s.COMPACTED), chat.start_ns) == (True, at(4))


def test_a_compaction_after_the_answer_marks_the_calls_behind_it_alone() -> None:
    pair = [compaction(6, ended=False), compaction(7, ended=True)]
    later = [*whole_turn(12, 1), *whole_turn(22, 2)]
    story = [start(0), turn(1), said(5), *pair, turn_end(10), *later, end(40)]
    chats = [span for span in spans(story) if role(span) == "chat"]
    assert [chat.get(s.COMPACTED) for chat in chats] == [None, True, True]


def test_a_compaction_between_turns_marks_the_calls_behind_it() -> None:
    pair = [compaction(12, ended=False), compaction(13, ended=True)]
    story = [start(0), *whole_turn(1, 0), *pair, *whole_turn(22, 1), *whole_turn(32, 2), end(50)]
    chats = [span for span in spans(story) if role(span) == "chat"]
    assert [chat.get(s.COMPACTED) for chat in chats] == [None, True, True]


@pytest.mark.parametrize(
    ("kind", "marked"),
    [
        ("Default", True),
        ("Initial", True),
        ({"Rerun": Tag("t")}, True),
        ({"Branch": Tag("t")}, True),
        ("SubAgent", None),
    ],
    ids=["default", "initial", "rerun", "branch", "sub-agent"],
)
def test_a_loop_that_goes_on_from_a_compacted_one_has_its_context(kind: Any, marked: bool | None) -> None:
    pair = [compaction(2, ended=False), compaction(4, ended=True)]
    story = [start(0), turn(1), *pair, said(9), turn_end(10), end(11)]
    second, third = f"{SESSION}.mock.2", f"{SESSION}.mock.3"
    story += whole_loop(20, second, parent_loop_id=LOOP, continuation_kind=kind)
    story += whole_loop(50, third, parent_loop_id=second, continuation_kind="Default")
    story += by("another", whole_loop(80, f"{SESSION}.mock.4"))
    chats = {span.get(s.LOOP_ID): span.get(s.COMPACTED) for span in spans(story) if role(span) == "chat"}
    assert chats == {LOOP: True, second: marked, third: marked, f"{SESSION}.mock.4": None}


def test_an_agents_next_prompt_goes_on_with_the_compacted_context() -> None:
    """It is a loop without a parent; another agent's, and another session's, has a context of its own."""
    pair = [compaction(2, ended=False), compaction(4, ended=True)]
    story = by("a", [start(0), turn(1), *pair, said(9), turn_end(10), end(11)])
    story += by("a", whole_loop(20, f"{SESSION}.mock.2"))
    story += by("b", whole_loop(50, f"{SESSION}.mock.3"))
    story += by("a", whole_loop(80, f"{OTHER}.mock.1", session=OTHER))
    story += by("a", whole_loop(110, f"{SESSION}.concise.1"))  # a branch of a parallel evaluation, say
    chats = [span.get(s.COMPACTED) for span in spans(story) if role(span) == "chat"]
    assert chats == [True, True, None, None, None]


def test_what_was_compacted_is_remembered_over_a_restart_and_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MAX_COMPACTED_LOOPS", 3)  # of which an agent's is one
    core = RecorderCore()
    for number in range(3):
        loop = f"{SESSION}.l.{number}"
        ended = CompactionEnded(loop_id=loop, messages_before=9, messages_after=4, timestamp=at(number + 1))
        events: list[AgentEvent] = [start(number, loop), ended, end(number + 2, loop)]
        for event in events:
            core.on_event(event)
    again = RecorderCore.restore(core.snapshot())
    assert again.snapshot() == core.snapshot()
    marks = []
    for number in range(3):
        loop = f"{SESSION}.m.{number}"
        for event in whole_loop(100 * (number + 1), loop, parent_loop_id=f"{SESSION}.l.{number}"):
            closed = [notice for notice in again.on_event(event) if isinstance(notice, TurnClosed)]
            marks += [notice.chat.compacted for notice in closed if notice.chat]
    assert marks == [False, True, True]


def test_a_compaction_that_began_and_never_ended_marks_nothing() -> None:
    story = [start(0), turn(1), compaction(2, ended=False), said(5), turn_end(10), end(11)]
    assert of("chat", story).get(s.COMPACTED) is None


@pytest.mark.parametrize(
    ("name", "kind"), [("mcp__github__search", "extension"), ("bash", None), ("mcp_tool", None), ("", None)]
)
def test_a_tools_type_is_said_only_where_its_name_tells(name: str, kind: str | None) -> None:
    story: list[AgentEvent] = [
        start(0),
        turn(1),
        said(2),
        tool("c1", name),
        tool_end("c1", name),
        turn_end(10),
        end(11),
    ]
    assert of("tool", story).get(s.TOOL_TYPE) == kind


@pytest.mark.parametrize(
    ("error", "ran"),
    [
        (None, True),
        ("it broke", True),
        ("Tool exceeded timeout", True),
        ("Skipped due to queued user message.", False),
        ("Tool bash not found", False),
    ],
)
def test_a_tool_that_never_ran_took_no_time(error: str | None, ran: bool) -> None:
    story: list[AgentEvent] = [
        start(0),
        turn(1),
        said(2),
        tool(),
        tool_end(error=error),
        result(6),
        turn_end(10),
        end(11),
    ]
    (event,) = of("turn", story).events
    assert dict(event.attributes).get(s.TOOL_DURATION_MS) == (4.0 if ran else None)


def test_a_compaction_outside_a_turn_is_the_loops() -> None:
    story = [start(0), compaction(2, ended=False), compaction(4, ended=True), end(5)]
    assert [event.name for event in of("loop", story).events] == [s.EVENT_COMPACTION]


def test_the_events_of_a_turn_stand_in_order_of_time() -> None:
    for events in golden.small_streams().values():
        for span in spans(events):
            if role(span) == "turn":
                assert [event.time_ns for event in span.events] == sorted(event.time_ns for event in span.events)


def test_the_root_alone_says_that_it_is_a_marker() -> None:
    assert {role(span): span.get(s.MARKER) for span in spans(golden.demo()) if span.get(s.MARKER) is not None} == {
        "root": True
    }


def test_the_root_is_a_marker_with_nothing_learnt_later() -> None:
    (root,) = [span for span in spans(SMALL_CASES["errors"]) if role(span) == "root"]
    assert (root.start_ns, root.end_ns, root.links, root.events) == (at(0), at(0) + 1, (), ())
    assert {key for key, _ in root.attributes} == {
        s.OPERATION, s.CONVERSATION_ID, s.SESSION_ID, s.OPENINFERENCE_KIND, s.WORKFLOW_NAME, s.PHI_AGENT_ID,
        s.MARKER,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((5, 9), (5, 9)),
        ((5, 5), (5, 6)),
        ((9, 5), (9, 10)),
        ((-9, -5), (0, 1)),
        ((10**30, 10**31), (MAX_TIME_NS, MAX_TIME_NS + 1)),
        ((5, 10**31), (5, MAX_TIME_NS + 1)),
    ],
)
def test_times_fit_otlp_and_last_at_least_a_nanosecond(times: tuple[int, int], expected: tuple[int, int]) -> None:
    assert clamp_times(*times) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((12, 15), (12, 15)),
        ((5, 15), (10, 15)),
        ((12, 25), (12, 20)),
        ((5, 7), (10, 11)),
        ((25, 30), (19, 20)),
        ((15, 12), (15, 16)),
        ((20, 20), (19, 20)),
    ],
)
def test_what_belongs_to_a_turn_is_clamped_into_it(times: tuple[int, int], expected: tuple[int, int]) -> None:
    assert inside(*times, 10, 20) == expected


def test_tools_that_start_together_start_a_microsecond_apart_as_the_answer_names_them() -> None:
    calls = ["c", "a", "b"]
    begun: list[AgentEvent] = [tool(call) for call in calls]
    ended: list[AgentEvent] = [
        event for call in sorted(calls) for event in (tool_end(call), result(700 + ord(call), call))
    ]
    events = [start(0), turn(1), request(2), said(500), *begun, *ended, turn_end(900), end(1_000)]
    found = [span for span in spans(events) if role(span) == "tool"]
    assert [(span.get(s.TOOL_CALL_ID), span.start_ns - at(500)) for span in found] == [
        ("c", 0),
        ("a", 1_000),
        ("b", 2_000),
    ]
    (of_turn,) = [span for span in spans(events) if role(span) == "turn"]
    durations = [dict(event.attributes)[s.TOOL_DURATION_MS] for event in of_turn.events]
    assert durations == [200.0 + ord(call) for call in "abc"], "the events keep the times of the source"


def test_tools_that_start_where_their_turn_ends_stay_inside_it() -> None:
    calls = ["c1", "c2", "c3"]
    begun: list[AgentEvent] = [tool(call) for call in calls]
    ended: list[AgentEvent] = [tool_end(call) for call in calls]
    events = [start(0), turn(1), request(2), said(500), *begun, *ended, turn_end(500), end(1_000)]
    (of_turn,) = [span for span in spans(events) if role(span) == "turn"]
    within = [span for span in spans(events) if role(span) == "tool"]
    assert len(within) == 3
    assert all(of_turn.start_ns <= span.start_ns < span.end_ns <= of_turn.end_ns for span in within)
