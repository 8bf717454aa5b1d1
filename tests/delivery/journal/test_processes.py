"""Processes that are killed, forked or adopted: what returned is in the file, and everybody has a journal of his own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from otel_phi.delivery.journal.facts import Entry
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.outbox import Outbox
from tests.delivery.journal import agent
from tests.delivery.journal.journals import PLACE, read_all, texts
from tests.golden import PROJECT

KILLS = 60 if os.environ.get("OTEL_PHI_SOAK") == "1" else 5
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills, forks and record locks are POSIX's")


def run(state: Path, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.delivery.journal.agent", str(state), *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=PROJECT)


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def adopted(state: Path) -> list[Journal]:
    return [Journal.adopt(found) for found in Outbox(state).adoptable(PLACE, lambda head: True)]


def by_thread(entries: list[Entry]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for text in texts(entries):
        which, number = map(int, text.split()[:2])
        found[which].append(number)
    return found


def test_what_append_returned_for_is_in_the_file_of_a_killed_process(tmp_path: Path) -> None:
    draw = random.Random(11)
    for kill in range(KILLS):
        state, counts = tmp_path / str(kill), [tmp_path / f"{kill}-{number}" for number in range(4)]
        for path in counts:
            path.write_bytes(bytes(agent.THREADS * 8))
        agents = [run(state, "endless", path) for path in counts]
        assert [answer(one) for one in agents] == ["ready"] * 4
        time.sleep(draw.random() * 0.3)
        for one in agents:
            one.send_signal(signal.SIGKILL)
        for one in agents:
            one.communicate()
        returned = [
            [int.from_bytes(path.read_bytes()[at * 8 : at * 8 + 8], "little") for at in range(agent.THREADS)]
            for path in counts
        ]
        kept = []
        for journal in adopted(state):
            found = by_thread(read_all(journal))
            assert all(numbers == list(range(len(numbers))) for numbers in found.values()), (
                "lost, twice, or out of order"
            )
            kept.append([len(found[which]) for which in range(agent.THREADS)])
            assert journal.stats().damaged_lines == 0
            journal.close(delete=True)
        assert len(kept) == 4
        pids = [one.pid for one in agents]
        assert len(set(pids)) == 4
        # Which journal is whose does not matter: each thread has its returned ones, and at most one more.
        for mine in returned:
            assert any(all(0 <= k - r <= 1 for k, r in zip(some, mine, strict=True)) for some in kept), (mine, kept)


@pytest.mark.parametrize("how", ["python", "c"])
def test_forked_children_have_journals_of_their_own(tmp_path: Path, how: str) -> None:
    with run(tmp_path, "forks", how) as process:
        process.communicate()
    assert process.returncode == 0
    found = sorted(texts(read_all(journal)) for journal in adopted(tmp_path))
    parent = ["parent before", *(f"parent {number}" for number in range(4)), "parent after"]
    assert found == [*([f"child {number}"] for number in range(4)), parent]


@pytest.mark.parametrize("how", ["python", "c"])
def test_a_child_that_lives_on_does_not_keep_its_dead_parent_s_journal(tmp_path: Path, how: str) -> None:
    process = run(tmp_path, "orphan", how)
    child = int(answer(process))
    try:
        process.wait()
        (journal,) = adopted(tmp_path)
        assert texts(read_all(journal)) == ["parent"]
        journal.close(delete=True)
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_a_living_process_is_left_alone_and_a_dead_one_adopted_once(tmp_path: Path) -> None:
    process = run(tmp_path, "idle")
    assert answer(process) == "ready"
    outbox = Outbox(tmp_path)
    assert adopted(tmp_path) == []
    (folder,) = outbox.folders()
    assert (folder.pid, folder.alive, folder.own) == (process.pid, True, False)
    end(process)
    assert [folder.alive for folder in outbox.folders()] == [False]
    (journal,) = adopted(tmp_path)
    assert adopted(tmp_path) == [], "it is ours now"
    assert texts(read_all(journal)) == [f"from {process.pid}"]
    journal.close(delete=True)
    assert outbox.folders() == []
