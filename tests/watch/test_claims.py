"""The claims: who had a call first has it, across runs and kills, in a table that stays small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otel_phi import clock
from otel_phi.watch import agent_rows
from otel_phi.watch.agent_rows import KEPT_MONTHS, AgentRows
from otel_phi.watch.cursors import Cursors

KEY, ONE, OTHER = b"k" * 16, b"1" * 8, b"2" * 8
# A tenth of the calls and prompts of 10 GB of Claude Code's real sessions: one in 16,890 bytes.
TENTH = 59_207
MOST_BYTES = 30_000_000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


def rows(state: Path, name: str = "one") -> tuple[AgentRows, Cursors]:
    cursors = Cursors(state, name)
    return AgentRows(cursors), cursors


def test_a_claim_is_its_owners_after_a_kill_too_once_it_was_written(state: Path) -> None:
    table, cursors = rows(state)
    assert table.claim(KEY, ONE)
    assert not table.claim(KEY, OTHER)
    table.commit()
    cursors.close()  # nothing else is written: as a kill does
    table, _ = rows(state)
    assert not table.claim(KEY, OTHER)
    assert table.claim(KEY, ONE)


def test_a_claim_that_was_not_written_let_nothing_through_and_is_anybodys_again(state: Path) -> None:
    table, cursors = rows(state)
    assert table.claim(KEY, ONE)
    cursors.close()
    table, _ = rows(state)
    assert table.claim(KEY, OTHER)


def test_what_another_destination_was_sent_is_no_copy_here(state: Path) -> None:
    table, _ = rows(state)
    assert table.claim(KEY, ONE)
    table.commit()
    other, _ = rows(state, "two")
    assert other.claim(KEY, OTHER)


def test_a_claim_is_kept_for_a_year_after_it_was_last_asked_for(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = clock.wall_ns()

    def later(months: int) -> AgentRows:
        monkeypatch.setattr(agent_rows, "wall_ns", lambda: now_ns + months * 30 * 86_400 * 10**9)
        return rows(state)[0]

    table = later(0)
    assert table.claim(KEY, ONE)
    table.commit()
    table = later(KEPT_MONTHS)
    assert table.claim(KEY, ONE)  # asked for again
    table.commit()
    assert not later(KEPT_MONTHS + 1).claim(KEY, OTHER)
    assert later(2 * KEPT_MONTHS + 1).claim(KEY, OTHER)  # forgotten


def test_the_claims_of_ten_gigabytes_stay_under_thirty_megabytes(state: Path) -> None:
    table, cursors = rows(state)
    empty = sum(path.stat().st_size for path in state.rglob("*.sqlite3"))
    for number in range(TENTH):
        table.claim(os.urandom(16), os.urandom(8))
        if number % 1_000 == 0:
            table.commit()
    table.commit()
    cursors.close()
    size = sum(path.stat().st_size for path in state.rglob("*.sqlite3*"))
    assert (size - empty) * 10 < MOST_BYTES
