"""`pipe`: live in both directions, ended by anything, losing nothing. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from otel_phi.cli.intake import Intake
from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run, Start
from tests.cli.streams import SESSION, a_session, lines_of

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes differ on Windows")
WAIT_S = 20


def wrote(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


def test_a_span_leaves_as_soon_as_its_line_is_there(start: Start, receiver: Receiver) -> None:
    process = start("pipe", "--endpoint", receiver.endpoint)
    lines = [lines_of([event]) for event in a_session(turns=2)]
    wrote(process, lines[0])
    assert [span.name for span in receiver.wait_for(1, WAIT_S)] == ["invoke_workflow phi.session"]
    wrote(process, b"".join(lines[1:7]))
    assert {span.name for span in receiver.wait_for(4, WAIT_S)} >= {"turn", "chat m-1", "execute_tool bash"}
    wrote(process, b"".join(lines[7:]))
    _, error = process.communicate(timeout=WAIT_S)
    assert (process.returncode, len(receiver.spans)) == (0, 8)
    assert SESSION.replace("-", "").encode() in error
    assert f"8 spans accepted by {receiver.endpoint}/v1/traces\n".encode() in error


def test_tee_passes_every_byte_on_at_once(start: Start, receiver: Receiver) -> None:
    process = start("pipe", "--tee", "--endpoint", receiver.endpoint)
    assert process.stdout is not None
    wrote(process, b'{"half a li')
    assert os.read(process.stdout.fileno(), 100) == b'{"half a li', "even a line that is not whole yet"
    odd = b"ne\r\n\n\x00\xff\n" + lines_of(a_session())
    wrote(process, odd)
    out, _ = process.communicate(timeout=WAIT_S)
    assert out == odd
    assert (process.returncode, len(receiver.spans)) == (0, 5)


def test_a_whole_stream_passes_unchanged(start: Start, receiver: Receiver) -> None:
    process = start("pipe", "--tee", "--endpoint", receiver.endpoint)
    out, _ = process.communicate(golden.DEMO.read_bytes(), timeout=WAIT_S)
    assert out == golden.DEMO.read_bytes()
    assert (process.returncode, len(receiver.spans)) == (0, 38)


@posix
def test_a_reader_that_goes_away_ends_it_with_nothing_lost(start: Start, receiver: Receiver) -> None:
    process = start("pipe", "--tee", "--endpoint", receiver.endpoint)
    assert process.stdout is not None
    assert process.stderr is not None
    wrote(process, lines_of(a_session(session_id="first")))
    assert os.read(process.stdout.fileno(), 100)
    receiver.wait_for(5, WAIT_S)
    process.stdout.close()
    wrote(process, lines_of(a_session(session_id="second")))
    assert process.wait(WAIT_S) == 0
    assert len(receiver.spans) == 10, "what came with the write that failed counts too"
    assert b"Traceback" not in process.stderr.read()


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_what_is_open_leaves_as_aborted(
    start: Start, receiver: Receiver, number: signal.Signals
) -> None:
    process = start("pipe", "--endpoint", receiver.endpoint)
    assert process.stderr is not None
    events = a_session(turns=2, ended=False)[:-1]
    wrote(process, lines_of(events))
    receiver.wait_for(4, WAIT_S)
    process.send_signal(number)
    assert process.wait(WAIT_S) == 0
    aborted = [span.name for span in receiver.spans if span.get("error.type") == "aborted"]
    assert (len(receiver.spans), sorted(aborted)) == (8, ["invoke_agent", "turn"])
    assert b"Traceback" not in process.stderr.read()


@posix
def test_last_words_of_an_agent_that_got_the_same_ctrl_c_are_taken(start: Start, receiver: Receiver) -> None:
    process = start("pipe", "--endpoint", receiver.endpoint)
    events = a_session()
    wrote(process, lines_of(events[:-1]))
    receiver.wait_for(4, WAIT_S)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    wrote(process, lines_of(events[-1:]))
    assert process.wait(WAIT_S) == 0
    (loop,) = [span for span in receiver.spans if span.name == "invoke_agent"]
    assert loop.get("error.type") is None


@posix
def test_a_writer_that_never_stops_does_not_keep_it_after_ctrl_c(start: Start, receiver: Receiver) -> None:
    process = start("pipe", "--endpoint", receiver.endpoint)
    wrote(process, lines_of(a_session()))
    receiver.wait_for(5, WAIT_S)

    def chatter() -> None:
        try:
            while process.poll() is None:
                wrote(process, b": keep-alive\n")
                time.sleep(0.1)
        except OSError:
            pass

    thread = threading.Thread(target=chatter)
    thread.start()
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    thread.join()


def test_server_sent_events_are_read_too(run: Run, start: Start, receiver: Receiver) -> None:
    lines = lines_of(a_session()).splitlines()
    sse = b": hello\n\n" + b"".join(b"event: agent\ndata: " + line + b"\n\n" for line in lines)
    process = start("pipe", "--endpoint", receiver.endpoint)
    process.communicate(sse, timeout=WAIT_S)
    assert (process.returncode, len(receiver.spans)) == (0, 5)


def test_who_started_the_agent_is_linked(start: Start, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    start("pipe", "--endpoint", receiver.endpoint).communicate(lines_of(a_session()), timeout=WAIT_S)
    (loop,) = [span for span in receiver.spans if span.name == "invoke_agent"]
    assert [(link.trace_id, dict(link.attributes)) for link in loop.links] == [
        (0x0AF7651916CD43DD8448EB211C80319C, {"phi.link.kind": "caller"})
    ]


def test_input_without_any_event_is_the_wrong_input(start: Start, receiver: Receiver) -> None:
    process = start("pipe", "--endpoint", receiver.endpoint)
    _, error = process.communicate(b"\x1b[31mhello\n{}\n", timeout=WAIT_S)
    assert process.returncode == 2
    assert b"no AgentEvent on stdin" in error
    assert error.count(b"otel-phi: stdin:") == 2
    assert b"\x1b" not in error
    assert receiver.spans == ()


def test_a_collector_that_is_away_does_not_stop_the_stream(start: Start) -> None:
    process = start("pipe", "--tee", "--endpoint", "http://127.0.0.1:9", "--give-up-after", "1")
    text = lines_of(a_session(turns=500))
    out, error = process.communicate(text, timeout=WAIT_S)
    assert out == text
    assert process.returncode == 4
    assert b"is a collector running at http://127.0.0.1:9?" in error
    assert b"1,502 spans wait in the outbox; `otel-phi flush --endpoint http://127.0.0.1:9/v1/traces`" in error


def test_rejected_spans_are_exit_3(start: Start, receiver: Receiver) -> None:
    receiver.answer(rejected=1, message="no", times=50)
    process = start("pipe", "--endpoint", receiver.endpoint)
    process.communicate(lines_of(a_session()), timeout=WAIT_S)
    assert process.returncode == 3


def test_two_things_cannot_both_have_stdout(run: Run) -> None:
    result = run("pipe", "--tee", "--file", "-")
    assert result.exit_code == 2
    assert "give --file a name" in result.stderr


def test_a_line_is_passed_on_once_it_is_recorded() -> None:
    """Whoever reads behind `--tee` sees no event that a kill of ours would lose."""
    source, give = os.pipe()
    passed, target = os.pipe()
    os.set_blocking(passed, False)
    intake = Intake(source, target)
    os.write(give, b"one\n")
    assert intake.read() == b"one\n"
    with pytest.raises(BlockingIOError):
        os.read(passed, 99)
    os.write(give, b"two\n")
    assert intake.read() == b"two\n"
    assert os.read(passed, 99) == b"one\n"
    os.close(give)
    assert intake.read() == b""
    assert os.read(passed, 99) == b"two\n"
    for descriptor in (source, passed, target):
        os.close(descriptor)
