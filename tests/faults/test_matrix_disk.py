"""The disk is full, read-only, without room for a file, or somebody removes what is on it: all that was recorded arrives.

On a small tmpfs where the machine lets us mount one; a refusal of the write itself everywhere: the test's name says which.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import otel_phi
from otel_phi.testing import Receiver
from tests.faults.disks import Disk, remount, tmpfs
from tests.faults.loops import give, once
from tests.golden import PROJECT
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of, session
from tests.hook.waiting import until
from tests.laws import role

Open = Callable[..., otel_phi.Hook]
TEXT = "x" * 5_000


def away(receiver: Receiver) -> None:
    receiver.answer(status=503, headers={"Retry-After": "1"}, times=100)


def fill(hook: otel_phi.Hook, numbers: range = range(1, 801)) -> list[int]:
    """Records 4 MB in 800 loops while nothing leaves, and sees that all is accounted for."""
    given = give(hook, numbers, TEXT)
    stats = hook.stats()
    assert (stats.recorded, stats.lost) == (stats.events, {})
    assert stats.balanced()
    assert stats.delivery.acknowledged == 0
    return given


def journals(state: Path) -> list[Path]:
    return sorted(state.rglob("*.journal"))


# --- full ----------------------------------------------------------------------------------------------------------------


def test_full_disk_tmpfs(receiver: Receiver, open_hook: Open, tmp_path: Path) -> None:
    """A MiB is full after a quarter; the collector comes back and the disk gets room."""
    with tmpfs(tmp_path / "small", "size=1m") as disk:
        away(receiver)
        hook = open_hook(state_dir=disk / "state")
        numbers = fill(hook)
        remount(disk, "size=32m")
        receiver.forget_script()
        numbers += give(hook, [900])
        assert hook.flush(30.0)
        assert once(receiver) == numbers
        assert (hook.stats().delivery.acknowledged, hook.stats().delivery.in_memory) == (801, "")
        assert hook.shutdown(5.0)
        assert journals(disk) == []


def test_what_is_on_a_disk_that_stays_full_is_sent_and_frees_it(
    receiver: Receiver, install: Install, tmp_path: Path
) -> None:
    """To send needs no space: roots once, accounts right, and in the end there is room again."""
    with tmpfs(tmp_path / "small", "size=1m") as disk:
        away(receiver)
        hook = install(state_dir=disk / "state")
        names = [f"loop {number}" for number in range(400)]
        for name in names:
            for event in loop_of(name):
                hook(event)
        stats = hook.stats()
        assert (stats.recorded, stats.lost, stats.balanced()) == (stats.events, {}, True)
        receiver.forget_script()
        assert hook.flush(30.0)
        assert arrived(receiver) == expected(*map(loop_of, names))
        assert len([span for span in receiver.spans if role(span) == "root"]) == 400
        until(lambda: shutil.disk_usage(disk).free > 500_000)
        for event in loop_of("after"):
            hook(event)
        assert hook.flush(30.0)
        assert hook.stats().balanced()


def test_full_disk_injected(
    receiver: Receiver, open_hook: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write is refused for a while, and each by an exception for another."""
    disk = Disk()
    monkeypatch.setattr("otel_phi.delivery.journal.chain.write_for", disk.write_for)
    away(receiver)
    hook = open_hook()
    numbers = give(hook, range(1, 101))
    disk.works = False
    numbers += give(hook, range(101, 201))
    disk.works = True
    numbers += fill(hook, range(201, 301))
    receiver.forget_script()
    assert hook.flush(30.0)
    assert once(receiver) == numbers
    assert hook.stats().balanced()
    assert hook.shutdown(5.0)
    assert journals(tmp_path) == []


class BlockingError(Exception):
    """What a library raises that forbids blocking calls in the event loop."""


def test_a_write_that_a_library_forbids_costs_no_event(
    receiver: Receiver, open_hook: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It replaces `os.write`, as blockbuster does, and raises; what was given waits in memory and follows in order."""
    real, forbidden = os.write, [False]

    def write(descriptor: int, line: bytes) -> int:
        if forbidden[0]:
            raise BlockingError("blocking call to os.write")
        return real(descriptor, line)

    monkeypatch.setattr("otel_phi.delivery.journal.append.keeping_write", None)
    monkeypatch.setattr(os, "write", write)
    hook = open_hook()
    numbers = give(hook, range(1, 51))
    forbidden[0] = True
    numbers += give(hook, range(51, 101))
    forbidden[0] = False
    numbers += give(hook, range(101, 151))
    assert hook.flush(30.0)
    assert once(receiver) == numbers
    assert (hook.stats().failed, hook.stats().troubles) == (0, {})


def test_full_disk_at_start_tmpfs(
    receiver: Receiver, open_hook: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be made on it: memory, one warning."""
    with tmpfs(tmp_path / "full", "size=64k") as disk:
        (disk / "filler").write_bytes(b"x" * 60_000)
        hook = open_hook(state_dir=disk / "state")
        numbers = give(hook, range(1, 101))
        assert hook.flush(10.0)
        assert once(receiver) == numbers
        assert "No space" in hook.stats().delivery.in_memory
        assert hook.shutdown(5.0)
    assert len([record for record in caplog.records if "memory" in record.getMessage()]) == 1


def test_a_process_killed_on_a_full_disk_leaves_what_the_disk_took(receiver: Receiver, tmp_path: Path) -> None:
    """What is on it needs no space to be adopted and sent, and frees it."""
    with tmpfs(tmp_path / "small", "size=1m") as disk:
        away(receiver)
        run_agent("fills", receiver.endpoint, disk / "state", code=-signal.SIGKILL)
        receiver.forget_script()
        run_agent("adopts", receiver.endpoint, disk / "state", "http/protobuf")
        found = once(receiver)
        assert len(found) > 50
        assert found == list(range(1, len(found) + 1))
        assert journals(disk) == []


def run_agent(*words: object, code: int = 0) -> None:
    command = [sys.executable, "-m", "tests.faults.agents", *map(str, words)]
    assert subprocess.run(command, cwd=PROJECT, check=False, timeout=120).returncode == code


# --- no file can be made --------------------------------------------------------------------------------------------------


def test_read_only_disk_tmpfs(
    receiver: Receiver, open_hook: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tmpfs(tmp_path / "fixed", "size=1m,ro") as disk:
        hook = open_hook(state_dir=disk / "state")
        numbers = give(hook, range(1, 101))
        assert hook.flush(10.0)
        assert once(receiver) == numbers
        assert "Read-only" in hook.stats().delivery.in_memory
        assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("in_the_way", ["a file", "others may write"])
def test_a_folder_that_cannot_be_used_means_memory_and_one_warning_with_the_reason(
    in_the_way: str, receiver: Receiver, open_hook: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = tmp_path / "state" / "outbox"
    outbox.parent.mkdir(mode=0o700)
    if in_the_way == "a file":
        outbox.write_text("a file in the way")
    else:
        outbox.mkdir()
        outbox.chmod(0o777)
    hook = open_hook()
    numbers = give(hook, range(1, 101))
    assert hook.flush(10.0)
    assert once(receiver) == numbers
    said = "File exists" if in_the_way == "a file" else "can be written to by everyone"
    assert said in hook.stats().delivery.in_memory
    assert [said in record.getMessage() for record in caplog.records] == [True]


def test_no_inodes_left_tmpfs(receiver: Receiver, open_hook: Open, tmp_path: Path) -> None:
    """The files that are there take what comes, and go on to take it."""
    with tmpfs(tmp_path / "small", "size=8m,nr_inodes=40") as disk:
        hook = open_hook(state_dir=disk / "state")
        numbers = give(hook, range(1, 51))
        assert hook.flush(10.0)
        with contextlib.suppress(OSError):
            for number in range(40):
                (disk / f"filler {number}").touch()
        numbers += give(hook, range(51, 1_001), TEXT)
        assert hook.flush(30.0)
        assert once(receiver) == numbers
        assert hook.shutdown(5.0)
        assert journals(disk) == []


def test_read_only_in_mid_run_tmpfs(receiver: Receiver, open_hook: Open, tmp_path: Path) -> None:
    """Files that are open for writing keep a disk from becoming read-only but for `-f`; a file's own flag does the same."""
    with tmpfs(tmp_path / "small", "size=8m") as disk:
        hook = open_hook(state_dir=disk / "state")
        numbers = give(hook, range(1, 51))
        assert hook.flush(10.0)
        folder = journals(disk)[0].parent
        folder.chmod(0o500)
        numbers += give(hook, range(51, 101))
        assert hook.flush(10.0)
        folder.chmod(0o700)
        numbers += give(hook, range(101, 151))
        assert hook.flush(10.0)
        assert once(receiver) == numbers


# --- somebody removes it ----------------------------------------------------------------------------------------------------


def remove(state: Path, what: str) -> None:
    (folder,) = {path.parent for path in journals(state)}
    match what:
        case "state folder":
            shutil.rmtree(state)
        case "outbox":
            shutil.rmtree(state / "outbox")
        case "process folder":
            shutil.rmtree(folder)
        case "lock":
            (folder / "lock").unlink()
        case "segment":
            journals(state)[-1].unlink()
        case "reserve":
            next(folder.glob("*.reserve")).unlink()
        case "head":
            with journals(state)[-1].open("r+b") as file:
                file.seek(512)
                file.write(b"\0" * 4096)


REMOVED = ["state folder", "outbox", "process folder", "lock", "segment", "reserve", "head"]


@pytest.mark.parametrize("what", REMOVED)
def test_what_is_removed_in_mid_run_costs_nothing(
    what: str, receiver: Receiver, open_hook: Open, tmp_path: Path
) -> None:
    """With the collector away: what waits was read, or is read on from the open file; what comes then goes on."""
    away(receiver)
    hook = open_hook()
    numbers = give(hook, range(1, 201))
    until(lambda: hook.stats().waiting == 0)
    remove(tmp_path / "state", what)
    numbers += give(hook, range(201, 401))
    until(lambda: what == "head" or whole(tmp_path / "state"))
    numbers += give(hook, range(401, 601))
    receiver.forget_script()
    assert hook.flush(30.0)
    assert once(receiver) == numbers
    assert hook.stats().balanced()
    assert hook.shutdown(5.0)
    assert journals(tmp_path) == []


def whole(state: Path) -> bool:
    """Tells whether a process's folder has all it should have."""
    folders = {path.parent for path in journals(state)}
    return any((folder / "lock").exists() for folder in folders)


@pytest.mark.parametrize("what", REMOVED)
def test_what_is_removed_under_a_process_that_is_killed_later_is_adopted_all_the_same(
    what: str, receiver: Receiver, tmp_path: Path
) -> None:
    """Once it was made anew, within a second or so, nothing is missing; its open loops leave as lost."""
    state = tmp_path / "state"
    away(receiver)
    command = [sys.executable, "-m", "tests.faults.agents", "removed", receiver.endpoint, str(state), what]
    assert subprocess.run(command, cwd=PROJECT, check=False, timeout=120).returncode == -signal.SIGKILL
    receiver.forget_script()
    run_agent("adopts", receiver.endpoint, state, "http/protobuf")
    names = [f"loop {number}" for number in range(300)]
    assert expected(*map(loop_of, names)) - arrived(receiver) == {}
    lost = [span for span in receiver.spans if span.get("error.type") == "process_lost"]
    assert [(role(span), span.get("session.id")) for span in lost] == [("loop", session("open"))]
    assert journals(state) == []


def test_dead_processes_folders_without_a_lock_are_adopted(receiver: Receiver, tmp_path: Path) -> None:
    state = tmp_path / "state"
    away(receiver)
    run_agent("ends_open", receiver.endpoint, state)
    (folder,) = {path.parent for path in journals(state)}
    (folder / "lock").unlink()
    receiver.forget_script()
    run_agent("adopts", receiver.endpoint, state, "http/protobuf")
    assert [role(span) for span in receiver.spans] == ["root", "loop"]
    assert journals(state) == []
