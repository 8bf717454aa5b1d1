"""A journal looked at from outside: the numbers are those its sender would find, and nothing of it is touched."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import Raw

from otel_phi.cli.outbox.view import settled_to, view_of
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.facts import Carried, End, Position, Purge, encode_event, encode_fact
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.lines import frame
from otel_phi.delivery.journal.outbox import LOCK
from otel_phi.delivery.journal.segment import Segment
from otel_phi.policy.content import admit
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.snapshot import OpenWork
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent
from tests import golden
from tests.delivery.journal.journals import HEAD, abandon, adopt, create, read_all, said

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no journals on Windows")
STREAMS = golden.small_streams()


def facts(events: Iterable[AgentEvent]) -> list[AgentEvent]:
    """Returns events as they may be said."""
    return [event for given in events if not isinstance(event := admit(given), Undecodable)]


def recorded(state: Path, events: list[AgentEvent], *, every: int = 10**9) -> tuple[Journal, RecorderCore]:
    """Journals events, reads them as a sender does, and rolls after every so many."""
    journal, core = create(state), RecorderCore()
    for number, event in enumerate(events, 1):
        assert journal.append(encode_event(event))
        if number % every == 0:
            assert journal.roll()
        for entry in _read(journal, core):
            core.on_event(entry)
    return journal, core


def _read(journal: Journal, core: RecorderCore) -> Iterable[AgentEvent]:
    while True:
        some = journal.read()
        yield from (entry.fact for entry in some)  # type: ignore[misc]  # nothing else was written
        if journal.wants_snapshot:
            journal.snapshot(core.snapshot())
        elif not some:
            return


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_what_is_open_is_what_a_recorder_holds_open_wherever_the_stream_is_cut(name: str, tmp_path: Path) -> None:
    events = facts(STREAMS[name])
    cuts = sorted({len(events) // 3, len(events) // 2, len(events) - 1, len(events)})
    for cut in cuts:
        journal, core = recorded(tmp_path / str(cut), events[:cut], every=7)
        folder = abandon(journal)
        view = view_of(folder, living=False)
        assert (view.open, view.lines, view.damaged_lines) == (core.open_work(), cut, 0)


def test_what_lies_behind_the_mark_waits(tmp_path: Path) -> None:
    journal = create(tmp_path)
    lines = [said(f"line {number}") for number in range(10)]
    assert all(journal.append(line) for line in lines)
    entries = read_all(journal)
    journal.acknowledge(entries[6].position)
    folder = journal.folder
    assert folder is not None
    view = view_of(folder, living=True)
    assert (view.lines, view.waiting, view.settled) == (10, 3, entries[6].position)
    assert view.waiting_bytes == sum(len(frame(line)) for line in lines[7:])
    assert (view.end, settled_to(folder)) == (entries[-1].position, entries[6].position)
    journal.close(delete=True)
    assert settled_to(folder) is None


def test_the_first_exporter_s_mark_counts_and_all_of_them_settle(tmp_path: Path) -> None:
    head = HEAD.__class__(destination=HEAD.destination, exporters=("otlp", "console"))
    journal = create(tmp_path, head=head)
    assert all(journal.append(said(f"line {number}")) for number in range(4))
    entries = read_all(journal)
    journal.acknowledge(entries[3].position, 0)
    journal.acknowledge(entries[1].position, 1)
    view = view_of(abandon(journal), living=False)
    assert (view.waiting, view.settled) == (0, entries[1].position)


def test_facts_of_the_sender_s_own_do_not_wait(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    journal.write(End())
    journal.write(Purge())
    view = view_of(abandon(journal), living=False)
    assert (view.lines, view.waiting) == (1, 1)


def test_lines_that_were_carried_over_count(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    assert journal.roll()
    folder = abandon(journal)
    second = Segment(folder / "00000002.journal", 2)
    second.keep(encode_fact(Carried(lines=tuple(map(_raw, (said("two"), said("three")))))))
    view = view_of(folder, living=False)
    assert (view.lines, view.waiting, view.end) == (3, 3, Position(2, 0))


def _raw(body: bytes) -> Raw:
    return Raw(body)


def test_an_unfinished_last_line_is_no_damage_and_another_line_is(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    folder = abandon(journal)
    path = folder / "00000001.journal"
    path.write_bytes(path.read_bytes() + frame(said("two"))[:-3])
    for living in (True, False):
        assert view_of(folder, living=living).damaged_lines == 0
    content = path.read_bytes() + frame(said("three"))
    path.write_bytes(content.replace(b'"text":"one"', b'"text":"0ne"'))
    view = view_of(folder, living=True)
    assert (view.damaged_lines, view.lines) == (2, 1)
    assert view.messages == ("00000001.journal: a line that was changed",)


def test_it_finds_every_line_that_an_adopter_finds_and_calls_damaged_what_that_one_does(tmp_path: Path) -> None:
    """Fifty corruptions: flipped bits, cut tails, holes, a missing segment."""
    for seed in range(50):
        chance, state = random.Random(seed), tmp_path / str(seed)
        journal = create(state, segment_bytes=4_000)
        for number in range(120):
            journal.append(said(f"line {number} " + "x" * chance.randrange(60)))
            if journal.due():
                journal.roll()
            read_all(journal, RecorderCore().snapshot)
        folder = abandon(journal)
        for _ in range(chance.randrange(1, 4)):
            _corrupt(chance, folder)
        view = view_of(folder, living=False)
        adopted = adopt(folder)
        entries = read_all(adopted, RecorderCore().snapshot)
        stats = adopted.stats()
        assert view.waiting == sum(1 for entry in entries if _is_event(entry.fact)), f"seed {seed}"
        assert view.missing_segments == stats.missing_segments
        # Damage at the very end an adopter tells only where it goes on writing behind it.
        assert view.damaged_lines >= stats.damaged_lines or stats.missing_segments, f"seed {seed}"
        adopted.close(delete=True)


def _is_event(fact: object) -> bool:
    return type(fact).__name__ == "ProgressMessage"


def _corrupt(chance: random.Random, folder: Path) -> None:
    paths = sorted(folder.glob("*.journal"))
    path = chance.choice(paths)
    content = bytearray(path.read_bytes())
    first = 70_000  # behind the head region: what becomes of heads is the next test's
    match chance.choice(("flip", "cut", "hole", "missing")):
        case "flip" if len(content) > first:
            content[chance.randrange(first, len(content))] ^= 1 << chance.randrange(8)
        case "cut" if len(content) > first:
            del content[chance.randrange(first, len(content)) :]
        case "hole" if len(content) > first:
            at = chance.randrange(first, len(content))
            content[at : at + 300] = bytes(len(content[at : at + 300]))
        case "missing" if len(paths) > 2 and path not in (paths[0], paths[-1]):
            path.unlink()
            return
        case _:
            pass
    path.write_bytes(content)


def test_bytes_that_are_no_journal_at_all_are_read_without_a_fault(tmp_path: Path) -> None:
    for seed in range(20):
        chance, folder = random.Random(seed), tmp_path / str(seed)
        folder.mkdir()
        (folder / "00000001.journal").write_bytes(chance.randbytes(chance.randrange(100_000)))
        assert view_of(folder, living=False).lines == 0


def test_a_snapshot_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    journal.roll()
    read_all(journal)  # writes a state that no recorder wrote
    view = view_of(abandon(journal), living=False)
    assert (view.damaged_lines, view.open) == (1, OpenWork(0, 0, 0))
    assert view.messages == ("a snapshot that cannot be read",)


def test_a_look_changes_nothing_and_takes_no_lock(tmp_path: Path) -> None:
    journal, _ = recorded(tmp_path, facts(STREAMS["demo"])[:40], every=9)
    folder = journal.folder
    assert folder is not None
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    view_of(folder, living=True)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    assert filelock.is_ours(folder / LOCK)
    journal.close(delete=True)
