"""Append: what returned is in the file, an interrupt breaks nothing, and a refusing file loses nothing."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from otel_phi.delivery.journal import append as module
from otel_phi.delivery.journal import chain
from otel_phi.delivery.journal.append import Appender, Descriptor, keeping_write, releasing_write, write_for
from otel_phi.delivery.journal.lines import LineReader, frame
from tests.delivery.journal.journals import Files, abandon, adopt, create, read_all, said, texts

WRITES = [write for write in (keeping_write, releasing_write) if write is not None]
both = pytest.mark.parametrize("write", WRITES, ids=lambda write: getattr(write, "__name__", "write"))


def appender_for(path: Path, write: module.Write, limit: int = 1 << 20) -> tuple[Appender, Descriptor]:
    file = Descriptor(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
    return Appender(file, write, limit), file


def in_file(file: Descriptor) -> list[bytes]:
    found = LineReader(file.number, 0).read(1 << 20, closed=True)
    return [body for _, _, body in found.lines]


# --- interrupts ----------------------------------------------------------------------------------------------------------


def interrupted(call: Callable[[], object], at: int, error: BaseException) -> tuple[bool, BaseException | None]:
    """Runs a call and raises an error at its `at`-th instruction of ours; returns whether there were so many, and what came out."""
    count = 0

    def trace(running: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        # What the collector finalises meanwhile is another appender's.
        if not running.f_code.co_filename.endswith("journal/append.py") or running.f_code.co_name == "__del__":
            return None
        running.f_trace_opcodes = True
        running.f_trace_lines = False
        if event == "opcode":
            count += 1
            if count == at:
                raise error
        return trace

    came: BaseException | None = None
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except BaseException as found:  # noqa: BLE001  # whatever it is, it is looked at
        came = found
    finally:
        sys.settrace(before)
    return count >= at, came


@both
@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError, MemoryError, RecursionError])
def test_an_interrupt_at_any_instruction_breaks_nothing_and_is_the_agent_s(
    tmp_path: Path, write: module.Write, kind: type[BaseException]
) -> None:
    at, whole = 1, True
    while whole:
        appender, file = appender_for(tmp_path / f"{at}", write)
        assert appender.append(b"before")
        whole, came = interrupted(functools.partial(appender.append, b"cut"), at, kind())
        if whole and came is None:  # a refusal is what the write itself raises: kept, see the next tests
            assert write is releasing_write
            assert issubclass(kind, Exception)
            assert list(appender.memory) == [b"cut"]
        elif whole:
            assert type(came) is kind
        appender.append(b"after")
        kept = [*in_file(file), *appender.memory]
        assert kept in ([b"before", b"after"], [b"before", b"cut", b"after"])
        if came is None:
            assert b"cut" in kept, "it returned, and the line is missing"
        at += 1
    assert at > 30


def test_a_journal_rolls_while_tracebacks_of_interrupted_calls_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = create(tmp_path)
    kept: list[BaseException] = []
    at, whole = 1, True
    while whole:
        whole, came = interrupted(lambda: journal.append(said("cut")), at, KeyboardInterrupt())
        if came is not None:
            kept.append(came)
        at += 1
    assert len(kept) > 30
    assert journal.append(said("after"))
    assert journal.roll()
    journal.append(said("behind"))
    # A traceback that was cut before `self` was dropped holds the segment; so long after the roll it does not any more.
    monkeypatch.setattr(chain, "_PINNED_S", 0.0)
    found = texts(read_all(journal))
    assert found[-2:] == ["after", "behind"]
    journal.close(delete=True)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
@both
def test_signals_at_random_lose_nothing_that_returned_and_double_nothing(tmp_path: Path, write: module.Write) -> None:
    appender, file = appender_for(tmp_path / "file", write)
    returned: list[bytes] = []
    raised = 0

    def handler(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for number in range(4000):
            body = b"%d" % number
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00002 + number % 7 * 0.00001)
                    if appender.append(body):
                        returned.append(body)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except TimeoutError:
                raised += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    kept = [*in_file(file), *appender.memory]
    assert len(kept) == len(set(kept))
    assert set(returned) <= set(kept)
    assert kept == sorted(kept, key=int)


# --- files that refuse ---------------------------------------------------------------------------------------------------


def refusing(error: BaseException | int) -> module.Write:
    def write(descriptor: int, line: bytes, length: int) -> int:
        if isinstance(error, BaseException):
            raise error
        os.write(descriptor, line[:error]) if error > 0 else None
        return error

    return write


def test_what_a_file_refuses_waits_and_so_does_all_behind_it(tmp_path: Path) -> None:
    answers = [0, -1]

    def write(descriptor: int, line: bytes, length: int) -> int:
        return answers.pop() if answers and line.endswith(b"two") else os.write(descriptor, line)

    appender, file = appender_for(tmp_path / "file", write)
    assert [appender.append(body) for body in (b"one", b"two", b"three")] == [True, False, False]
    assert in_file(file) == [b"one"]
    assert list(appender.memory) == [b"two", b"three"]
    assert appender.given.count == 3


def test_a_short_write_leaves_a_beginning_that_costs_nothing(tmp_path: Path) -> None:
    appender, file = appender_for(tmp_path / "file", refusing(7))
    assert not appender.append(b"a line")
    os.write(file.number, frame(b"other"))
    assert in_file(file) == [b"other"]
    assert list(appender.memory) == [b"a line"]
    assert appender.fragments.count == 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), RuntimeError("Blocking call to os.write")])
def test_whatever_the_call_itself_raises_is_a_refusal(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(descriptor: int, line: bytes) -> int:
        raise error

    appender, file = appender_for(tmp_path / "file", releasing_write)
    monkeypatch.setattr(os, "write", forbidden)
    assert not appender.append(b"kept")
    assert list(appender.memory) == [b"kept"]
    assert in_file(file) == []


def test_an_interrupt_out_of_the_call_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_call(descriptor: int, line: bytes) -> int:
        raise KeyboardInterrupt

    appender, _ = appender_for(tmp_path / "file", releasing_write)
    monkeypatch.setattr(os, "write", interrupted_call)
    with pytest.raises(KeyboardInterrupt):
        appender.append(b"gone")
    monkeypatch.undo()
    assert appender.append(b"next")


def test_the_memory_is_bounded_and_what_it_has_no_room_for_is_counted(tmp_path: Path) -> None:
    appender, _ = appender_for(tmp_path / "file", refusing(-1), limit=100)
    assert [appender.append(b"x" * 30) for _ in range(5)] == [False] * 5
    assert len(appender.memory) == 3
    assert (appender.given.count, appender.lost.count) == (3, 2)


def test_refused_lines_are_carried_to_the_next_segment_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(monkeypatch)
    journal = create(tmp_path)
    journal.append(said("one"))
    files.refuse = True
    assert not journal.append(said("two"))
    assert not journal.append(said("three"))
    assert journal.due()
    assert journal.stats().refused == 2
    files.refuse = False
    assert journal.roll()
    assert journal.append(said("four"))
    live = read_all(journal)
    assert texts(live) == ["one", "two", "three", "four"]
    assert live == sorted(live, key=lambda entry: entry.position)
    assert (journal.stats().lines, journal.stats().read, journal.stats().refused) == (4, 4, 0)
    journal.acknowledge(live[1].position)
    adopted = adopt(abandon(journal))
    assert adopted.acknowledged == [live[1].position]
    assert read_all(adopted) == live[1:], "the first segment is deleted, the lines carried over are in the second"
    adopted.close(delete=True)


def test_carried_lines_are_on_the_disk_before_anybody_reads_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(monkeypatch)
    journal = create(tmp_path)
    long = ["x" * 1000 + str(number) for number in range(200)]  # more than a head region holds
    files.refuse = True
    for word in long:
        assert not journal.append(said(word))
    files.refuse = False
    journal.roll()
    journal.append(said("after"))
    adopted = adopt(abandon(journal))
    assert texts(read_all(adopted)) == [*long, "after"]
    adopted.close(delete=True)


# --- which write, and who holds what -------------------------------------------------------------------------------------


def test_a_file_is_closed_when_nobody_appends_to_it_any_more(tmp_path: Path) -> None:
    appender, file = appender_for(tmp_path / "file", releasing_write)
    number = file.number
    call = appender.append
    del appender, file
    os.fstat(number)
    call(b"late")
    del call
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="statfs of Linux")
def test_a_local_folder_is_written_to_with_the_interpreter_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert write_for(tmp_path) is keeping_write
    assert write_for(tmp_path / "missing") is releasing_write
    monkeypatch.setattr(
        module, "_REMOTE", frozenset(range(0xFFFF)) | {0xEF53, 0x01021994, 0x794C7630, 0x58465342, 0x9123683E}
    )
    assert write_for(tmp_path) is releasing_write
    monkeypatch.setattr(module, "keeping_write", None)
    assert write_for(tmp_path) is releasing_write


def test_lines_of_many_threads_are_whole_and_each_thread_s_are_in_order(tmp_path: Path) -> None:
    journal = create(tmp_path)

    def work(thread: int) -> None:
        for number in range(500):
            assert journal.append(said(f"{thread} {number} {'x' * (number % 300)}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [tuple(map(int, text.split()[:2])) for text in texts(read_all(journal))]
    assert len(found) == len(set(found)) == 3000
    for one in range(6):
        assert [number for which, number in found if which == one] == list(range(500))
    assert journal.stats().damaged_lines == 0
    journal.close(delete=True)
