"""`export --profile tempo` says what Tempo will not: traces it cuts short, and spans that its search never finds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import otel_phi
from otel_phi.cli.report.tempo import MAX_TRACES, OPENED_BYTES, SEARCHED_FOR_NS, TempoLimits
from otel_phi.mapping.options import TEMPO_TRACE_BYTES
from otel_phi.mapping.span import Span, SpanKind
from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run
from tests.cli.streams import SESSION, a_session, lines_of

TRACE = SESSION.replace("-", "")
OVER = "over 5 MB, of which Tempo keeps no more by default and says nothing"
NOT_FOUND = (
    "Tempo by default never finds spans by search that ended more than 2 minutes before they come: open them by trace id, "
    "or raise its ingestion_time_range_slack"
)


def exported(run: Run, receiver: Receiver, path: Path, *flags: str) -> str:
    """Returns what an export of sessions with attributes of 2,000 bytes says on stderr."""
    padding = "padding=" + "x" * 2_000
    result = run("export", path, "--endpoint", receiver.endpoint, "--attribute", padding, *flags)
    assert result.exit_code == 0
    return result.stderr


def test_a_trace_beyond_what_tempo_keeps_is_named_with_what_to_do(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(a_session(turns=800)))
    said = exported(run, receiver, path, "--profile", "tempo")
    arrived = sum(len(request.body) for request in receiver.requests)
    assert arrived > TEMPO_TRACE_BYTES
    assert f"1 trace {OVER}: raise its max_bytes_per_trace, or send a trace a loop with --trace-scope loop\n" in said
    assert f"  {TRACE}: {arrived / 1e6:.1f} MB\n" in said


def test_a_trace_that_tempo_keeps_whole_and_another_profile_are_not_spoken_of(
    run: Run, receiver: Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(a_session(turns=100)))
    assert OVER not in exported(run, receiver, path, "--profile", "tempo")
    path.write_bytes(lines_of(a_session(turns=800)))
    assert "Tempo" not in exported(run, receiver, path)


def test_an_import_is_told_to_be_found_by_the_trace_ids_that_are_printed(run: Run, receiver: Receiver) -> None:
    result = run("export", golden.DEMO, "--endpoint", receiver.endpoint, "--profile", "tempo")
    assert f"otel-phi: {NOT_FOUND}\n" in result.stderr
    assert all(f"{span.trace_id:032x}" in result.stdout for span in receiver.spans)


def test_a_trace_that_takes_more_than_tempos_messages_hold_is_said_not_to_open() -> None:
    limits = TempoLimits()
    for trace_id, size in ((1, OPENED_BYTES), (2, OPENED_BYTES - 1_000)):
        limits.add(Span("x", trace_id, 1, 0, SpanKind.INTERNAL, 1, 2, (("k", "v" * size),)))
    said = list(limits.sentences(3))
    assert said[0].startswith("2 traces over 5 MB")
    assert said[1].startswith("1 of them over 16.8 MB, which Tempo by default answers 500 to whoever opens it")
    assert len(said) == 4


@pytest.mark.parametrize("minutes", [4, 10])
def test_a_session_of_minutes_ago_is_told_not_to_be_searched_for(minutes: int) -> None:
    limits = TempoLimits()
    (span, *_) = otel_phi.spans(golden.demo())
    limits.add(span)
    assert list(limits.sentences(span.end_ns + minutes * 60 * 10**9)) == [NOT_FOUND]


def test_spans_that_ended_just_now_are_found_by_search() -> None:
    limits = TempoLimits()
    (span, *_) = otel_phi.spans(golden.demo())
    limits.add(span)
    assert list(limits.sentences(span.end_ns + SEARCHED_FOR_NS)) == []
    assert list(limits.sentences(span.end_ns + SEARCHED_FOR_NS + 1)) == [NOT_FOUND]
    assert list(TempoLimits().sentences(time.time_ns())) == []


def test_sizes_are_kept_of_the_latest_traces_alone() -> None:
    limits = TempoLimits()
    large = Span("x", 1, 1, 0, SpanKind.INTERNAL, 1, 2, (("k", "v" * 2_000_000),))
    for _ in range(3):
        limits.add(large)
    assert list(limits.sentences(3))[1:] == [f"  {1:032x}: 6.0 MB"]
    for trace_id in range(2, MAX_TRACES + 2):
        limits.add(Span("x", trace_id, 1, 0, SpanKind.INTERNAL, 1, 2))
    assert list(limits.sentences(3)) == []
