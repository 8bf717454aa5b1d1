"""A purge blanks a session's lines where they stand, and nothing else; a living process is told."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters, keep_within
from otel_phi.delivery.journal.facts import LookedUp, Position, Purge, RootClaimed, encode_event
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.lines import frame
from otel_phi.delivery.journal.outbox import Outbox
from otel_phi.delivery.journal.purge import purge
from otel_phi.wire.events import AgentEnd, AgentEvent, ParallelLoopStart, ProgressMessage, ToolExecutionStart, TurnStart
from tests.delivery.journal.journals import Files, abandon, adopt, create, folder_of, read_all
from tests.hook.children import alive
from tests.streams import at, start


def session(name: str) -> list[AgentEvent]:
    loop = f"{name}.m.1"
    return [
        start(0, loop, session=name),
        TurnStart(loop_id=loop, timestamp=at(1)),
        ToolExecutionStart(loop_id=loop, tool_call_id=f"call-{name}", tool_name="bash"),
        ProgressMessage(tool_call_id=f"call-{name}", text=f"secret of {name}"),
        ParallelLoopStart(session_id=name, loop_ids=(loop,)),
        AgentEnd(loop_id=loop, timestamp=at(2)),
    ]


def give(journal: Journal, *names: str, caller: str | None = None) -> None:
    for events in zip(*map(session, names), strict=True):
        for event in events:
            assert journal.append(encode_event(event, caller))


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.journal")))


@pytest.mark.parametrize("caller", [None, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
def test_a_session_is_blanked_in_a_living_journal_and_the_others_stay(tmp_path: Path, caller: str | None) -> None:
    journal = create(tmp_path)
    folder = folder_of(journal)
    give(journal, "one", "two", caller=caller)
    first = journal.read()
    journal.write(LookedUp(at=first[0].position, loop_id="one.m.1"))
    journal.write(RootClaimed(at=first[0].position, session="one", won=True))
    journal.write(RootClaimed(at=first[1].position, session="two", won=True))
    size = len(bytes_of(folder))
    assert purge(folder, "one") == 6, "what the sender wrote itself is blanked too, and is no event"
    told = b'{"type":"Purge","session":"one"}'
    assert len(bytes_of(folder)) == size + len(frame(told))
    assert bytes_of(folder).count(b"one") == told.count(b"one"), "the fact that tells its sender names it"
    assert journal.read()[-1].fact == Purge(session="one")
    assert journal.append(encode_event(start(9, "new.m.1", session="new")))
    assert len(journal.read()) == 1
    assert (journal.stats().damaged_lines, journal.stats().lines, journal.stats().read) == (0, 13, 13)
    adopted = adopt(abandon(journal))
    entries = read_all(adopted)
    kept = [entry.fact for entry in entries if entry.position <= first[-1].position]
    assert kept == [entry.fact for entry in first[1::2]]
    assert [entry.position for entry in entries[: len(kept)]] == [entry.position for entry in first[1::2]]
    assert list(adopted.claimed) == [first[1].position]
    adopted.close(delete=True)


def test_a_purge_beside_a_writer_damages_no_line_for_its_reader(tmp_path: Path) -> None:
    journal = create(tmp_path)
    folder = folder_of(journal)
    done = threading.Event()

    def write() -> None:
        for number in range(600):
            give(journal, "keep" if number % 2 else "gone")
            time.sleep(0.0005)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    kept = 0
    while not done.is_set():
        purge(folder, "gone")
        kept += sum("keep" in repr(entry.fact) for entry in journal.read())
    writer.join()
    purge(folder, "gone")
    assert b"gone.m.1" not in bytes_of(folder)
    kept += sum("keep" in repr(entry.fact) for entry in read_all(journal))
    stats = journal.stats()
    assert stats.damaged_lines == 0
    assert stats.read == stats.lines == 600 * len(session("keep"))
    assert kept == 300 * len(session("keep"))
    journal.close(delete=True)


def test_lines_that_were_carried_over_are_blanked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(monkeypatch)
    journal = create(tmp_path)
    files.refuse = True
    for event in (*session("one"), *session("two")):
        assert not journal.append(encode_event(event))
    files.refuse = False
    journal.roll()
    folder = abandon(journal)
    assert b"one" in bytes_of(folder)
    assert purge(folder, "one") == 6
    assert b"one" not in bytes_of(folder)
    adopted = adopt(folder)
    assert len(read_all(adopted)) == 6
    adopted.close(delete=True)


def test_loops_that_began_in_a_segment_that_is_gone_are_in_the_snapshot(tmp_path: Path) -> None:
    journal = create(tmp_path)
    give(journal, "one", "two")
    journal.roll()
    for name in ("one", "two"):
        journal.append(encode_event(AgentEnd(loop_id=f"{name}.m.1", timestamp=at(5))))
    entries = read_all(journal, lambda: b"one.m.1=one two.m.1=two")
    journal.acknowledge(entries[11].position)
    folder = abandon(journal)
    assert len(list(folder.glob("*.journal"))) == 1

    def sessions_of(state: bytes) -> dict[str, str]:
        return dict(pair.split("=") for pair in state.decode().split())

    assert purge(folder, "one") == 0, "nobody can tell whose it is"
    assert purge(folder, "one", sessions_of, without=lambda state, name: b"two.m.1=two") == 1
    adopted = adopt(folder)
    assert adopted.restored == b"two.m.1=two"
    assert [entry.fact for entry in read_all(adopted)] == [entries[13].fact]
    adopted.close(delete=True)


def test_a_dead_process_s_folder_goes_as_a_whole(tmp_path: Path) -> None:
    journal = create(tmp_path)
    give(journal, "one", "two")
    folder = abandon(journal)
    DeadLetters(folder).append(DeadLetter(at_ns=1, entry=b"x", session_id="one"))
    assert purge(folder, None) == 13
    assert not folder.exists()


def test_all_sessions_of_a_living_journal_are_blanked_and_it_goes_on(tmp_path: Path) -> None:
    journal = create(tmp_path)
    give(journal, "one", "two")
    assert purge(folder_of(journal), None) == 12
    give(journal, "three")
    entries = read_all(journal)
    assert entries[0].fact == Purge(session=None)
    assert len(entries) == 7
    journal.close(delete=True)


def test_dead_letters_of_the_session_go(tmp_path: Path) -> None:
    journal = create(tmp_path)
    letters = DeadLetters(folder_of(journal))
    for name in ("one", "two", "one"):
        letters.append(DeadLetter(at_ns=1, entry=b"span", session_id=name))
    assert purge(folder_of(journal), "one") == 2
    assert [letter.session_id for letter in letters.read()] == ["two"]
    journal.close(delete=True)
    assert folder_of(journal).exists()


# --- dead letters --------------------------------------------------------------------------------------------------------


def letter(number: int) -> DeadLetter:
    return DeadLetter(
        at_ns=number,
        entry=bytes(range(256)),
        envelope=(b"resource", b"", b"\xff", b"tail"),
        trace_id=bytes(16),
        span_id=bytes(8),
        name="chat \ud800".replace("\ud800", "?"),
        session_id=f"session {number}",
        reason="no é\n",
    )


def test_dead_letters_are_read_as_they_were_written_and_removed_one_by_one(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    assert letters.read() == []
    assert letters.remove(lambda _: True) == 0
    for number in range(5):
        assert letters.append(letter(number))
    assert letters.read() == [letter(number) for number in range(5)]
    size = letters.path.stat().st_size
    assert letters.remove(lambda one: one.at_ns in (1, 3)) == 2
    assert letters.path.stat().st_size == size
    assert DeadLetters(tmp_path).read() == [letter(number) for number in (0, 2, 4)]
    letters.clear()
    assert letters.path.exists()
    assert letters.remove(lambda _: True) == 3
    letters.clear()
    assert not letters.path.exists()


def test_dead_letters_are_bounded_wild_text_is_mended_and_damage_costs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = DeadLetters(tmp_path)
    assert letters.append(DeadLetter(at_ns=1, reason="\ud800", session_id="\ud800", name="\ud800"))
    assert [one.reason for one in letters.read()] == ["?"]
    letters.append(letter(2))
    data = bytearray(letters.path.read_bytes())
    data[20] ^= 1
    letters.path.write_bytes(data)
    assert letters.read() == [letter(2)]
    monkeypatch.setattr("otel_phi.delivery.journal.dead_letters.MAX_BYTES", letters.path.stat().st_size + 10)
    assert not letters.append(letter(3))
    assert letters.read() == [letter(2)]
    assert not DeadLetters(tmp_path / "gone").append(letter(4))


def test_dead_letters_of_all_processes_are_bounded_and_the_oldest_files_go(tmp_path: Path) -> None:
    """Another living process's stay, it bounds them itself; a folder in which nothing else lies goes with them."""
    outbox = Outbox(tmp_path)
    folders = [abandon(create(tmp_path)) for _ in range(3)]
    for number, folder in enumerate(folders, 1):
        DeadLetters(folder).append(letter(number))
        os.utime(DeadLetters(folder).path, (number, number))
    for path in folders[0].glob("*.*"):
        path.unlink()  # it was adopted and sent
    size = DeadLetters(folders[0]).path.stat().st_size
    with alive(lambda: DeadLetters(create(tmp_path).folder or tmp_path).append(letter(0))):
        (living,) = [one.path for one in outbox.folders() if one.path not in folders]
        os.utime(DeadLetters(living).path, (0, 0))
        assert keep_within(outbox, 4 * size) == 0
        assert keep_within(outbox, 3 * size) == 1
        assert not folders[0].exists()
        assert [len(DeadLetters(folder).read()) for folder in (living, *folders[1:])] == [1, 1, 1]
        assert keep_within(outbox, 0) == 2
        assert [len(DeadLetters(folder).read()) for folder in (living, *folders[1:])] == [1, 0, 0]
        assert all(list(folder.glob("*.journal")) for folder in folders[1:]), "what waits is not touched"


def test_a_folder_in_which_a_purge_left_nothing_goes(tmp_path: Path) -> None:
    folder = abandon(create(tmp_path))
    DeadLetters(folder).append(letter(1))
    for path in folder.glob("*.*"):
        path.unlink()  # it was adopted and sent
    assert purge(folder, letter(1).session_id) == 1
    assert not folder.exists()


def test_a_position_is_ordered_as_lines_are_read() -> None:
    assert Position(1, 9) < Position(2, -3) < Position(2, 0) < Position(2, 600)
