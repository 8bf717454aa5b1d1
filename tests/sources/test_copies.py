"""A folder with copies, backups and broken files: each loop is read once, and what is wrong is said."""

from __future__ import annotations

import gzip
from pathlib import Path

import otel_phi
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.reader import BadLine
from otel_phi.sources.stored import Stored
from tests import golden


def spans(stored: Stored) -> list[otel_phi.Span]:
    return list(otel_phi.spans(stored.events(), ahead=ahead_of(stored.starts)))


def test_copies_and_backups_of_a_log_double_nothing(tmp_path: Path) -> None:
    whole = golden.DEMO.read_bytes()
    (tmp_path / "run.jsonl").write_bytes(whole)
    (tmp_path / "run.jsonl.gz").write_bytes(gzip.compress(whole))
    (tmp_path / "a-copy.jsonl").write_bytes(whole)
    # A backup taken midway: its first loop is open at its end.
    (tmp_path / "0.bak").write_bytes(b"\n".join(whole.split(b"\n")[:40]) + b"\n")
    stored = Stored([tmp_path], final=True)
    assert stored.repeated_loops > 0
    found = spans(stored)
    alone = list(otel_phi.spans(golden.demo()))
    groups = {span.span_id for span in alone if span.name == "invoke_workflow phi.parallel"}
    assert {s.span_id: s for s in found if s.span_id not in groups} == {
        s.span_id: s for s in alone if s.span_id not in groups
    }
    assert len(found) == len({span.span_id for span in found})


def test_a_gzip_file_that_ends_early_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(gzip.compress(golden.DEMO.read_bytes())[:-2_000])
    bad: list[BadLine] = []
    stored = Stored([path], final=True, on_bad_line=bad.append)
    spans(stored)
    assert any("gzip stream ends early" in line.reason for line in bad)
    assert stored.counts["bad_lines"] == len(bad)


def test_loops_without_an_end_are_counted_as_taken_for_aborted(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\n".join(golden.DEMO.read_bytes().split(b"\n")[:40]) + b"\n")
    # The agent, and the sub-agent it waits for.
    assert Stored([path], final=True).aborted_loops == 2
    assert Stored([path]).held_loops == 2
