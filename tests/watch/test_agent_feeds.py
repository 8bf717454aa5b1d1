"""Formats that are no lines: a document that is written anew, a database whose rows come after others."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from otel_phi.events import AgentEnd, AgentEvent, AgentStart, AssistantMessage, Instant, MessageEnd, TurnEnd, TurnStart
from otel_phi.sources.agents import registry
from otel_phi.sources.agents.adapter import Context, Group, Settled
from otel_phi.sources.tail import Look
from otel_phi.watch import folder
from otel_phi.watch.agent_feeds import FEEDS, Feed, Piece
from tests.watch.living import Live

KILLS = pytest.mark.parametrize("kill", [False, True], ids=["", "killed"])
SECOND = 1_000_000_000


def loop(session: str, number: int, *, ends: bool = True) -> list[AgentEvent]:
    """Returns the events of a loop with one turn."""
    name, at = f"{session}.{number}", 1_000 + number
    answer = AssistantMessage(model="m", timestamp=(at + 1) * 1_000)
    found: list[AgentEvent] = [
        AgentStart(session_id=session, loop_id=name, agent_id="", timestamp=Instant(at * SECOND)),
        TurnStart(loop_id=name, turn_index=0, timestamp=Instant(at * SECOND)),
        MessageEnd(loop_id=name, message=answer),
        TurnEnd(loop_id=name, message=answer, timestamp=Instant((at + 2) * SECOND)),
    ]
    return [*found, AgentEnd(loop_id=name, timestamp=Instant((at + 3) * SECOND))] if ends else found


class MadeFold:
    """Is a fold of records {"loops": [[session, number, whether it has ended], ...]}."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.state = b""

    def record(self, position: int, data: bytes) -> Sequence[AgentEvent]:
        del position
        found = msgspec.json.decode(data)["loops"]
        return [event for session, number, ends in found for event in loop(session, number, ends=ends)]

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        del why
        return ()


class Made:
    """Is a format made up, a document or a database."""

    def __init__(self, records: str, begins: bytes) -> None:
        self.name, self.records, self._begins = "made", records, begins

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        del env
        return ()

    def recognizes(self, head: bytes, path: str) -> bool:
        del path
        return head.startswith(self._begins)

    def group(self, path: str, head: bytes) -> Group:
        del head
        return Group(key=path)

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        del line
        return ()

    def fold(self, context: Context, state: bytes = b"") -> MadeFold:
        del context, state
        return MadeFold()


def known(monkeypatch: pytest.MonkeyPatch, adapter: Made) -> None:
    monkeypatch.setattr(registry, "ADAPTERS", (adapter, *registry.ADAPTERS))


@KILLS
def test_a_document_is_given_again_when_it_changes_and_the_same_spans_leave_once(
    kill: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known(monkeypatch, Made("document", b'{"loops":'))
    live = Live(tmp_path)

    def put(*loops: tuple[str, int, bool]) -> list[str]:
        before = len(live.spans)
        live.put("x.json", msgspec.json.encode({"loops": loops}))
        live.look(kill=kill)
        return [span.name for span in live.spans[before:]]

    assert len(put(("a", 1, False))) == 3  # the root, the turn and its call: the loop goes on
    assert put(("a", 1, True)) == ["invoke_agent"]
    assert put(("a", 1, True)) == []
    assert len(put(("a", 1, True), ("a", 5, True))) == 3
    live.silence()
    live.look(kill=kill)
    assert len(live.spans) == len({(span.trace_id, span.span_id) for span in live.spans}) == 7
    live.following.end()


def _rows(path: Path, look: Look, offset: int, number: int) -> Iterator[Piece]:
    del look
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT id, told FROM row WHERE id > ? ORDER BY id", (offset,)).fetchall()
    if found:
        yield Piece([(row, told.encode()) for row, told in found], found[-1][0], number + len(found))


@KILLS
def test_a_databases_rows_are_read_after_those_before_also_while_they_stand_in_its_write_ahead_log(
    kill: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(cast("dict[str, Feed]", FEEDS), "rows", Feed(_rows, grows=True))
    known(monkeypatch, Made("rows", b"SQLite format 3"))
    monkeypatch.setattr(folder, "kind_of", lambda _: "agent")  # which databases are whose is not asked here
    live = Live(tmp_path)
    path = live.folder / "made.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, told TEXT)")
        connection.execute("PRAGMA wal_checkpoint")

        def told(*loops: tuple[str, int, bool]) -> list[Any]:
            before = len(live.spans)
            connection.execute("INSERT INTO row (told) VALUES (?)", (msgspec.json.encode({"loops": loops}).decode(),))
            live.following.round(path.with_name("made.db-wal"))
            if kill:
                live.following.restart()
            return live.spans[before:]

        assert len(told(("a", 1, True))) == 4
        assert len(told(("b", 2, True), ("a", 5, True))) == 7  # two sessions in one file
        assert len(told(("a", 9, False))) == 2
        live.look()
        assert len(live.spans) == 13
        assert len({span.trace_id for span in live.spans}) == 2
    live.following.end()
