"""Contents are the same bytes, whichever way the facts came: channel, event log, saved session; live, from text, from structs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_phi.config import resolve
from otel_phi.events import encode_event
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from tests import golden
from tests.policy.capture.stories import content_story
from tests.test_one_truth import GROUPS_LOST, NOT_IN_FILES, entries, is_group, without, write_log, write_sessions

CONFIG = resolve(capture_content=True, service_name="t")
# phi-core >= 0.14 keeps no requests unless asked, and no starts of tools: what a file of it lacks of contents.
LACKING = {
    s.SYSTEM,
    s.TOOL_DEFINITIONS,
    s.INPUT_MODE,
    s.INPUT_COUNT,
    s.INPUT_FIRST,
    s.INPUT_PARTIAL,
    s.TOOL_ARGUMENTS,
    s.INPUT_VALUE,
    s.INPUT_TYPE,
}
# A user message that an input filter refused, a steering message or a tool's result between loops can lie elsewhere in such a file.
SAME = ("01_single_text", "02_tools_sequential", "03_tools_parallel")


def stored(folder: Path) -> list[Span]:
    found = Stored([folder], final=True)
    return list(spans(found.events(), CONFIG, ahead=ahead_of(found.starts)))


def test_structs_texts_bytes_and_mappings_say_the_same() -> None:
    story = content_story()
    lines = [encode_event(event) for event in story]
    wanted = entries(spans(story, CONFIG))
    assert entries(spans(lines, CONFIG)) == wanted
    assert entries(spans([line.decode() for line in lines], CONFIG)) == wanted
    assert entries(spans([json.loads(line) for line in lines], CONFIG)) == wanted


@golden.needed
@pytest.mark.parametrize("name", golden.scenarios())
def test_event_logs_say_what_the_channel_says(name: str, tmp_path: Path) -> None:
    write_log(name, tmp_path)
    channel = [span for span in spans(golden.scenario(name), CONFIG) if not is_group(span)]
    assert entries(stored(tmp_path)) == entries(channel)


@golden.needed
@pytest.mark.parametrize("name", [name for name in golden.scenarios() if name != "14_before_loop_false"])
def test_saved_sessions_with_events_say_what_the_channel_says(name: str, tmp_path: Path) -> None:
    write_sessions(name, tmp_path, events=True)
    channel = [without(span, NOT_IN_FILES) for span in spans(golden.scenario(name), CONFIG)]
    if name in GROUPS_LOST:
        channel = [span for span in channel if not is_group(span)]
    assert entries(stored(tmp_path)) == entries(channel)


@golden.needed
@pytest.mark.parametrize("name", SAME)
def test_of_a_saved_session_without_events_what_it_has_is_the_same(name: str, tmp_path: Path) -> None:
    write_sessions(name, tmp_path, events=False)
    found = {(span.trace_id, span.span_id): dict(span.attributes) for span in stored(tmp_path)}
    for span in spans(golden.scenario(name), CONFIG):
        said = found[span.trace_id, span.span_id]
        for key in {s.OUTPUT_MESSAGES, s.INPUT_MESSAGES, s.TOOL_RESULT, s.OUTPUT_VALUE} - LACKING:
            assert said.get(key) == dict(span.attributes).get(key), (span.name, key)


def test_the_root_waits_for_the_first_prompt_and_carries_it() -> None:
    found = list(spans(content_story(), CONFIG))
    assert found[0].name == "invoke_workflow phi.session"
    assert str(found[0].get(s.INPUT_VALUE)).startswith("Deploy with [redacted:github_token].")
    without_a_prompt = [
        event for event in content_story() if not type(event).__name__.startswith(("Message", "TurnRequest"))
    ]
    bare = list(spans(without_a_prompt, CONFIG))
    assert [span.name for span in bare].count("invoke_workflow phi.session") == 1
    assert bare[0].get(s.INPUT_VALUE) is None


def test_delta_is_what_is_new_and_full_is_all() -> None:
    def of(mode: str) -> list[tuple[object, int, object]]:
        config = resolve(capture_content=True, content_input=mode)
        chats = [span for span in spans(content_story(), config) if span.get(s.INPUT_MODE)]
        return [
            (chat.get(s.INPUT_MODE), len(json.loads(str(chat.get(s.INPUT_MESSAGES)))), chat.get(s.INPUT_FIRST))
            for chat in chats
        ]

    assert of("delta") == [("delta", 1, 0), ("delta", 2, 2)]
    assert of("full") == [("full", 1, 0), ("full", 4, 0)]


def test_system_and_tools_are_said_in_the_first_turn_and_where_they_change() -> None:
    chats = [span for span in spans(content_story(), CONFIG) if span.get(s.INPUT_MODE)]
    assert [span.get(s.SYSTEM) is not None for span in chats] == [True, False]
    assert [span.get(s.TOOL_DEFINITIONS) is not None for span in chats] == [True, False]


def test_without_a_request_the_messages_stand_in_and_the_chat_says_so() -> None:
    chats = [span for span in spans(content_story(requests=False), CONFIG) if span.get(s.OPERATION) == "chat"]
    assert [chat.get(s.INPUT_PARTIAL) for chat in chats] == [True, True]
    assert [one["role"] for one in json.loads(str(chats[1].get(s.INPUT_MESSAGES)))] == ["tool", "tool"]


def test_images_go_only_when_asked_for_and_mlflow_gets_no_thoughts() -> None:
    def text(**options: object) -> str:
        return repr(list(spans(content_story(), resolve(capture_content=True, **options))))  # type: ignore[arg-type]

    assert "[image/png, 33 bytes]" in text()
    assert "iVBOR" not in text()
    assert '"type":"blob"' in text(content_images=True)
    assert "I look first" in text()
    assert "I look first" not in text(profile="mlflow")


def test_a_failed_tool_s_words_are_its_output_and_no_result() -> None:
    went_well, failed = (span for span in spans(content_story(), CONFIG) if span.get(s.OPERATION) == "execute_tool")
    assert went_well.get(s.TOOL_RESULT) == "a.txt [redacted:github_token]"
    assert went_well.get(s.OUTPUT_VALUE) is None
    assert (failed.get(s.TOOL_RESULT), failed.get(s.OUTPUT_VALUE)) == (None, "exit 1")


def test_no_chat_has_what_hides_roles_and_tool_calls_in_mlflow_and_langfuse() -> None:
    for span in spans(content_story(), CONFIG):
        if span.get(s.OPERATION) == "chat":
            assert not {s.INPUT_VALUE, s.OUTPUT_VALUE} & {key for key, _ in span.attributes}
