"""Status is derived: phi-core says Completed for errors, cancels, limits and refusals (quirk 16). Every word, by its text."""

from __future__ import annotations

import msgspec
import pytest

from otel_phi.events import AgentEvent, InputRejected, MessageEnd, Usage, UserMessage
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span, StatusCode
from otel_phi.mapping.status import WORDS
from otel_phi.pipeline import spans
from tests import golden
from tests.laws import role
from tests.streams import LOOP, answer, end, request, said, start, tool, tool_end, turn, turn_end, user


def of(kind: str, events: list[AgentEvent]) -> Span:
    (found,) = [span for span in spans(events) if role(span) == kind]
    return found


def failed_call(text: str | None, reason: str = "error") -> list[AgentEvent]:
    message = answer(4, 0, stop_reason=reason, error_message=text, usage=Usage())
    return [start(0), turn(1), request(2), turn_end(5, message=message, usage=Usage()), end(6)]


CALLS = [
    ("API error: 400 bad request", "api_error"),
    ("Network error: connection reset", "network_error"),
    ("Auth error: no key", "auth_error"),
    ("Rate limited, retry after Nonems", "rate_limited"),
    ("Rate limited, retry after Some(60000)ms", "rate_limited"),
    ("Context overflow: too long", "context_overflow"),
    ("Cancelled", "cancelled"),
    ("Schema mismatch: no x", "schema_mismatch"),
    ("Invalid status code: 401 Unauthorized", "auth_error"),
    ("Invalid status code: 403 Forbidden", "auth_error"),
    ("Invalid status code: 429 Too Many Requests", "rate_limited"),
    ("Invalid status code: 500 Internal Server Error", "api_error"),
    ('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "api_error"),
    ("No provider registered for protocol: x", "_OTHER"),
    ("overloaded_error", "api_error"),
    ("", "_OTHER"),
    (None, "_OTHER"),
]


@pytest.mark.parametrize(("text", "word"), CALLS)
def test_a_failed_call_marks_chat_turn_and_loop_with_one_word(text: str | None, word: str) -> None:
    story = failed_call(text)
    for kind in ("chat", "turn", "loop"):
        span = of(kind, story)
        assert (span.get(s.ERROR_TYPE), span.status, span.status_message) == (word, StatusCode.ERROR, WORDS[word])


def test_an_error_message_is_an_error_whatever_the_stop_reason_and_aborted_is_aborted() -> None:
    assert of("chat", failed_call("API error: x", "stop")).get(s.ERROR_TYPE) == "api_error"
    assert of("loop", failed_call(None, "aborted")).get(s.ERROR_TYPE) == "aborted"
    assert of("chat", failed_call(None, "length")).status is StatusCode.UNSET


TOOLS = [
    ("Tool x not found", "tool_not_found"),
    ("Tool not found: x", "tool_not_found"),
    ("Invalid arguments: missing 'path' parameter", "invalid_arguments"),
    ("Cancelled", "cancelled"),
    ("Tool exceeded timeout of 20ms", "timeout"),
    ("Skipped due to queued user message.", "skipped"),
    ("Cannot access x: No such file", "tool_error"),
    ("Tool x was not found to be good", "tool_error"),
    ("", "tool_error"),
]


@pytest.mark.parametrize(("text", "word"), TOOLS)
def test_a_failed_tool_marks_itself_and_its_event_and_nothing_above(text: str, word: str) -> None:
    story: list[AgentEvent] = [
        start(0),
        turn(1),
        said(2, stop_reason="toolUse"),
        tool(),
        tool_end(error=text),
        turn_end(5),
        turn(6, 1),
        said(7),
        turn_end(8, 1),
        end(9),
    ]
    span = of("tool", story)
    assert (span.get(s.ERROR_TYPE), span.get(s.TOOL_OUTCOME), span.status_message) == (word, "error", WORDS[word])
    turns = [span for span in spans(story) if role(span) == "turn"]
    assert dict(turns[0].events[0].attributes)[s.ERROR_TYPE] == word
    assert {span.status for span in (*turns, of("loop", story))} == {StatusCode.UNSET}


STOPPED = "[Agent stopped: Max turns reached (1/1)]"
ASKED: list[AgentEvent] = [start(0), turn(1), said(2, stop_reason="toolUse"), tool(), tool_end(), turn_end(5)]
REFUSED = InputRejected(loop_id=LOOP, reason="PII detected")


@pytest.mark.parametrize(
    ("story", "word", "status"),
    [
        ([start(0), REFUSED, end(1, rejection="PII")], "input_rejected", "rejected"),
        ([start(0), end(1, rejection="")], "input_rejected", "rejected"),
        ([start(0), turn(1), said(2)], "aborted", "aborted"),
        (failed_call("Cancelled"), "cancelled", "completed"),
        ([*ASKED, user(STOPPED, 6), end(7)], "execution_limit", "completed"),
        ([start(0), user("[Agent stopped: Max turns reached (0/0)]", 1), end(2)], "execution_limit", "completed"),
        ([*ASKED, REFUSED, end(7)], "input_rejected", "completed"),
        ([*ASKED, end(7)], "interrupted", "completed"),
        ([*ASKED[:4], tool_end(error="Cancelled"), ASKED[5], end(7)], "cancelled", "completed"),
        ([start(0), end(1)], None, "completed"),
        ([start(0), turn(1), said(2, stop_reason="toolUse"), turn_end(5), end(6)], None, "completed"),
        ([start(0), turn(1), said(2), turn_end(5), end(6)], None, "completed"),
    ],
    ids=[
        "prompt refused", "refused without words", "never ended", "call failed", "limit", "limit of nothing", "refused in mid-run",
        "no turn after tools", "tools cancelled", "no turns", "tool use without tools", "well",
    ],
)  # fmt: skip
def test_how_a_loop_ended_is_derived_from_its_events(story: list[AgentEvent], word: str | None, status: str) -> None:
    loop = of("loop", story)
    assert (loop.get(s.ERROR_TYPE), loop.get(s.LOOP_STATUS)) == (word, status)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[Agent stopped: Max turns reached (50/50)]", "turns"),
        ("[Agent stopped: Max tokens reached (1000123/1000000)]", "tokens"),
        ("[Agent stopped: Max duration reached (601s/600s)]", "duration"),
        ("[Agent stopped: Max cost reached ($0.5012/$0.5000)]", "cost"),
        ("[Agent stopped: the moon is full]", None),
    ],
)
def test_the_limit_that_stopped_a_loop_is_named(text: str, word: str | None) -> None:
    loop = of("loop", [start(0), user(text, 1), end(2)])
    assert (loop.get(s.LOOP_LIMIT), loop.get(s.ERROR_TYPE)) == (word, "execution_limit")
    assert of("loop", [start(0), end(2)]).get(s.LOOP_LIMIT) is None


# --- what the source says itself ----------------------------------------------------------------------------------------

FAILED: list[AgentEvent] = failed_call("API error: x")[:-1]
WELL: list[AgentEvent] = [start(0), turn(1), said(2), turn_end(5)]


@pytest.mark.parametrize(
    ("story", "word"),
    [
        ([*FAILED, end(6, outcome="ok")], None),
        ([*FAILED, end(6, outcome="error")], "api_error"),
        ([*FAILED, end(6, outcome="error", error_type="quota")], "quota"),
        ([*FAILED, end(6, outcome="cancelled")], "cancelled"),
        ([*FAILED, end(6, outcome="splendid")], "api_error"),
        ([*FAILED, end(6)], "api_error"),
        ([*WELL, end(6, outcome="error")], "_OTHER"),
        ([*WELL, end(6, outcome="error", error_type="two words")], "_OTHER"),
        ([*WELL, end(6, outcome="cancelled", error_type="timeout")], "timeout"),
        ([*WELL, end(6, outcome="ok")], None),
        ([*WELL, end(6, error_type="quota")], "quota"),
        ([*WELL, end(6, outcome="ok", rejection="no")], "input_rejected"),
        ([*ASKED, end(7, outcome="ok")], None),
        ([*ASKED, user(STOPPED, 6), end(7, outcome="ok")], None),
        (WELL, "aborted"),
    ],
)
def test_what_a_source_says_of_a_loop_comes_before_what_its_events_show(
    story: list[AgentEvent], word: str | None
) -> None:
    loop = of("loop", story)
    assert (loop.get(s.ERROR_TYPE), loop.status is StatusCode.ERROR) == (word, word is not None)


def test_a_failed_call_that_the_agent_survived_is_red_alone() -> None:
    story: list[AgentEvent] = [*FAILED, end(6, outcome="ok")]
    assert [of(kind, story).get(s.ERROR_TYPE) for kind in ("chat", "turn", "loop")] == ["api_error", "api_error", None]


def test_a_word_of_the_sources_own_marks_a_call_and_a_tool_and_has_a_sentence() -> None:
    ended = msgspec.structs.replace(tool_end(error="Cancelled"), error_type="out_of_money")
    story: list[AgentEvent] = [start(0), turn(1), said(2, error_type="quota"), tool(), ended, turn_end(5), end(6)]
    assert (of("chat", story).get(s.ERROR_TYPE), of("tool", story).get(s.ERROR_TYPE)) == ("quota", "out_of_money")
    assert of("tool", story).status_message == "out_of_money"


def test_a_limit_of_the_sources_own_is_named() -> None:
    stopped = MessageEnd(loop_id=LOOP, message=UserMessage(stop_limit="requests"))
    loop = of("loop", [start(0), stopped, end(2)])
    assert (loop.get(s.LOOP_LIMIT), loop.get(s.ERROR_TYPE)) == ("requests", "execution_limit")


def test_what_the_user_says_within_a_turn_stops_nothing() -> None:
    story: list[AgentEvent] = [start(0), turn(1), user(STOPPED, 2), said(3), turn_end(5), end(6)]
    assert of("loop", story).status is StatusCode.UNSET


def test_no_text_of_the_source_is_in_a_status() -> None:
    secret = "hunter2"
    story = failed_call(f"API error: {secret}")
    story[4:4] = [InputRejected(loop_id=LOOP, reason=secret)]
    assert secret not in repr(list(spans(story)))


def test_every_word_has_its_sentence() -> None:
    assert {word for _, word in [*CALLS, *TOOLS]} <= set(WORDS)


@golden.needed
@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("07_input_rejected", "input_rejected"),
        ("08_steering_rejected", "input_rejected"),
        ("09_provider_error", "api_error"),
        ("10_stream_error", "api_error"),
        ("11_retry_then_ok", None),
        ("11b_retry_exhausted", "network_error"),
        ("12_cancelled_during_tool", "interrupted"),
        ("12b_cancelled_before", None),
        ("12c_cancelled_in_provider", "cancelled"),
        ("13_execution_limit", "execution_limit"),
        ("14b_before_turn_false", None),
    ],
)
def test_the_golden_loops_ended_so(name: str, word: str | None) -> None:
    assert of("loop", golden.scenario(name)).get(s.ERROR_TYPE) == word
