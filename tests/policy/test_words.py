"""The words: what each text of phi-core's means, and which texts stay."""

from __future__ import annotations

import msgspec
import pytest

from otel_phi.events import (
    AgentStart,
    AssistantMessage,
    ConfigSnapshot,
    ExtensionMessage,
    GenericEvent,
    MessageEnd,
    RequestPayload,
    RevertApplied,
    Tag,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    ToolResultMessage,
    TurnEnd,
    TurnRequest,
    TurnStart,
    UserMessage,
)
from otel_phi.mapping.providers import server
from otel_phi.policy import words
from otel_phi.policy.content import without_content
from otel_phi.policy.words import address, display_name, name, word
from tests.mapping.test_status import CALLS, TOOLS
from tests.streams import LOOP, SESSION, at, listed, start, text


def spoken(message: UserMessage | AssistantMessage | ToolResultMessage | ExtensionMessage) -> object:
    return without_content(MessageEnd(loop_id=LOOP, message=message)).message


# --- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("message", "found"), CALLS)
def test_a_providers_error_becomes_one_word(message: str | None, found: str) -> None:
    said = spoken(AssistantMessage(stop_reason="error", error_message=message))
    assert said == AssistantMessage(stop_reason="error", error_type=found)


def test_a_call_that_went_well_or_was_aborted_gets_no_word() -> None:
    assert spoken(AssistantMessage(stop_reason="length")) == AssistantMessage(stop_reason="length")
    aborted = spoken(AssistantMessage(stop_reason="aborted", error_message="API error: x"))
    assert aborted == AssistantMessage(stop_reason="aborted")
    assert spoken(AssistantMessage(error_message="API error: x")) == AssistantMessage(error_type="api_error")


@pytest.mark.parametrize(("answer", "found"), TOOLS)
def test_a_tools_error_becomes_one_word_in_its_end_and_in_its_message(answer: str, found: str) -> None:
    ended = ToolExecutionEnd(loop_id=LOOP, is_error=True, result=ToolResult(content=text(answer), child_loop_id="x"))
    assert without_content(ended) == ToolExecutionEnd(
        loop_id=LOOP, is_error=True, error_type=found, result=ToolResult(child_loop_id="x")
    )
    said = spoken(ToolResultMessage(content=text(answer), is_error=True))
    assert said == ToolResultMessage(is_error=True, error_type=found)
    assert spoken(ToolResultMessage(content=text(answer))) == ToolResultMessage()


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("[Agent stopped: Max turns reached (50/50)]", "turns"),
        ("[Agent stopped: Max tokens reached (1000123/1000000)]", "tokens"),
        ("[Agent stopped: Max duration reached (601s/600s)]", "duration"),
        ("[Agent stopped: Max cost reached ($0.5012/$0.5000)]", "cost"),
        ("[Agent stopped: the moon is full]", "_other"),
        ("Why was the [Agent stopped: Max turns reached?", msgspec.UNSET),
        ("", msgspec.UNSET),
    ],
)
def test_the_limit_that_stopped_a_loop_becomes_one_word(message: str, found: object) -> None:
    assert spoken(UserMessage(content=text(message), timestamp=5)) == UserMessage(stop_limit=found, timestamp=5)  # type: ignore[arg-type]


def test_only_the_first_256_characters_of_an_error_are_looked_at() -> None:
    near, far = f"Tool {'x' * 240} not found", f"Tool {'x' * 250} not found"
    assert spoken(ToolResultMessage(content=text(near), is_error=True)) == ToolResultMessage(
        is_error=True, error_type="tool_not_found"
    )
    assert spoken(ToolResultMessage(content=text(far), is_error=True)) == ToolResultMessage(
        is_error=True, error_type="tool_error"
    )


# --- what stays -----------------------------------------------------------------------------------------------------------------

STAY = [
    "",
    "stop",
    "toolUse",
    "gpt-5.1",
    "claude-sonnet-4-5@20260101",
    "meta/llama:70b",
    "x" * 64,
    "2026-05-26T09:14:02.118402117+00:00",
]
GO = [" ", "two words", "x" * 129, "tab\t", 'quote"', "\u00fcber", "line\nbreak", "a,b", "\ud800"]


@pytest.mark.parametrize("given", STAY)
def test_a_word_stays(given: str) -> None:
    assert (word(given), name(given)) == (given, given)


@pytest.mark.parametrize("given", GO)
def test_what_is_no_word_becomes_other(given: str) -> None:
    assert (word(given), name(given)) == ("_other", "_other")


def test_names_of_models_and_tools_may_be_longer_than_words() -> None:
    assert (word("x" * 65), name("x" * 128)) == ("_other", "x" * 128)


def test_what_was_judged_is_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MAX_KNOWN", 10)
    for number in range(100):
        assert word(f"word-{number}") == f"word-{number}"
        assert word(f"no word {number}") == "_other"
    assert len(words.known_words) <= 10
    assert (word(""), word("word-3")) == ("", "word-3")


@pytest.mark.parametrize(
    ("given", "kept"), [("User", "User"), ("FollowUp", "FollowUp"), (None, None), ("Moon", "_other"), ("a b", "_other")]
)
def test_a_trigger_is_one_of_a_closed_set(given: str | None, kept: str | None) -> None:
    assert without_content(TurnStart(loop_id=LOOP, triggered_by=given)).triggered_by == kept


@pytest.mark.parametrize(("given", "kept"), [("step-summary", "step-summary"), ("", ""), ("stepsummary", "_other")])
def test_a_reverts_category_is_one_of_a_closed_set(given: str, kept: str) -> None:
    assert without_content(RevertApplied(loop_id=LOOP, category=given)).category == kept


@pytest.mark.parametrize(("given", "kept"), [("high", "high"), ("off", "off"), (None, None), ("highest", "_other")])
def test_a_thinking_level_is_one_of_a_closed_set(given: str | None, kept: str | None) -> None:
    request = without_content(TurnRequest(loop_id=LOOP, payload=RequestPayload(thinking_level=given)))
    config = without_content(start(0, config_snapshot=ConfigSnapshot(thinking_level=given))).config_snapshot
    assert request.payload is not None
    assert config is not None
    assert (request.payload.thinking_level, config.thinking_level) == (kept, kept)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Initial", "Initial"),
        ("Newer", "Newer"),
        ("a newer one", "_other"),
        (None, None),
        ({}, {}),
        ({"Rerun": Tag("2026-05-26T09:14:02+00:00")}, {"Rerun": Tag("2026-05-26T09:14:02+00:00")}),
        ({"Branch": Tag("since I like it")}, {"Branch": Tag("_other")}),
        ({"no word": Tag("x")}, {"_other": Tag("x")}),
    ],
)
def test_a_kind_of_continuation_keeps_what_is_a_word(given: object, kept: object) -> None:
    assert without_content(start(0, continuation_kind=given)).continuation_kind == kept


@pytest.mark.parametrize(
    ("model", "given", "kept"),
    [
        ("claude-sonnet-4-5", "Claude Sonnet 4.5", "Claude Sonnet 4.5"),
        ("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "Claude Haiku 4.5"),
        ("gpt-5.1", "GPT-5.1", "GPT-5.1"),
        ("gpt-5.1", "our own model", "_other"),
        ("gpt-5.1", " ", "_other"),
        ("gpt-5.1", "GPT\n5.1", "_other"),
        ("_other", "planted words", "_other"),
    ],
)
def test_a_display_name_may_have_blanks_where_it_says_no_more_than_the_models_id(
    model: str, given: str, kept: str
) -> None:
    assert display_name(given, model) == kept


# --- addresses, callers, the rest -----------------------------------------------------------------------------------------------

URLS = [
    ("https://api.anthropic.com", "https://api.anthropic.com"),
    ("https://me:secret@host.example:8443/v1?key=secret#secret", "https://host.example:8443"),
    ("http://[::1]:11434/v1", "http://[::1]:11434"),
    ("HTTP://Host/secret", "http://host"),
    ("http://localhost:0/", "http://localhost:0"),
    ("//host/x", "//host"),
    ("https://a secret host/x", "https://_other"),
    ("http://[", None),
    ("http://host:99999", None),
    ("localhost:8080/v1", None),
    ("secret words", None),
    ("", None),
]


@pytest.mark.parametrize(("url", "kept"), URLS)
def test_of_a_url_scheme_host_and_port_stay(url: str, kept: str | None) -> None:
    assert address(url) == kept
    assert kept is None or address(kept) == kept
    if kept is None or "_other" not in kept:
        assert server(kept) == server(url)


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({"traceparent": TRACEPARENT, "user": "secret"}, {"traceparent": TRACEPARENT}),
        ({"traceparent": f"{TRACEPARENT}-secret"}, {"traceparent": TRACEPARENT}),
        ({"traceparent": "secret"}, None),
        ({"traceparent": 5}, None),
        (["secret"], None),
        (None, None),
    ],
)
def test_of_metadata_a_trace_context_stays(metadata: object, kept: object) -> None:
    begun = AgentStart(
        session_id=SESSION, loop_id=LOOP, timestamp=at(0), metadata=msgspec.Raw(msgspec.json.encode(metadata))
    )
    assert msgspec.json.decode(without_content(begun).metadata) == kept


def test_of_listed_tool_results_all_but_the_contents_stay_or_none_at_all() -> None:
    whole = msgspec.Raw(
        bytes(listed(("c1", 5), ("c2", 6))).replace(b'"isError":false', b'"isError":true,"content":"Cancelled"')
    )
    kept = msgspec.json.decode(without_content(TurnEnd(loop_id=LOOP, tool_results=whole)).tool_results)
    assert [(one["toolCallId"], one["error_type"], "content" in one) for one in kept] == [
        ("c1", "cancelled", False),
        ("c2", "cancelled", False),
    ]
    broken = msgspec.Raw(bytes(whole)[:-1] + b',{"role":"user","content":"secret"}]')
    assert bytes(without_content(TurnEnd(loop_id=LOOP, tool_results=broken)).tool_results) == b"null"


def test_a_tools_and_an_unknown_events_name_are_words() -> None:
    assert without_content(ToolExecutionStart(loop_id=LOOP, tool_name="my tool")).tool_name == "_other"
    unknown = GenericEvent(type="Dreamt of sheep", loop_id=LOOP, raw=text("secret"))
    assert without_content(unknown) == GenericEvent(type="_other", loop_id=LOOP)
