"""A disk that is full, read-only or gone: what is on it is sent and frees it, what it refuses waits in order."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_phi.delivery.journal.facts import Snapshot
from otel_phi.delivery.journal.journal import Journal
from tests.delivery.journal.journals import HEAD, abandon, adopt, create, folder_of, read_all, said, segments_of, texts

needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="SKIPPED, NOT PASSED: mounts need root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Gives a disk of one MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"SKIPPED, NOT PASSED: no tmpfs can be mounted here: {done.stderr}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(journal: Journal, first: int, refused: int = 5) -> list[str]:
    """Appends lines of a kilobyte until some were refused; returns all."""
    kept: list[str] = []
    while refused:
        kept.append(f"{first + len(kept)} {'x' * 1000}")
        refused -= not journal.append(said(kept[-1]))
    return kept


def balanced(journal: Journal, given: int) -> None:
    stats = journal.stats()
    assert (stats.lines, stats.lost, stats.damaged_lines) == (given, (), 0)
    assert 0 <= stats.waiting <= given
    assert stats.refused >= 0


@needs_root
def test_what_is_on_a_full_disk_is_sent_and_frees_it(small_disk: Path) -> None:
    journal = create(small_disk)
    given = fill(journal, 0)
    balanced(journal, len(given))
    assert journal.due()
    assert journal.roll(), "the reserve's space is there"
    given += fill(journal, len(given), 2)
    assert not journal.roll() or len(segments_of(journal)) == 2, "no file can be made"
    found = read_all(journal)
    journal.acknowledge(found[-1].position)
    assert not (folder_of(journal) / "00000001.journal").exists()
    balanced(journal, len(given))
    journal.sync()
    assert journal.due()
    assert journal.roll()
    found += read_all(journal)
    assert texts(found) == given
    assert journal.append(said("more"))
    given.append("more")
    found += read_all(journal)
    assert texts(found) == given
    balanced(journal, len(given))
    journal.acknowledge(found[-1].position)
    journal.close(delete=True)
    assert list((small_disk / "outbox").glob("*/*")) == []


@needs_root
def test_a_process_killed_on_a_full_disk_loses_what_was_in_memory_alone(small_disk: Path) -> None:
    journal = create(small_disk)
    given = fill(journal, 0)
    in_file = given[:-5]
    adopted = adopt(abandon(journal))
    found = read_all(adopted)
    assert texts(found) == in_file
    assert adopted.stats().damaged_lines == 0
    adopted.acknowledge(found[-1].position)
    adopted.close(delete=True)
    assert list((small_disk / "outbox").glob("*/*")) == []


@needs_root
def test_after_a_roll_on_a_full_disk_a_kill_loses_what_was_in_memory_alone(small_disk: Path) -> None:
    journal = create(small_disk)
    given = fill(journal, 0)
    journal.roll()
    live = read_all(journal)
    adopted = adopt(abandon(journal))
    found = read_all(adopted)
    assert texts(found)[: len(given) - 5] == given[:-5]
    assert found == live[: len(found)]
    adopted.close(delete=True)


@needs_root
def test_marks_need_no_space(small_disk: Path) -> None:
    journal = create(small_disk)
    fill(journal, 0)
    found = read_all(journal)
    for entry in found:
        journal.acknowledge(entry.position)
    adopted = adopt(abandon(journal))
    assert adopted.acknowledged == [found[-1].position]
    adopted.close(delete=True)


@needs_root
def test_a_snapshot_too_large_for_a_full_disk_is_written_when_there_is_space(small_disk: Path) -> None:
    journal = create(small_disk)
    for number in range(300):
        journal.append(said(f"{number} {'x' * 1000}"))
    journal.roll()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(1 << 20))
    found = read_all(journal, lambda: bytes(200_000))
    journal.acknowledge(found[-1].position)
    first = folder_of(journal) / "00000001.journal"
    assert first.exists(), "the next one's snapshot is not on the disk"
    ballast.unlink()
    journal.sync()
    assert not first.exists()
    adopted = adopt(abandon(journal))
    assert adopted.restored == bytes(200_000)
    adopted.close(delete=True)


def test_a_state_that_grew_has_its_space_reserved(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for number in range(3):
        journal.append(said(str(number)))
        journal.roll()
        read_all(journal, lambda: bytes(300_000))
    journal.roll()
    read_all(journal, lambda: bytes(300_000))
    assert journal._chain.current.reader.offset == journal._chain.current.size, "it stands in the head region"
    journal.close(delete=True)


def test_a_folder_that_is_read_only_gives_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="outbox"):
        create(tmp_path)


@needs_root
def test_a_disk_that_is_read_only_gives_an_error(small_disk: Path) -> None:
    create(small_disk).close(delete=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only"):
        create(small_disk)


@needs_root
def test_no_inodes_left_the_journal_goes_on_in_the_files_it_has(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=7,mode=0700", "none", disk], check=False
    ).returncode:
        pytest.skip("SKIPPED, NOT PASSED: no tmpfs can be mounted here")
    try:
        journal = create(disk, segment_bytes=10_000)
        given = [f"{number} {'x' * 100}" for number in range(300)]
        found = []
        for word in given:
            assert journal.append(said(word))
            if journal.due():
                journal.roll()
        found = read_all(journal)
        assert texts(found) == given
        assert len(segments_of(journal)) <= 3
        journal.acknowledge(found[-1].position)
        journal.close(delete=True)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# --- removed while running -----------------------------------------------------------------------------------------------


def test_a_removed_folder_is_made_again_with_all_that_was_in_it(tmp_path: Path) -> None:
    journal = create(tmp_path)
    folder = journal.folder
    assert folder is not None
    journal.append(said("one"))
    journal.roll()
    journal.append(said("two"))
    shutil.rmtree(tmp_path / "outbox")
    assert journal.append(said("three")), "into the file that has no name any more"
    journal.sync()
    assert journal.folder == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert journal.append(said("four"))
    journal.sync()
    assert not journal.due()
    adopted = adopt(abandon(journal))
    assert texts(read_all(adopted)) == ["one", "two", "three", "four"]
    adopted.close(delete=True)


def test_a_removed_folder_is_read_on_and_nothing_is_twice(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    first = read_all(journal)
    journal.acknowledge(first[-1].position)
    shutil.rmtree(folder_of(journal))
    journal.append(said("two"))
    journal.sync()
    journal.append(said("three"))
    assert texts(read_all(journal)) == ["two", "three"]
    adopted = adopt(abandon(journal))
    assert adopted.acknowledged == [first[-1].position]
    assert texts(read_all(adopted)) == ["one", "two", "three"]
    adopted.close(delete=True)


def test_a_folder_that_cannot_be_made_again_loses_nothing_while_the_process_lives(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    shutil.rmtree(tmp_path / "outbox")
    (tmp_path / "outbox").write_text("in the way")
    journal.sync()
    assert any("removed" in message for message in journal.stats().messages)
    assert journal.append(said("two"))
    assert texts(read_all(journal)) == ["one", "two"]
    (tmp_path / "outbox").unlink()
    journal.sync()
    journal.append(said("three"))
    adopted = adopt(abandon(journal))
    assert texts(read_all(adopted)) == ["one", "two", "three"]
    adopted.close(delete=True)


def test_a_removed_lock_is_made_again_and_held(tmp_path: Path) -> None:
    journal = create(tmp_path)
    lock = folder_of(journal) / "lock"
    lock.unlink()
    journal.sync()
    assert lock.exists()
    assert not free(lock)
    assert journal.append(said("one"))
    journal.close(delete=True)


def test_a_lock_that_another_process_took_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    before = folder_of(journal)
    lock = before / "lock"
    lock.unlink()
    with holding(lock):
        journal.sync()
        journal.sync()
        assert journal.folder != before
        assert journal.append(said("two"))
        assert texts(read_all(journal)) == ["one", "two"]
        assert not free(folder_of(journal) / "lock")
    journal.close(delete=True)
    assert before.exists()


def test_a_removed_current_segment_is_made_again(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    (folder_of(journal) / "00000001.journal").unlink()
    journal.append(said("two"))
    journal.sync()
    journal.append(said("three"))
    journal.sync()
    adopted = adopt(abandon(journal))
    assert texts(read_all(adopted)) == ["one", "two", "three"]
    adopted.close(delete=True)


def test_a_removed_reserve_is_made_again_at_the_roll(tmp_path: Path) -> None:
    journal = create(tmp_path)
    (folder_of(journal) / "00000002.reserve").unlink()
    assert journal.roll()
    assert (folder_of(journal) / "00000002.journal").exists()
    assert (folder_of(journal) / "00000003.reserve").exists()
    journal.close(delete=True)


def test_a_journal_whose_files_are_all_made_anew_has_its_head_and_state_in_them(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    journal.roll()
    read_all(journal)
    journal.acknowledge(journal.position)
    shutil.rmtree(folder_of(journal))
    journal.sync()
    journal.sync()
    adopted = adopt(abandon(journal))
    assert adopted.head == HEAD
    assert adopted.restored == b"state"
    assert not any(isinstance(entry.fact, Snapshot) for entry in read_all(adopted))
    adopted.close(delete=True)


# --- another process -----------------------------------------------------------------------------------------------------

_FREE = "import fcntl, os, sys; fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)"
_HOLD = """
import fcntl, os, sys
fcntl.lockf(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def free(lock: Path) -> bool:
    """Tells whether another process could take a lock."""
    return subprocess.run([sys.executable, "-c", _FREE, lock], capture_output=True, check=False).returncode == 0


class holding:  # noqa: N801  # it reads as a word
    """Has another process hold a lock."""

    def __init__(self, lock: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"held\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
