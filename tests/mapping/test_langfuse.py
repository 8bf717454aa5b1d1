"""What Langfuse makes of our spans, by a table of its rules.

Source: `OtelIngestionProcessor.ts` of https://github.com/langfuse/langfuse (packages/shared/src/server/otel), August 2026, in our own words: the first
key of a list that a span has is what it shows. `input.value` and `output.value` win over messages, whose roles and tool calls it then does not see;
`openinference.span.kind` wins over the operation; every key below `gen_ai.usage.` is a kind of usage.
"""

from __future__ import annotations

import json

from otel_phi.config import resolve
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from tests.policy.capture.stories import content_story

INPUT = ("langfuse.observation.input", "input.value", "gen_ai.input.messages", "gen_ai.tool.call.arguments")
OUTPUT = ("langfuse.observation.output", "output.value", "gen_ai.output.messages", "gen_ai.tool.call.result")
SESSION = ("langfuse.session.id", "session.id", "gen_ai.conversation.id")
TYPES = {"LLM": "GENERATION", "AGENT": "AGENT", "TOOL": "TOOL", "CHAIN": "CHAIN"}
USAGE = {
    "input_tokens",
    "output_tokens",
    "cache_read.input_tokens",
    "cache_creation.input_tokens",
    "reasoning.output_tokens",
}


def first(span: Span, keys: tuple[str, ...]) -> tuple[str, str] | None:
    given = dict(span.attributes)
    return next(((key, str(given[key])) for key in keys if key in given), None)


def found() -> dict[str, list[Span]]:
    made: dict[str, list[Span]] = {}
    for span in spans(content_story(), resolve(profile="langfuse", capture_content=True)):
        made.setdefault(TYPES[str(span.get("openinference.span.kind"))], []).append(span)
    return made


def test_a_generation_shows_messages_with_roles_and_tool_calls() -> None:
    call = found()["GENERATION"][0]
    asked, said = first(call, INPUT), first(call, OUTPUT)
    assert asked is not None
    assert said is not None
    assert (asked[0], json.loads(asked[1])[0]["role"]) == ("gen_ai.input.messages", "user")
    assert [part["type"] for part in json.loads(said[1])[0]["parts"]] == ["reasoning", "text", "tool_call", "tool_call"]


def test_an_agent_shows_prompt_and_answer_and_a_tool_arguments_and_result() -> None:
    agent = found()["AGENT"][0]
    assert (first(agent, INPUT) or ("",))[0] == "input.value"
    assert (first(agent, OUTPUT) or ("",))[0] == "output.value"
    went_well, failed = found()["TOOL"]
    assert (first(went_well, INPUT) or ("", ""))[1].startswith('{"cmd"')
    assert first(went_well, OUTPUT) == ("gen_ai.tool.call.result", "a.txt [redacted:github_token]")
    assert first(failed, OUTPUT) == ("output.value", "exit 1")


def test_each_loop_is_a_trace_of_its_session_and_no_key_is_taken_for_a_kind_of_usage() -> None:
    every = [span for some in found().values() for span in some]
    assert len({span.trace_id for span in every}) == 2
    assert len({first(span, SESSION) for span in every}) == 1
    keys = {
        key.removeprefix("gen_ai.usage.")
        for span in every
        for key, _ in span.attributes
        if key.startswith("gen_ai.usage.")
    }
    assert keys <= USAGE
