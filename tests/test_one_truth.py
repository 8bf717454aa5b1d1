"""The same facts give the same bytes, whichever way they came: channel, event log, saved session.

What a source lacks stands here, with the reason; everything else must be equal to the byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from otel_phi.cli import main
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from tests import golden

# phi-core sends these outside the tee that writes the event log (reference WIRE 11).
NOT_IN_LOGS = ("ParallelLoopStart", "ParallelLoopEnd")
# phi-core's recorder never stored RevertApplied (quirk 13), so a saved session cannot show it.
NOT_IN_FILES = (s.EVENT_REVERT,)
# The recorder writes a group on the first loop of that id (quirk 6): with repeated ids nobody can tell which it was.
GROUPS_LOST = ("17b_parallel_twice_duplicate_ids",)
# What a file of phi-core >= 0.14 has nowhere: settings of a request unless captured, compactions, refused messages.
NOT_IN_BARE_FILES = {
    s.REQUEST_TEMPERATURE,
    s.REQUEST_MAX_TOKENS,
    s.REQUEST_THINKING,
    s.OUTPUT_TYPE,
    s.COMPACTED,
    s.TIME_INFERRED,
}
EVENTS_NOT_IN_BARE_FILES = {s.EVENT_COMPACTION, s.EVENT_PRUN, s.EVENT_REVERT, s.EVENT_REJECTED, s.EVENT_TOOL}
# A message refused in mid-run leaves no trace in a file without events: the loop then looks stopped after its tools.
BARE_ERROR_DIFFERS = ("08_steering_rejected",)

ENCODER = Encoder(Resource((("service.name", "test"),)))
SCOPES = [MappingOptions(), MappingOptions(trace_scope="loop")]


def entries(found: Iterable[Span]) -> dict[tuple[int, int], bytes]:
    """Returns the bytes of each span, by its ids."""
    return {(span.trace_id, span.span_id): ENCODER.span(span) for span in found}


def by_id(found: Iterable[Span]) -> dict[tuple[int, int], Span]:
    return {(span.trace_id, span.span_id): span for span in found}


def stored_spans(folder: Path, options: MappingOptions) -> list[Span]:
    stored = Stored([folder], final=True)
    return list(spans(stored.events(), options, ahead=ahead_of(stored.starts)))


def is_group(span: Span) -> bool:
    return span.name == "invoke_workflow phi.parallel"


def write_sessions(name: str, folder: Path, *, events: bool) -> None:
    for session in json.loads((golden.FOLDER / "live" / f"{name}.sessions.json").read_bytes()):
        for loop in session["loops"]:
            if not events:
                del loop["events"]
        (folder / f"{session['session_id']}.json").write_text(json.dumps(session, indent=2), encoding="utf-8")


def write_log(name: str, folder: Path) -> None:
    lines = (golden.FOLDER / "live" / f"{name}.events.jsonl").read_bytes().splitlines()
    logged = [json.loads(line) for line in lines if not any(kind.encode() in line[:40] for kind in NOT_IN_LOGS)]
    logs: dict[str, list[Any]] = {}
    home: dict[str, str] = {}
    for event in logged:
        if event["type"] == "AgentStart":
            home[event["loop_id"]] = event["session_id"]
        logs.setdefault(home.get(event["loop_id"], "nowhere"), []).append(event)
    for session, events in logs.items():
        text = "".join(json.dumps({"ordinal": n, "event": event}) + "\n" for n, event in enumerate(events, 1))
        (folder / f"{session}.events.jsonl").write_text(text, encoding="utf-8")


def without(span: Span, event_names: Iterable[str]) -> Span:
    kept = tuple(event for event in span.events if event.name not in event_names)
    return msgspec.structs.replace(span, events=kept)


@golden.needed
@pytest.mark.parametrize("options", SCOPES, ids=lambda options: options.trace_scope)
@pytest.mark.parametrize("name", golden.scenarios())
def test_event_log_lines_give_the_bytes_of_the_channel(name: str, options: MappingOptions, tmp_path: Path) -> None:
    channel = [span for span in spans(golden.scenario(name), options) if not is_group(span)]
    write_log(name, tmp_path)
    assert entries(stored_spans(tmp_path, options)) == entries(channel)


@golden.needed
@pytest.mark.parametrize("options", SCOPES, ids=lambda options: options.trace_scope)
@pytest.mark.parametrize("name", [name for name in golden.scenarios() if name != "14_before_loop_false"])
def test_a_saved_session_with_events_gives_the_bytes_of_the_channel(
    name: str, options: MappingOptions, tmp_path: Path
) -> None:
    channel = [without(span, NOT_IN_FILES) for span in spans(golden.scenario(name), options)]
    if name in GROUPS_LOST:
        channel = [span for span in channel if not is_group(span)]
    write_sessions(name, tmp_path, events=True)
    assert entries(stored_spans(tmp_path, options)) == entries(channel)


@golden.needed
@pytest.mark.parametrize("options", SCOPES, ids=lambda options: options.trace_scope)
@pytest.mark.parametrize("name", [name for name in golden.scenarios() if name != "14_before_loop_false"])
def test_a_saved_session_without_events_gives_the_same_ids_and_marks_what_it_infers(
    name: str, options: MappingOptions, tmp_path: Path
) -> None:
    channel = by_id(
        span for span in spans(golden.scenario(name), options) if name not in GROUPS_LOST or not is_group(span)
    )
    write_sessions(name, tmp_path, events=False)
    saved = by_id(stored_spans(tmp_path, options))
    assert saved.keys() == channel.keys()
    for key, span in channel.items():
        assert_coarser(name, span, saved[key])


def assert_coarser(name: str, span: Span, coarse: Span) -> None:
    """Fails where a span from a file without events says more, or other, than it can know."""
    assert (coarse.name, coarse.parent_span_id, coarse.links, coarse.kind) == (
        span.name,
        span.parent_span_id,
        span.links,
        span.kind,
    )
    if (coarse.start_ns, coarse.end_ns) != (span.start_ns, span.end_ns):
        assert coarse.get(s.TIME_INFERRED) is True
    lacking = NOT_IN_BARE_FILES | ({s.ERROR_TYPE} if name in BARE_ERROR_DIFFERS else set())
    assert {k: v for k, v in coarse.attributes if k not in lacking} == {
        k: v for k, v in span.attributes if k not in lacking
    }
    if name not in BARE_ERROR_DIFFERS:
        assert coarse.status == span.status
    assert without(coarse, EVENTS_NOT_IN_BARE_FILES).events == without(span, EVENTS_NOT_IN_BARE_FILES).events
    # Tool events are the same but for their times.
    names = [(e.attributes[0], e.attributes[1], e.attributes[2]) for e in span.events if e.name == s.EVENT_TOOL]
    coarse_names = [
        (e.attributes[0], e.attributes[1], e.attributes[2]) for e in coarse.events if e.name == s.EVENT_TOOL
    ]
    assert sorted(coarse_names) == sorted(names)


@golden.needed
def test_a_folder_with_a_log_and_the_saved_session_of_one_id_takes_the_log_and_says_so(tmp_path: Path) -> None:
    name = "02_tools_sequential"
    write_log(name, tmp_path)
    write_sessions(name, tmp_path, events=True)
    stored = Stored([tmp_path], final=True)
    assert [path.suffix for path in stored.superseded] == [".json"]
    assert [path.name.endswith(".events.jsonl") for path in stored.files] == [True]
    found = list(spans(stored.events(), ahead=ahead_of(stored.starts)))
    assert entries(found) == entries(spans(golden.scenario(name)))


@golden.needed
@pytest.mark.parametrize("name", [name for name in golden.scenarios() if name != "14_before_loop_false"])
def test_show_draws_the_same_tree_from_a_saved_session_as_from_its_log(name: str, tmp_path: Path) -> None:
    """Groups are in files and not in logs, reverts in logs and not in files; the table of sources in docs/streams.md says so."""
    logs, files = tmp_path / "logs", tmp_path / "files"
    for folder, write in ((logs, write_log), (files, partial(write_sessions, events=True))):
        folder.mkdir()
        write(name, folder)
    from_log, from_file = (CliRunner().invoke(main, ["show", "--all", str(folder)]) for folder in (logs, files))
    assert from_log.exit_code == from_file.exit_code == 0, from_log.output + from_file.output
    kinds = {
        kind for event in golden.scenario(name) if (kind := type(event).__name__) in (*NOT_IN_LOGS, "RevertApplied")
    }
    if not kinds:
        assert from_file.output == from_log.output
    elif kinds == {"RevertApplied"}:
        lines = [line for line in from_log.output.splitlines() if "revert" not in line or "tool" in line]
        assert [bare(line) for line in from_file.output.splitlines()] == [bare(line) for line in lines]
    else:
        assert tools_and_chats(from_file.output) == tools_and_chats(from_log.output)


def bare(line: str) -> str:
    """Returns a line of `show` without its branches, which differ where a line beside it is missing."""
    return line.lstrip("│├└ ")


def tools_and_chats(output: str) -> list[str]:
    """Returns what a tree says of chats and tools; under a group they stand elsewhere."""
    found = [re.sub(r"[━╸╺─ ]+$", "", bare(line)) for line in output.splitlines()]
    return sorted(" ".join(line.split()[:3]) for line in found if line.startswith(("chat", "tool", "✗")))


def test_the_logs_of_the_demo_give_the_bytes_of_its_channel() -> None:
    channel = [span for span in spans(golden.demo()) if not is_group(span)]
    assert entries(stored_spans(golden.DEMO_LOGS, MappingOptions())) == entries(channel)
