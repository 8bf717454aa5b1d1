"""examples/rust-agent, a real phi-core agent: what it writes and prints arrives as the trace its README promises, by every door.

Doors are one another's proof: the event logs and the channel of one run must give the same bytes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests import golden
from tests.e2e import cargo
from tests.e2e.backends import CannotBuild
from tests.e2e.backends.go import Say
from tests.e2e.collector import pipeline
from tests.e2e.conftest import StartCollector
from tests.e2e.jaeger import Jaeger
from tests.e2e.outlines import OUTLINE, OUTLINE_OF_LOGS, SPANS_OF_LOGS, outline
from tests.e2e.processes import WITH_US, wait_for
from tests.e2e.sessions import spans_of
from tests.e2e.trees import SERVICE, differences
from tests.laws import Run, family, links, role, times

SCOPES = ["session", "loop"]
WITHIN_S = 120.0
ENCODER = Encoder(Resource((("service.name", "test"),)))


class Ran(NamedTuple):
    """Is one run of the agent: its folder of event logs, what it printed, its session."""

    logs: Path
    printed: bytes
    session: str


@pytest.fixture(scope="session")
def program(say: Say) -> Path:
    """Gives the agent, built first where need be; skips where this machine cannot."""
    try:
        return cargo.agent(say)
    except CannotBuild as reason:
        pytest.skip(f"SKIPPED, NOT PASSED: examples/rust-agent cannot be built here: {reason}")


@pytest.fixture(scope="session")
def ran(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Gives one run, with `--pipe`, four times as fast."""
    logs = tmp_path_factory.mktemp("rust-agent") / "logs"
    command = [str(program), "--logs", str(logs), "--pipe", "--speed", "4"]
    done = subprocess.run(command, capture_output=True, timeout=WITHIN_S, check=True)
    return Ran(logs, done.stdout, done.stderr.decode().split()[1].rstrip(","))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def plain_environment(endpoint: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return kept | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": SERVICE}


def sent(receiver: Receiver, *command: object, given: bytes = b"") -> list[Span]:
    """Runs an otel-phi command that sends to the receiver and returns what had arrived when it ended."""
    with tempfile.TemporaryDirectory() as state:
        subprocess.run(
            [sys.executable, "-m", "otel_phi.cli", *map(str, command)],
            env=plain_environment(receiver.endpoint) | {"OTEL_PHI_STATE_DIR": state},
            input=given,
            capture_output=True,
            timeout=WITHIN_S,
            check=True,
        )
    return list(receiver.spans)


def bytes_of(spans: Iterable[Span]) -> dict[tuple[int, int], bytes]:
    return {(span.trace_id, span.span_id): ENCODER.span(span) for span in spans}


def loops_in(logs: Path, kind: str) -> set[str]:
    """Returns the loops of which the logs hold an event of this kind, as they are at this moment."""
    lines = [line for path in logs.glob("*.events.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    events = [json.loads(line)["event"] for line in lines if f'"event":{{"type":"{kind}"'.encode() in line]
    return {event["loop_id"] for event in events}


def without_groups(spans: Iterable[Span]) -> list[Span]:
    return [span for span in spans if role(span) != "group"]


def test_the_agent_s_channel_becomes_the_trace(ran: Ran, receiver: Receiver) -> None:
    assert outline(sent(receiver, "pipe", given=ran.printed), ran.session) == OUTLINE


def test_its_event_logs_become_the_same_trace_without_the_group(ran: Ran, receiver: Receiver) -> None:
    assert outline(sent(receiver, "export", ran.logs), ran.session) == OUTLINE_OF_LOGS


@pytest.mark.parametrize("scope", SCOPES)
def test_channel_and_logs_give_the_same_bytes(ran: Ran, scope: str) -> None:
    """Event logs do not know which loops ran in parallel: the group's span is all they lack (README, Sources)."""
    with Receiver() as first, Receiver() as second:
        channel = sent(first, "pipe", "--trace-scope", scope, given=ran.printed)
        logs = sent(second, "export", ran.logs, "--trace-scope", scope)
        assert [group.resource for group in first.groups[:1]] == [group.resource for group in second.groups[:1]]
    assert len(channel) == len(logs) + 1
    assert bytes_of(logs) == bytes_of(without_groups(channel))


@pytest.mark.parametrize("scope", SCOPES)
def test_the_trace_keeps_every_law(ran: Ran, scope: str) -> None:
    options = MappingOptions(trace_scope="loop" if scope == "loop" else "session")
    run = Run(golden.lines_to_events(ran.printed), options)
    assert run.broken() == []
    assert run.counts == {}, "nothing that a well-behaved agent says is ignored"


def test_python_live_reads_its_channel(program: Path, receiver: Receiver, tmp_path: Path) -> None:
    example = golden.PROJECT / "examples" / "python-live" / "live.py"
    agent = [str(program), "--pipe", "--logs", str(tmp_path / "logs"), "--speed", "4"]
    done = subprocess.run(
        [sys.executable, str(example), *agent],
        env=plain_environment(receiver.endpoint) | {"OTEL_PHI_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=True,
    )
    tools = ["read_file: done", "run_tests: failed", "search: done", "researcher: done", "run_tests: failed"]
    assert done.stdout.splitlines() == tools
    found = receiver.wait_for(SPANS_OF_LOGS + 1, WITHIN_S)
    assert outline(found, done.stderr.split()[1].rstrip(",")) == OUTLINE


def test_a_reader_that_goes_away_does_not_end_the_agent(program: Path, receiver: Receiver, tmp_path: Path) -> None:
    command = [str(program), "--pipe", "--logs", str(tmp_path / "logs"), "--speed", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stderr is not None
        assert agent.stdout.readline().startswith('{"type":"AgentStart"')
        agent.stdout.close()
        said = agent.stderr.read()
        assert agent.wait(WITHIN_S) == 0
    found = sent(receiver, "export", tmp_path / "logs")
    assert outline(found, said.split()[1].rstrip(",")) == OUTLINE_OF_LOGS
    assert "panicked" not in said


def test_an_agent_killed_while_its_sub_agent_works_leaves_whole_traces(
    program: Path, receiver: Receiver, tmp_path: Path
) -> None:
    """What had begun and not ended, in both sessions, leaves as aborted; every parent and every link's other end is there."""
    command = [str(program), "--pipe", "--logs", str(tmp_path / "logs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as agent:
        assert agent.stdout is not None
        # Its first turn, 300 ms ago, is on disk; phi-core writes its log behind the agent's back.
        next(
            line for line in agent.stdout if line.startswith('{"type":"TurnStart"') and '.sub.1","turn_index":1' in line
        )
        agent.kill()
    found = sent(receiver, "export", "--final", tmp_path / "logs")
    assert [*family(found, MappingOptions()), *links(found), *times(found)] == []
    aborted = {span.get(s.LOOP_ID) for span in found if role(span) == "loop" and span.get(s.ERROR_TYPE) == "aborted"}
    assert aborted == loops_in(tmp_path / "logs", "AgentStart") - loops_in(tmp_path / "logs", "AgentEnd") != set()
    assert len({span.trace_id for span in found}) == 2


# --- watch ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def watching(endpoint: str, folder: Path, ends_by: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """Runs `otel-phi watch logs` in a folder that need not hold `logs` yet, as the README has it; SIGTERM must end it well."""
    state = {"OTEL_PHI_STATE_DIR": str(folder / "state")}
    command = [*WITH_US, sys.executable, "-m", "otel_phi.cli", "watch", "logs"]
    with subprocess.Popen(
        command, cwd=folder, env=plain_environment(endpoint) | state, stderr=subprocess.PIPE, text=True
    ) as watch:
        try:
            yield
            watch.send_signal(ends_by)
            _, said = watch.communicate(timeout=WITHIN_S)
            assert watch.returncode == (0 if ends_by == signal.SIGTERM else -ends_by), said
        finally:
            watch.kill()


def test_watch_sends_what_the_agent_has_done_while_it_works(program: Path, receiver: Receiver, tmp_path: Path) -> None:
    """The agent is stopped in the middle: turns that have ended are in the backend, loops that have not are not."""
    with watching(receiver.endpoint, tmp_path):
        with subprocess.Popen([program, "--logs", "logs"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as agent:
            try:
                wait_for(lambda: loops_in(tmp_path / "logs", "TurnEnd"), "the agent's first turn ends", WITHIN_S)
                agent.send_signal(signal.SIGSTOP)
                early = receiver.wait_for(5, WITHIN_S)
                ended = loops_in(tmp_path / "logs", "AgentEnd")
            finally:
                agent.send_signal(signal.SIGCONT)
            assert {"root", "turn", "chat", "tool"} <= {role(span) for span in early}
            assert {span.get(s.LOOP_ID) for span in early if role(span) == "loop"} <= ended
            assert not any(".thorough." in loop for loop in ended), "the agent has not come to its end"
            assert agent.stderr is not None
            session = agent.stderr.read().split()[1].rstrip(",")
            assert agent.wait(WITHIN_S) == 0
        found = list(receiver.wait_for(SPANS_OF_LOGS, WITHIN_S))
    assert outline(found, session) == OUTLINE_OF_LOGS
    with Receiver() as later:
        exported = sent(later, "export", tmp_path / "logs")
    assert bytes_of(found) == bytes_of(exported)
    assert len(receiver.spans) == len(exported), "each span was sent once"


def test_watch_killed_while_the_agent_works_goes_on_where_it_was(
    program: Path, receiver: Receiver, tmp_path: Path
) -> None:
    with subprocess.Popen([program, "--logs", "logs"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as agent:
        with watching(receiver.endpoint, tmp_path, ends_by=signal.SIGKILL):
            receiver.wait_for(5, WITHIN_S)
        with watching(receiver.endpoint, tmp_path):
            assert agent.wait(WITHIN_S) == 0
            with Receiver() as later:
                exported = bytes_of(sent(later, "export", tmp_path / "logs"))
            wait_for(lambda: exported.keys() <= bytes_of(receiver.spans).keys(), "every span arrives", WITHIN_S)
    for span in receiver.spans:
        assert ENCODER.span(span) == exported[span.trace_id, span.span_id], (
            "what was sent again is the same to the byte"
        )


def test_what_the_agent_does_is_told_by_jaeger_behind_a_collector(
    program: Path, collector: StartCollector, jaeger: Jaeger, tmp_path: Path
) -> None:
    """The whole way: agent, event logs, watch, the real Collector, the real Jaeger; and no span with a warning at the end."""
    otelcol = collector(pipeline({"otlp_grpc": {"endpoint": jaeger.grpc, "tls": {"insecure": True}}}))
    with watching(otelcol.http, tmp_path):
        subprocess.run([program, "--logs", "logs"], cwd=tmp_path, capture_output=True, timeout=WITHIN_S, check=True)
        assert differences(jaeger, spans_of([tmp_path / "logs"])) == []
