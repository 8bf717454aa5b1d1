"""Where state is kept: a folder that is not this user's own gets a private one inside. Marks, and journals in memory."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from otel_phi.delivery.journal.append import Forked
from otel_phi.delivery.journal.facts import LookedUp
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.preamble import EXPORTERS, Mark, read_preamble, write_mark
from otel_phi.delivery.journal.private import FolderError, state_folder
from otel_phi.delivery.journal.segment import Segment
from otel_phi.delivery.journal.segment_file import make_segment
from tests.delivery.journal.journals import HEAD, abandon, adopt, create, read_all, said, texts
from tests.golden import PROJECT

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
needs_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="SKIPPED, NOT PASSED: giving files away needs root"
)


@posix
@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o770, 0o2775])
def test_a_folder_of_one_s_own_is_used_as_it_is(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    assert state_folder(folder) == (folder, "")


@posix
def test_a_folder_that_is_not_there_is_made_private(tmp_path: Path) -> None:
    folder, warning = state_folder(tmp_path / "a" / "b")
    assert (folder, warning) == (tmp_path / "a" / "b", "")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize(("mode", "warns"), [(0o777, True), (0o2777, True), (0o1777, False), (0o3777, False)])
def test_a_folder_that_everyone_may_write_to_gets_a_private_one_inside(tmp_path: Path, mode: int, warns: bool) -> None:
    volume = tmp_path / "state"
    volume.mkdir()
    volume.chmod(mode)
    for _ in range(2):
        folder, warning = state_folder(volume)
        assert folder == volume / str(os.geteuid())
        assert stat.S_IMODE(folder.stat().st_mode) & 0o777 == 0o700
        assert bool(warning) == warns
    create(folder).close(delete=True)


_AS_SOMEBODY = """
import os, sys
from pathlib import Path
from otel_phi.delivery.journal.private import state_folder
from tests.delivery.journal.journals import create, read_all, said, texts
os.setgroups([])
os.setgid(4711)
os.setuid(4711)
try:
    folder, warning = state_folder(Path(sys.argv[1]))
except OSError as error:
    print("refused", type(error).__name__)
else:
    journal = create(folder)
    assert journal.append(said("one")) and texts(read_all(journal)) == ["one"]
    journal.close(delete=True)
    print(folder.name, oct(folder.stat().st_mode & 0o777), "warned" if warning else "quiet")
"""


@needs_root
@pytest.mark.parametrize(
    ("mode", "group", "said_"),
    [
        (0o770, 4711, "4711 0o700 warned"),
        (0o2770, 4711, "4711 0o700 warned"),
        (0o2775, 4711, "4711 0o700 warned"),
        (0o777, 0, "4711 0o700 warned"),
        (0o1777, 0, "4711 0o700 quiet"),
        (0o755, 0, "refused PermissionError"),
    ],
)
def test_a_volume_of_root_s_with_the_process_s_group_is_used(tmp_path: Path, mode: int, group: int, said_: str) -> None:
    for parent in [tmp_path, *tmp_path.parents][:4]:  # pytest-xdist puts a folder of each worker between
        parent.chmod(parent.stat().st_mode | 0o011)
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, 0, group)
    volume.chmod(mode)
    command = [sys.executable, "-c", _AS_SOMEBODY, str(volume)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.stdout.strip() == said_, done.stderr


@needs_root
def test_what_another_put_in_its_place_is_refused(tmp_path: Path) -> None:
    volume = tmp_path / "state"
    volume.mkdir()
    volume.chmod(0o777)
    inner = volume / str(os.geteuid())
    inner.mkdir()
    os.chown(inner, 4711, 4711)
    with pytest.raises(FolderError, match="another user"):
        state_folder(volume)
    inner.rmdir()
    inner.symlink_to(tmp_path)
    with pytest.raises(FolderError, match="link"):
        state_folder(volume)


@posix
def test_a_private_folder_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    folder, _ = state_folder(tmp_path)
    folder.chmod(0o755)
    assert stat.S_IMODE(state_folder(tmp_path)[0].stat().st_mode) == 0o700


# --- marks ---------------------------------------------------------------------------------------------------------------


def segment(folder: Path) -> Segment:
    path = folder / "00000001.journal"
    make_segment(path, HEAD)
    return Segment(path, 1)


def test_a_new_segment_has_no_mark(tmp_path: Path) -> None:
    one = segment(tmp_path)
    assert one.preamble.format == 1
    assert one.marks == [None] * EXPORTERS


def test_each_exporter_has_two_marks_in_turn_and_the_newer_counts(tmp_path: Path) -> None:
    one = segment(tmp_path)
    for exporter in range(EXPORTERS):
        for number in range(1, exporter + 2):
            write_mark(one.descriptor.number, exporter, Mark(number, number * 100 - 300))
    found = read_preamble(one.descriptor.number)
    assert found.marks == [Mark(exporter + 1, (exporter + 1) * 100 - 300) for exporter in range(EXPORTERS)]
    assert Segment(one.path, 1).region.head == HEAD


@pytest.mark.parametrize("cut", range(20))
def test_a_torn_mark_falls_back_to_the_other(tmp_path: Path, cut: int) -> None:
    one = segment(tmp_path)
    write_mark(one.descriptor.number, 3, Mark(1, 1000))
    write_mark(one.descriptor.number, 3, Mark(2, 2000))
    before = one.path.read_bytes()
    write_mark(one.descriptor.number, 3, Mark(3, 3000))
    after = bytearray(one.path.read_bytes())
    at = after.index(struct.pack("<Qq", 3, 3000))
    after[at + cut : at + 24] = before[at + cut : at + 24]
    one.path.write_bytes(after)
    found = read_preamble(one.descriptor.number).marks[3]
    assert found in (Mark(2, 2000), Mark(3, 3000))
    assert found == Mark(2, 2000) or cut > 17, "torn, and taken for whole"


def test_a_mark_goes_on_where_an_adopter_finds_it(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for number in range(5):
        journal.append(said(str(number)))
    entries = journal.read()
    for entry in entries[:3]:
        journal.acknowledge(entry.position)
    journal.acknowledge(entries[0].position)
    adopted = adopt(abandon(journal))
    assert adopted.acknowledged == [entries[2].position]
    read_all(adopted)
    adopted.acknowledge(entries[3].position)
    again = adopt(abandon(adopted))
    assert again.acknowledged == [entries[3].position]
    again.close(delete=True)


def test_a_mark_that_the_disk_does_not_take_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    (entry,) = journal.read()

    def refused(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", refused)
    journal.acknowledge(entry.position)
    monkeypatch.undo()
    journal.sync()
    adopted = adopt(abandon(journal))
    assert adopted.acknowledged == [entry.position]
    adopted.close(delete=True)


# --- in memory -----------------------------------------------------------------------------------------------------------


def test_a_journal_in_memory_is_the_same_to_its_users() -> None:
    journal = Journal.in_memory(HEAD, "no home")
    assert journal.folder is None
    assert journal.owner.startswith(HEAD.destination.name)
    for number in range(10):
        assert not journal.append(said(str(number))), "it waits in memory"
    assert (journal.due(), journal.roll(), journal.wants_snapshot, journal.restored) == (False, False, False, None)
    entries = journal.read(max_bytes=1)
    assert texts(entries) == ["0"]
    entries += journal.read()
    assert texts(entries) == [str(number) for number in range(10)]
    assert [entry.position for entry in entries] == sorted({entry.position for entry in entries})
    assert journal.position == entries[-1].position
    journal.write(LookedUp(at=entries[0].position, loop_id="l"))
    assert len(journal.read()) == 1
    journal.acknowledge(journal.position)
    journal.sync()
    stats = journal.stats()
    assert (stats.lines, stats.read, stats.refused, stats.in_memory, stats.lost) == (10, 10, 0, "no home", ())
    assert journal.lines == 10
    journal.close(delete=False)
    assert not journal.append(said("late"))
    assert journal.stats().lost == (("journal closed", 1),)


def test_a_journal_in_memory_is_bounded_by_what_was_not_read() -> None:
    journal = Journal.in_memory(HEAD, "no home", memory_bytes=1000)
    for _ in range(10):
        for _ in range(15):
            journal.append(said("x"))
        journal.read()
    assert journal.stats().lost == ()
    for _ in range(100):
        journal.append(said("x"))
    ((reason, count),) = journal.stats().lost
    assert reason == "memory full"
    assert journal.stats().lines + count == 250
    journal.close(delete=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
def test_a_journal_in_memory_is_left_alone_by_a_forked_child() -> None:
    journal = Journal.in_memory(HEAD, "no home")
    pid = os.fork()
    if pid == 0:
        try:
            journal.append(said("child"))
        except Forked:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert journal.read() == []
    journal.close(delete=True)
