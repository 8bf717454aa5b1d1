"""An agent at work waits for a slice of a look at everything, never for all of it; and no cut of the work changes a byte."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_phi.mapping import semconv as s
from otel_phi.watch import rounds
from otel_phi.watch.files import Files
from otel_phi.watch.log import Log
from otel_phi.watch.rounds import Rounds
from tests.streams import SESSION, start, user, whole_loop, whole_turn
from tests.watch.following import Following, append, as_written, exported, log_lines
from tests.watch.test_rounds import FOLDERS, SCOPES

OLD, SLICE = 60, 7


@pytest.fixture(autouse=True)
def slices_of_so_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "SLICE_FILES", SLICE)
    monkeypatch.setattr(rounds, "SLICE_S", 1e9)  # a busy machine cuts no slice short


class Counted:
    """Counts the calls of a method."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.calls = 0
        plain: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any) -> Any:
            self.calls += 1
            return plain(*args)

        monkeypatch.setattr(owner, name, counted)

    def since(self) -> int:
        """Returns the calls since the last time."""
        calls, self.calls = self.calls, 0
        return calls


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(OLD):
        session = f"{SESSION[:-4]}{number:04}"
        (folder / f"{number:02}.jsonl").write_bytes(
            b"".join(log_lines(whole_loop(0, f"{session}.m.1", session=session)))
        )
    return folder


class Agent:
    """Is an agent at work: a turn each time."""

    def __init__(self, path: Path) -> None:
        self.path, self.turns = path, 0
        append(path, b"".join(log_lines([start(0)])))

    def turn(self) -> None:
        events = whole_turn(1_000 * (self.turns + 1), self.turns)
        append(self.path, b"".join(log_lines(events, 2 + len(events) * self.turns)))
        self.turns += 1


def served(following: Following, agent: Agent) -> bool:
    """Waits until all turns of the agent at work have arrived: what was gathered of others may stay where it is."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = list(following.backend.spans)
        if sum(span.name == "turn" and span.get(s.SESSION_ID) == SESSION for span in found) == agent.turns:
            return True
        following.watch._outflow.settle(0.05)
    return False


def services(work: Rounds, following: Following, agent: Agent) -> Iterator[None]:
    """Lets the agent write a turn before each slice of the look under way; yields when that turn has arrived."""
    while work.busy:
        agent.turn()
        work.take({agent.path})
        assert served(following, agent)
        yield


def test_a_living_log_waits_for_a_slice_of_the_look_at_old_ones(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = Following(logs, tmp_path / "state")
    following.round()
    agent = Agent(logs / "zz.jsonl")  # last by name: the look comes to it at its end
    work, looks = Rounds(following.watch._watcher), Counted(monkeypatch, Files, "cursor")
    work.begin()
    looked = [looks.since() for _ in services(work, following, agent)]
    assert max(looked) <= SLICE + 1  # and the living one's own
    assert len(looked) >= OLD // SLICE
    following.end()


def test_a_living_log_waits_for_a_slice_of_the_reading_of_new_ones(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = Following(logs, tmp_path / "state")
    agent = Agent(logs / "zz.jsonl")
    work, taken = Rounds(following.watch._watcher), Counted(monkeypatch, Log, "take")
    work.begin()
    agent.turn()
    work.take({agent.path})  # all was looked at and indexed, and the first were read
    assert taken.since() <= SLICE
    read = [taken.since() for _ in services(work, following, agent)]
    assert max(read) <= SLICE + 1
    assert len(read) >= OLD // SLICE  # two steps a file: a piece, and its end
    assert sum(span.name == "turn" for span in following.end().values()) == OLD + agent.turns


def test_a_living_log_waits_for_a_piece_of_a_long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "SLICE_FILES", 1)
    logs = tmp_path / "logs"
    logs.mkdir()
    session = f"{SESSION[:-4]}0000"
    loop = f"{session}.m.1"
    long = [
        start(0, loop, session=session),
        *(user("x" * 300_000, ms, loop) for ms in range(12)),
        *whole_turn(50, 0, loop),
    ]
    append(logs / "00.jsonl", b"".join(log_lines(long)))
    following = Following(logs, tmp_path / "state")
    agent, work = Agent(logs / "zz.jsonl"), Rounds(following.watch._watcher)
    work.begin()
    work.take(())
    assert len(list(services(work, following, agent))) > 6
    assert sum(span.name == "turn" for span in following.end().values()) == 1 + agent.turns


def test_a_look_asked_for_meanwhile_comes_after_the_one_under_way(logs: Path, tmp_path: Path) -> None:
    following = Following(logs, tmp_path / "state")
    work = Rounds(following.watch._watcher)
    work.begin()
    work.take(None)  # it has not begun: one is enough
    late = Agent(logs / "00-late.jsonl")  # the look has passed its place
    work.take(None)
    late.turn()
    while work.busy:
        work.take(())
    assert served(following, late)
    following.end()


def test_a_file_made_during_a_look_is_not_taken_as_missing(logs: Path, tmp_path: Path) -> None:
    following = Following(logs, tmp_path / "state")
    following.round()
    work = Rounds(following.watch._watcher)
    work.begin()
    work.take(())
    agent = Agent(logs / "00-made.jsonl")
    agent.turn()
    while work.busy:
        work.take({agent.path})
    agent.turn()
    work.take({agent.path})
    assert served(following, agent)
    assert following.watch.open_loops == 1
    following.end()


@settings(
    max_examples=200 if os.environ.get("OTEL_PHI_SOAK") else 6, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.data())
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.parent.name)
def test_no_order_of_slices_words_of_changes_and_kills_changes_a_byte(
    folder: Path, scope: str, data: st.DataObject
) -> None:
    """The operating system tells of all changes up to a moment, in a word; looks, slices and kills fall anywhere between."""
    with tempfile.TemporaryDirectory() as place:
        logs = Path(place, "logs")
        logs.mkdir()
        with Following(logs, Path(place, "state"), trace_scope=scope) as following:
            work, untold = _begun(following), set[Path]()
            for name, content in as_written(folder):
                cut = data.draw(st.integers(0, len(content)))
                append(logs / name, content[:cut])
                untold.add(logs / name)
                match data.draw(st.sampled_from(["nothing"] * 6 + ["word", "word", "slice", "look", "kill"])):
                    case "word":
                        work.take(untold)
                        untold.clear()
                    case "slice":
                        work.take(())
                    case "look":
                        work.take(None)
                    case "kill":
                        following.restart()
                        work = _begun(following)
                append(logs / name, content[cut:])
            following.with_(abandon_after_s=0.0).round()
            assert following.end() == exported(folder, final=True, trace_scope=scope)


def _begun(following: Following) -> Rounds:
    work = Rounds(following.watch._watcher)
    work.begin()
    return work
