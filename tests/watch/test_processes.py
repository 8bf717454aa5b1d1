"""`otel-phi watch` as people run it: a process beside agents that write, a collector that comes and goes, kills and signals."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_phi.delivery.sending.batch import span_key
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests import golden
from tests.sources.agents import samples
from tests.sources.agents import test_claude_code as claude
from tests.sources.agents.samples import written
from tests.streams import LOOP, start, whole_loop, whole_turn
from tests.watch.following import append, exported, log_lines

WAIT_S = 30.0  # on a loaded machine; each is over in a moment


class Agents:
    """Starts watches and ends those that are left, by their pid."""

    def __init__(self, tmp_path: Path) -> None:
        self.logs, self._state = tmp_path / "logs", tmp_path / "state"
        self.logs.mkdir()
        self.running: list[subprocess.Popen[str]] = []

    def watch(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "otel_phi.cli", "watch", str(self.logs), *map(str, arguments)]
        environment = {**os.environ, "OTEL_PHI_STATE_DIR": str(self._state), "OTEL_SERVICE_NAME": "tests"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.running.append(process)
        return process

    def once(self, *arguments: object) -> tuple[int, str]:
        process = self.watch("--once", *arguments)
        _, said = process.communicate(timeout=WAIT_S * 2)
        return process.returncode, said


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    found = Agents(tmp_path)
    yield found
    for process in found.running:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=WAIT_S)


def until(fact: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not fact():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def stop(process: subprocess.Popen[str]) -> tuple[float, str]:
    """Sends SIGTERM; returns how long it took to end, and what was said."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=WAIT_S)
    return time.monotonic() - begun, said


@pytest.mark.parametrize("poll", [(), ("--poll", "0.1")], ids=["told", "polling"])
def test_spans_arrive_while_the_agent_writes(poll: tuple[str, ...], agents: Agents) -> None:
    with Receiver() as receiver:
        process = agents.watch("--endpoint", receiver.endpoint, *poll)
        lines = log_lines([start(0), *whole_turn(10, 0), *whole_loop(0)[-1:]])
        append(agents.logs / "a.jsonl", lines[0])
        until(lambda: len(receiver.spans) == 1)  # the root, while the loop is open
        for line in lines[1:]:
            append(agents.logs / "a.jsonl", line)
        until(lambda: len(receiver.spans) == 4)
        took, said = stop(process)
        assert process.returncode == 0
        assert "4 spans accepted" in said
        assert took < 10  # the 2 s of the command itself are asserted where nothing else runs, below


def test_kills_at_random_moments_lose_nothing_and_change_nothing(agents: Agents) -> None:
    dice = random.Random(7)
    source = golden.DEMO_LOGS
    written = [
        (path.name, line) for path in sorted(source.iterdir()) for line in path.read_bytes().splitlines(keepends=True)
    ]
    with Receiver() as receiver:
        process = agents.watch("--endpoint", receiver.endpoint)
        for number, (name, line) in enumerate(written):
            append(agents.logs / name, line)
            if number % 25 == 0:
                time.sleep(dice.random() / 2)
                process.kill()
                process.communicate(timeout=WAIT_S)
                process = agents.watch("--endpoint", receiver.endpoint)
        wanted = exported(source, final=True)
        process.kill()
        process.communicate(timeout=WAIT_S)
        for path in agents.logs.iterdir():
            os.utime(path, (time.time() - 7_200,) * 2)
        code, said = agents.once("--endpoint", receiver.endpoint, "--abandon-after", 3600)
        assert code == 0, said
        found: dict[bytes, Span] = {}
        for span in receiver.spans:
            assert found.setdefault(span_key(span), span) == span
        assert found == wanted


def test_what_a_collector_that_is_down_did_not_take_is_sent_by_the_next_watch(agents: Agents) -> None:
    append(agents.logs / "a.jsonl", b"".join(log_lines(whole_loop(0))))
    process = agents.watch("--endpoint", "http://127.0.0.1:9")
    until(lambda: _says(process, "watching"))
    time.sleep(1.0)
    _, said = stop(process)
    assert process.returncode == 4
    assert "4 spans not sent" in said
    with Receiver() as receiver:
        code, said = agents.once("--endpoint", "http://127.0.0.1:9", "--give-up-after", 1)
        assert code == 4
        assert "run the same command again" in said
        assert agents.once("--endpoint", receiver.endpoint)[0] == 0
        assert len(receiver.spans) == 4


def _says(process: subprocess.Popen[str], word: str) -> bool:
    assert process.stderr is not None
    return word in process.stderr.readline()


def test_a_hanging_collector_does_not_keep_it_from_ending_within_two_seconds(agents: Agents) -> None:
    with Receiver() as receiver:
        receiver.answer(times=100, delay_s=30.0)
        append(agents.logs / "a.jsonl", b"".join(log_lines(whole_loop(0))))
        process = agents.watch("--endpoint", receiver.endpoint)
        until(lambda: _says(process, "watching"))
        time.sleep(1.0)
        took, _ = stop(process)
        assert took < 2 + 1.5  # and a loaded machine's breath


def test_two_watches_of_one_folder_and_destination_are_refused(agents: Agents) -> None:
    with Receiver() as receiver:
        process = agents.watch("--endpoint", receiver.endpoint)
        until(lambda: _says(process, "watching"))
        code, said = agents.once("--endpoint", receiver.endpoint)
        assert code == 2
        assert "another otel-phi watch follows this" in said
        stop(process)
        assert agents.once("--endpoint", receiver.endpoint)[0] == 0


def test_a_folder_that_is_not_there_yet_is_waited_for(agents: Agents) -> None:
    with Receiver() as receiver:
        agents.logs.rmdir()
        process = agents.watch("--endpoint", receiver.endpoint)
        until(lambda: _says(process, "watching"))
        agents.logs.mkdir()
        append(agents.logs / "a.jsonl", b"".join(log_lines(whole_loop(0, LOOP))))
        until(lambda: len(receiver.spans) == 4)
        stop(process)


def test_a_file_to_write_to_is_a_usage_error(agents: Agents) -> None:
    code, said = agents.once("--file", "out.jsonl")
    assert code == 2
    assert "otel-phi export writes files" in said


def test_two_exporters_are_both_given_every_span(agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    (agents.logs / "one.events.jsonl").write_bytes(b"".join(log_lines(whole_loop(3))))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console,otlp")
    with Receiver() as receiver:
        process = agents.watch("--once", "--endpoint", receiver.endpoint)
        printed, said = process.communicate(timeout=WAIT_S * 2)
        assert process.returncode == 0, said
        assert len(receiver.spans) == (printed + said).count('"trace_state"') > 3


@samples.needed
def test_agents_sessions_written_beside_a_watch_that_is_killed_at_random_moments(agents: Agents) -> None:
    dice = random.Random(11)
    folder = samples.FOLDER / "codex"
    # The first is a longer one, which is not in the repository.
    names = "rollout-2026-02-23T12-41-04-019c8a4d-8f45-7010-8b5d-7fad920aa6f9.jsonl", "agtrace_codex_session.jsonl"
    name = next(one for one in names if (folder / one).exists())
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    with Receiver() as receiver:
        process = agents.watch("--endpoint", receiver.endpoint)
        for number, line in enumerate(lines):
            append(agents.logs / name, line)
            if number % (len(lines) // 6) == 0:
                time.sleep(dice.random() / 2)
                process.kill()
                process.communicate(timeout=WAIT_S)
                process = agents.watch("--endpoint", receiver.endpoint)
        process.kill()
        process.communicate(timeout=WAIT_S)
        os.utime(agents.logs / name, (time.time() - 7_200,) * 2)
        code, said = agents.once("--endpoint", receiver.endpoint, "--abandon-after", 3600)
        assert code == 0, said
        found: dict[bytes, Span] = {}
        for span in receiver.spans:
            assert found.setdefault(span_key(span), span) == span
        assert found == exported(agents.logs, final=True)


def test_a_turn_of_an_agent_arrives_while_it_writes(agents: Agents) -> None:
    with Receiver() as receiver:
        process = agents.watch("--endpoint", receiver.endpoint)
        until(lambda: _says(process, "watching"))
        path = agents.logs / f"{claude.SESSION}.jsonl"
        append(path, written(claude.prompt(0, "p"), claude.spoke(1, "a", claude.use("t"))))
        until(lambda: len(receiver.spans) == 1)  # the root
        append(path, written(claude.result(2, "t"), claude.spoke(3, "b")))
        until(lambda: len(receiver.spans) == 4)  # the turn, its call and its tool
        append(path, written(claude.line("system", 4, "over", subtype="turn_duration", durationMs=1)))
        until(lambda: len(receiver.spans) == 7)
        stop(process)
