"""Damage costs the damaged lines, is counted and said; nothing crashes, hangs, or is invented."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from otel_phi.delivery.journal.facts import Snapshot
from otel_phi.delivery.journal.preamble import PREAMBLE_BYTES, read_preamble
from tests.delivery.journal.journals import abandon, adopt, create, read_all, said, texts

SOAK = os.environ.get("OTEL_PHI_SOAK") == "1"
CORRUPTIONS = 500 if SOAK else 50
WORDS = [f"{number} " + "word " * (number % 7) for number in range(300)]


def filled(state: Path, segments: int = 3) -> Path:
    """Returns the folder of a dead process with all of WORDS in it, read and snapshotted to the last segment."""
    journal = create(state)
    for number in range(segments):
        for word in WORDS[number * len(WORDS) // segments : (number + 1) * len(WORDS) // segments]:
            assert journal.append(said(word))
        if number < segments - 1:
            read_all(journal)
            assert journal.roll()
            read_all(journal)
    return abandon(journal)


def corrupt(path: Path, draw: random.Random) -> tuple[int, int]:
    """Damages a file, most often behind its head region; returns where."""
    data = bytearray(path.read_bytes())
    descriptor = os.open(path, os.O_RDONLY)
    first = draw.choice([0, PREAMBLE_BYTES, *[read_preamble(descriptor).head_end] * 6])
    os.close(descriptor)
    at = draw.randrange(first, min(first + 1500, len(data)) if first < 600 else len(data))
    match draw.choice(["flip", "hole", "newlines", "cut", "gone"]):
        case "flip":
            end = at + 1
            data[at] ^= 1 << draw.randrange(8)
        case "hole":
            end = min(at + draw.randrange(1, 400), len(data))
            data[at:end] = bytes(end - at)
        case "newlines":
            end = min(at + draw.randrange(1, 40), len(data))
            data[at:end] = b"\n" * (end - at)
        case "cut":
            end = len(data)
            del data[at:]
        case _:
            end = min(at + draw.randrange(1, 200), len(data))
            del data[at:end]
    path.write_bytes(data)
    return at, end


def touched(path: Path, at: int, end: int) -> set[str]:
    """Returns the words whose lines lay in a stretch of a file, before it was damaged."""
    data = path.read_bytes()
    found = set()
    for word in WORDS:
        start = data.find(said(word)) - len(b"\n12345678 999 ")
        if start > 0 and start < end and start + len(b"\n12345678 999 ") + len(said(word)) > at:
            found.add(word)
    return found


@pytest.mark.parametrize("seed", range(CORRUPTIONS))
def test_a_corruption_costs_the_lines_it_touches(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    folder = filled(tmp_path)
    path = draw.choice(sorted(folder.glob("*.journal")))
    before = path.read_bytes()
    at, end = corrupt(path, draw)
    damaged = path.read_bytes()
    path.write_bytes(before)
    gone = touched(path, at, end)
    path.write_bytes(damaged)
    adopted = adopt(folder)
    kept = texts(read_all(adopted))
    assert set(WORDS) - set(kept) <= gone
    assert kept == [word for word in WORDS if word in set(kept)], "out of order, twice, or invented"
    stats = adopted.stats()
    cut_at_the_end = path.name == "00000003.journal" and before.startswith(damaged)  # as a kill leaves it
    assert stats.damaged_lines or stats.missing_segments or cut_at_the_end or set(kept) == set(WORDS)
    assert bool(stats.damaged_lines or stats.missing_segments) == bool(stats.messages)
    adopted.close(delete=True)
    assert not folder.exists()


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_a_changed_line_is_counted_with_one_message_a_kind(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    path = folder / "00000001.journal"
    data = path.read_bytes()
    for word in WORDS[3:6]:
        flip(path, data.index(said(word)) + 30)
    adopted = adopt(folder)
    assert texts(read_all(adopted)) == WORDS[:3] + WORDS[6:]
    stats = adopted.stats()
    assert stats.damaged_lines == 3
    assert stats.messages == ("00000001.journal: a line that was changed",)
    adopted.close(delete=True)


def test_a_tail_cut_by_a_kill_is_no_damage_and_the_adopter_goes_on_behind_it(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    path = folder / "00000001.journal"
    path.write_bytes(path.read_bytes()[:-5])
    adopted = adopt(folder)
    assert texts(read_all(adopted)) == WORDS[:-1]
    assert adopted.append(said("next"))
    assert texts(read_all(adopted)) == ["next"]
    assert adopted.stats().damaged_lines == 0
    again = adopt(abandon(adopted))
    assert texts(read_all(again)) == [*WORDS[:-1], "next"]
    assert again.stats().damaged_lines == 0
    again.close(delete=True)


def test_a_missing_segment_is_counted_and_the_next_snapshot_goes_on(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    (folder / "00000002.journal").unlink()
    adopted = adopt(folder)
    entries = read_all(adopted)
    assert texts(entries) == WORDS[:100] + WORDS[200:]
    at = [index for index, entry in enumerate(entries) if isinstance(entry.fact, Snapshot)]
    assert at == [100]
    assert entries[100].fact == Snapshot(state=b"state")
    assert [entry.position for entry in entries] == sorted({entry.position for entry in entries})
    stats = adopted.stats()
    assert stats.missing_segments == 1
    assert "00000003.journal" in stats.messages[0]
    adopted.close(delete=True)


def test_a_missing_first_segment_goes_on_from_the_next_ones_snapshot(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    (folder / "00000001.journal").unlink()
    adopted = adopt(folder)
    assert adopted.restored == b"state"
    assert texts(read_all(adopted)) == WORDS[100:]
    adopted.close(delete=True)


def test_a_snapshot_that_was_damaged_is_said_and_the_next_one_is_given(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    (folder / "00000001.journal").unlink()
    path = folder / "00000002.journal"
    flip(path, path.read_bytes().index(b'{"type":"Snapshot"') + 20)
    adopted = adopt(folder)
    assert adopted.restored is None
    entries = read_all(adopted)
    assert texts(entries) == WORDS[100:]
    assert isinstance(entries[100].fact, Snapshot)
    assert adopted.stats().damaged_lines == 1
    assert "snapshot" in adopted.stats().messages[0]
    adopted.close(delete=True)


def test_a_head_that_was_damaged_is_read_from_another_file(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    path = folder / "00000001.journal"
    flip(path, path.read_bytes().index(b'{"type":"Head"') + 40)
    adopted = adopt(folder)  # by way of the reserve
    assert texts(read_all(adopted)) == WORDS
    assert adopted.stats().messages == ("00000001.journal: a head that was changed",)
    adopted.close(delete=True)


@pytest.mark.parametrize("length", [19, 60, PREAMBLE_BYTES])
def test_a_damaged_preamble_costs_the_marks_and_no_line(tmp_path: Path, length: int) -> None:
    folder = filled(tmp_path, 2)
    for path in folder.glob("*.journal"):
        path.write_bytes(b"x" * length + path.read_bytes()[length:])
    adopted = adopt(folder)
    assert texts(read_all(adopted)) == WORDS
    adopted.close(delete=True)


def test_a_file_that_shrinks_while_it_is_read_hangs_nobody(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for word in WORDS:
        journal.append(said(word))
    read_all(journal)
    path = journal._chain.folder / "00000001.journal"
    os.truncate(path, 70_000)
    assert journal.read() == []
    assert journal.due()
    assert journal.roll()
    journal.append(said("behind"))
    assert texts(read_all(journal))[-1:] == ["behind"]
    assert journal.stats().damaged_lines
    journal.close(delete=True)


def test_zeros_behind_a_power_failure_are_damage_and_end_nothing(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    path = folder / "00000001.journal"
    with path.open("ab") as file:
        file.write(bytes(5000))
    adopted = adopt(folder)
    assert adopted.append(said("next"))
    assert texts(read_all(adopted)) == [*WORDS, "next"]
    assert adopted.stats().damaged_bytes == 5000
    adopted.close(delete=True)


def test_a_file_without_a_single_line_of_ours_is_read_to_its_end(tmp_path: Path) -> None:
    folder = filled(tmp_path, 3)
    path = folder / "00000002.journal"
    path.write_bytes(os.urandom(path.stat().st_size))
    adopted = adopt(folder)
    kept = texts(read_all(adopted))
    assert kept == WORDS[:100] + WORDS[200:]
    assert adopted.stats().damaged_lines
    adopted.close(delete=True)


@pytest.mark.parametrize("size", [0, 100, PREAMBLE_BYTES - 1, PREAMBLE_BYTES, 5000])
def test_a_segment_that_a_power_failure_left_without_its_head_is_not_appended_to(tmp_path: Path, size: int) -> None:
    folder = filled(tmp_path, 2)
    path = folder / "00000003.journal"
    (folder / "00000003.reserve").rename(path)
    os.truncate(path, size)
    adopted = adopt(folder)
    assert adopted.append(said("next"))
    assert texts(read_all(adopted)) == [*WORDS, "next"]
    again = adopt(abandon(adopted))
    assert texts(read_all(again)) == [*WORDS, "next"]
    again.close(delete=True)


def test_a_segment_that_cannot_be_opened_counts_as_missing(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    (folder / "00000002.journal").unlink()
    (folder / "00000002.journal").symlink_to(folder / "00000001.journal")
    adopted = adopt(folder)
    assert texts(read_all(adopted)) == WORDS[:100] + WORDS[200:]
    assert adopted.stats().missing_segments == 1
    adopted.close(delete=True)


def test_a_reserve_of_a_dead_process_is_used(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    reserve = folder / "00000002.reserve"
    inode = reserve.stat().st_ino
    adopted = adopt(folder)
    assert adopted.roll()
    assert (folder / "00000002.journal").stat().st_ino == inode
    adopted.close(delete=True)


def test_a_reserve_that_is_not_whole_is_made_anew(tmp_path: Path) -> None:
    folder = filled(tmp_path, 1)
    os.truncate(folder / "00000002.reserve", 1000)
    adopted = adopt(folder)
    assert adopted.roll()
    adopted.append(said("next"))
    assert texts(read_all(adopted)) == [*WORDS, "next"]
    adopted.close(delete=True)
