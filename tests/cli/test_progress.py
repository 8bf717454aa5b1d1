"""What takes over a second says how far it is, first looks at files among it; on a terminal alone, and nothing of it stays."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from otel_phi.cli.report import progress
from otel_phi.cli.report.progress import Looking, PartsProgress, ReadProgress
from otel_phi.sources.stored import Stored
from tests import golden
from tests.cli.streams import a_session, lines_of


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal shows, on a machine on which everything takes over a second."""
    out = io.StringIO()
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", -1.0)
    monkeypatch.setattr(progress, "_EVERY", 1)
    monkeypatch.setattr("otel_phi.cli.screen.err", lambda: Console(file=out, force_terminal=True, width=100))
    return out


def test_the_look_at_files_counts_them(seen: io.StringIO, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jsonl").write_bytes(lines_of(a_session(session_id=name)))
    with Looking() as looking:
        Stored([tmp_path], looks=looking.looks)
    assert "look at files: 3" in seen.getvalue()


def test_the_reading_shows_its_share(seen: io.StringIO) -> None:
    stored = Stored([golden.DEMO], final=True)
    assert list(ReadProgress(stored).of(stored.events()))
    assert "read" in seen.getvalue()
    assert "100%" in seen.getvalue()


def test_parts_show_their_share(seen: io.StringIO) -> None:
    with PartsProgress(1_000) as bar:
        bar.part(600)
        bar.part(400)
    assert "100%" in seen.getvalue()


def test_where_results_are_printed_meanwhile_nothing_is_shown(seen: io.StringIO) -> None:
    stored = Stored([golden.DEMO], final=True)
    assert list(ReadProgress(stored, shown=False).of(stored.events()))
    assert seen.getvalue() == ""


def test_what_is_quick_shows_nothing(seen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", 3_600.0)
    stored = Stored([golden.DEMO], final=True)
    with Looking() as looking:
        looking.note()
    list(ReadProgress(stored).of(stored.events()))
    with PartsProgress(10) as bar:
        bar.part(10)
    assert "look at" not in seen.getvalue()
    assert "%" not in seen.getvalue()
