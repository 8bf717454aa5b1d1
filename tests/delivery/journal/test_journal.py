"""A journal gives back what it was given, in order, to its own process and to whoever adopts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_phi.delivery.journal.facts import START, End, LookedUp, Position, RootClaimed
from otel_phi.delivery.journal.journal import Journal
from tests.delivery.journal.journals import HEAD, abandon, adopt, create, read_all, said, texts


def words(count: int, first: int = 0) -> list[str]:
    return [f"word {number}" for number in range(first, first + count)]


def give(journal: Journal, some: list[str]) -> None:
    for word in some:
        assert journal.append(said(word))


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert journal.read() == []
    give(journal, words(3))
    entries = journal.read()
    assert texts(entries) == words(3)
    assert [entry.position.segment for entry in entries] == [1, 1, 1]
    assert journal.position == entries[-1].position
    give(journal, words(2, 3))
    assert texts(journal.read()) == words(2, 3)
    assert journal.read() == []
    stats = journal.stats()
    assert (stats.lines, stats.read, stats.waiting, stats.refused, stats.lost) == (5, 5, 0, 0, ())
    journal.close(delete=True)


def test_reading_in_small_pieces_gives_the_same(tmp_path: Path) -> None:
    journal = create(tmp_path)
    long = "x" * 5000
    give(journal, [long, *words(50), long])
    found = []
    while entries := journal.read(max_bytes=100):
        found += entries
    assert texts(found) == [long, *words(50), long]
    journal.close(delete=True)


def test_a_journal_that_is_done_leaves_nothing(tmp_path: Path) -> None:
    journal = create(tmp_path)
    folder = journal.folder
    assert folder is not None
    give(journal, words(3))
    journal.close(delete=True)
    assert not folder.exists()
    assert journal.append(said("late")) is False
    assert journal.stats().lost == (("journal closed", 1),)
    assert journal.read() == []


def test_a_dead_process_s_journal_is_read_from_the_mark_on(tmp_path: Path) -> None:
    journal = create(tmp_path)
    give(journal, words(10))
    entries = journal.read()
    journal.acknowledge(entries[3].position)
    adopted = adopt(abandon(journal))
    assert adopted.acknowledged == [entries[3].position]
    assert adopted.restored is None
    assert read_all(adopted) == entries
    adopted.close(delete=True)
    assert not journal._chain.folder.exists()


def test_a_roll_asks_for_the_state_between_two_segments(tmp_path: Path) -> None:
    journal = create(tmp_path)
    give(journal, words(3))
    assert journal.roll()
    give(journal, words(3, 3))
    assert texts(journal.read()) == words(3)
    wanted = [journal.wants_snapshot]
    assert journal.read() == []
    wanted.append(journal.wants_snapshot)
    assert journal.read() == []
    assert wanted == [False, True]
    journal.snapshot(b"after three")
    assert texts(journal.read()) == words(3, 3)
    journal.close(delete=True)


def test_a_segment_is_deleted_when_it_is_settled_and_the_next_has_its_snapshot(tmp_path: Path) -> None:
    journal = create(tmp_path)
    folder = journal.folder
    assert folder is not None
    give(journal, words(3))
    journal.roll()
    give(journal, words(3, 3))
    first = journal.read()
    journal.acknowledge(first[-1].position)
    assert (folder / "00000001.journal").exists(), "the next has no snapshot yet"
    assert journal.read() == []
    journal.snapshot(b"after three")
    assert not (folder / "00000001.journal").exists()
    rest = journal.read()
    adopted = adopt(abandon(journal))
    assert adopted.restored == b"after three"
    assert read_all(adopted) == rest
    adopted.close(delete=True)


def test_recovery_gives_the_same_entries_at_the_same_positions(tmp_path: Path) -> None:
    journal = create(tmp_path)
    live = []
    for turn in range(4):
        give(journal, words(5, turn * 5))
        live += read_all(journal)
        assert journal.roll()
    give(journal, words(5, 20))
    live += read_all(journal)
    assert texts(live) == words(25)
    adopted = adopt(abandon(journal))
    assert read_all(adopted) == live
    adopted.close(delete=True)


def test_each_exporter_has_a_mark_and_the_slowest_keeps_the_segment(tmp_path: Path) -> None:
    journal = create(tmp_path, head=HEAD.__class__(destination=HEAD.destination, exporters=("otlp", "console")))
    folder = journal.folder
    assert folder is not None
    give(journal, words(3))
    journal.roll()
    give(journal, words(1, 3))
    entries = read_all(journal)
    journal.acknowledge(entries[-1].position, 0)
    journal.acknowledge(entries[1].position, 1)
    assert (folder / "00000001.journal").exists()
    adopted = adopt(abandon(journal))
    assert adopted.acknowledged == [entries[-1].position, entries[1].position]
    read_all(adopted)
    adopted.acknowledge(entries[2].position, 1)
    assert not (folder / "00000001.journal").exists()
    adopted.close(delete=True)


def test_what_the_sender_looked_up_is_found_at_adoption_before_the_first_read(tmp_path: Path) -> None:
    journal = create(tmp_path)
    give(journal, words(2))
    one, two = journal.read()
    assert journal.write(LookedUp(at=one.position, loop_id="l", session_id="s", started_ns=7))
    assert journal.write(LookedUp(at=two.position, loop_id="m"))
    journal.roll()
    assert journal.write(RootClaimed(at=two.position, session="s", won=True))
    assert journal.write(End())
    assert journal.stats().lines == 2, "the sender's own facts are no events"
    adopted = adopt(abandon(journal))
    assert adopted.looked_up[one.position].session_id == "s"
    assert adopted.looked_up[two.position].session_id is None
    assert adopted.claimed == {two.position: RootClaimed(at=two.position, session="s", won=True)}
    assert adopted.stats().lines == 2
    facts = [entry.fact for entry in read_all(adopted)]
    assert facts[-1] == End()
    assert adopted.stats().read == 2
    adopted.close(delete=True)


def test_an_adopted_journal_takes_facts_of_its_adopter_and_can_be_adopted_again(tmp_path: Path) -> None:
    journal = create(tmp_path)
    give(journal, words(2))
    first = adopt(abandon(journal))
    entries = read_all(first)
    assert first.write(RootClaimed(at=entries[0].position, session="s", won=True))
    second = adopt(abandon(first))
    assert second.claimed.keys() == {entries[0].position}
    assert read_all(second)[:2] == entries
    second.close(delete=True)


def test_nothing_is_acknowledged_at_the_start(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert journal.acknowledged == [START] == [Position(0, 0)]
    assert not journal.due()
    journal.close(delete=True)


def test_a_full_segment_is_due(tmp_path: Path) -> None:
    journal = create(tmp_path, segment_bytes=1000)
    give(journal, words(10))
    assert not journal.due()
    give(journal, words(10))
    assert journal.due()
    assert journal.roll()
    assert not journal.due()
    journal.close(delete=True)


def test_a_snapshot_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    journal = create(tmp_path)
    with pytest.raises(ValueError, match="wants_snapshot"):
        journal.snapshot(b"")
    journal.close(delete=True)


@pytest.mark.parametrize("size", [10, 40_000, 60_000, 500_000])
def test_a_snapshot_of_any_size_is_restored(tmp_path: Path, size: int) -> None:
    journal = create(tmp_path)
    state = bytes(number % 256 for number in range(size))
    give(journal, words(1))
    journal.roll()
    give(journal, words(1, 1))
    entries = read_all(journal, lambda: state)
    journal.acknowledge(entries[0].position)
    journal.roll()
    give(journal, words(1, 2))
    adopted = adopt(abandon(journal))
    assert adopted.restored == state
    assert texts(read_all(adopted, lambda: state)) == words(2, 1)
    adopted.close(delete=True)
