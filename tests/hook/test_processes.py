"""How a process ends, divides or dies: its spans arrive, none twice, and it ends as it would have without us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_phi.events import AgentEvent
from otel_phi.pipeline import Pipeline
from otel_phi.testing import Receiver
from tests.hook.stories import OPTIONS, arrived, as_count, expected, loop_of

ROOT = Path(__file__).parents[2]
MAIN = loop_of("main")
REFUSED = "http://127.0.0.1:9"  # nobody listens: the collector is down


@contextmanager
def agent(*name: str, state: Path, endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """Runs one of `tests/hook/agents.py`."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("OTEL")},
        "OTEL_PHI_STATE_DIR": str(state),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "PYTHONWARNINGS": "error::ResourceWarning",  # a socket of ours left open would be said on the agent's stderr
    }
    command = [sys.executable, "-m", "tests.hook.agents", *name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*name: str, state: Path, endpoint: str, kill: signal.Signals | None = None) -> tuple[int, str, float]:
    """Runs an agent to its end; returns its exit code, its stderr, and the seconds since it was told to end."""
    with agent(*name, state=state, endpoint=endpoint) as process:
        begin = time.monotonic()
        if kill is not None:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            begin = time.monotonic()
            process.send_signal(kill)
        out, err = process.communicate(timeout=90)
        assert out == ""  # nothing of ours on stdout
        return process.returncode, err, time.monotonic() - begin


def adopt(state: Path, receiver: Receiver, says: str = "") -> None:
    """Lets another process of the same destination send what a dead one left; it says this on stderr, or nothing."""
    code, err, _ = run("adopts", state=state, endpoint=receiver.endpoint)
    assert (code, bool(err)) == (0, bool(says)), err
    assert says in err


@pytest.mark.parametrize(
    ("name", "code", "events"),
    [
        ("plain", 0, MAIN),
        ("sys_exit", 3, MAIN),
        ("raises", 1, MAIN),
        ("open_loop", 0, MAIN[:-4]),
        ("thread_outlives_main", 0, MAIN),
    ],
)
def test_a_process_that_ends_has_sent_all(
    name: str, code: int, events: list[AgentEvent], receiver: Receiver, tmp_path: Path
) -> None:
    found, err, _ = run(name, state=tmp_path, endpoint=receiver.endpoint)
    assert found == code
    assert err == "" or name == "raises"
    assert arrived(receiver) == expected(events)


@pytest.mark.parametrize(
    ("name", "code", "kill"),
    [
        ("sigterm", -signal.SIGTERM, signal.SIGTERM),
        ("sigterm_own_handler", 7, signal.SIGTERM),
        ("sigterm_handler_set_later", 8, signal.SIGTERM),
        ("sigterm_ignored", 0, signal.SIGTERM),
    ],
)
def test_sigterm_ends_a_process_as_it_would_have_without_us_and_all_is_sent(
    name: str, code: int, kill: signal.Signals, receiver: Receiver, tmp_path: Path
) -> None:
    found, err, _ = run(name, state=tmp_path, endpoint=receiver.endpoint, kill=kill)
    assert (found, err) == (code, "")
    assert arrived(receiver) == expected(MAIN)


def test_sigterm_while_the_hook_is_busy_kills_in_time(receiver: Receiver, tmp_path: Path) -> None:
    code, _, seconds = run("sigterm_in_the_hook", state=tmp_path, endpoint=receiver.endpoint, kill=signal.SIGTERM)
    assert code == -signal.SIGTERM
    assert seconds < 5.0  # it has 2 s, which an idle machine does not need
    assert arrived(receiver) == expected(MAIN)


def test_sigterm_in_the_midst_of_recording_kills_with_all_settled_and_nothing_sent_twice(
    receiver: Receiver, tmp_path: Path
) -> None:
    for round_ in range(2):
        with agent("sigterm_at_work", f"round-{round_}", state=tmp_path, endpoint=receiver.endpoint) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.05 * round_)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == -signal.SIGTERM
    adopt(tmp_path, receiver)
    keys = [(span.trace_id, span.span_id) for span in receiver.spans]
    assert len(set(keys)) == len(keys)
    known = set(keys)
    assert [s for s in receiver.spans if s.parent_span_id and (s.trace_id, s.parent_span_id) not in known] == []


@pytest.mark.parametrize("name", ["plain", "open_loop", "sigterm"])
def test_with_the_collector_down_a_process_ends_within_two_and_a_half_seconds(name: str, tmp_path: Path) -> None:
    kill = signal.SIGTERM if name == "sigterm" else None
    took = []
    for attempt in range(5):  # a machine that does much else takes its time, but not each time; a wait of ours would
        code, _, seconds = run(name, state=tmp_path / str(attempt), endpoint=REFUSED, kill=kill)
        assert code == (-signal.SIGTERM if kill else 0)
        took.append(seconds - (0.0 if kill else seconds_to_import()))
        if took[-1] < 2.5:
            return
    raise AssertionError(took)


def seconds_to_import() -> float:
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", "import tests.hook.agents"], cwd=ROOT, check=True)
    return time.monotonic() - begin


# --- death ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "sigterm", "os_exit", "sigkill"])
def test_what_could_not_be_sent_is_in_the_outbox_and_the_next_process_sends_it(
    name: str, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer(times=10_000, status=503)
    run(name, state=tmp_path, endpoint=receiver.endpoint, kill=signal.SIGTERM if name == "sigterm" else None)
    receiver.forget_script()
    assert receiver.spans == ()
    assert run("stays", "other", state=tmp_path, endpoint=receiver.endpoint)[:2] == (0, "")
    lost = lost_spans(MAIN[:-4]) if name == "sigkill" else expected(MAIN)
    assert arrived(receiver) == expected(loop_of("other")) + lost


def lost_spans(events: list[AgentEvent]) -> Counter[bytes]:
    """Returns what a process leaves that was killed with a loop and a turn open: what closed before as ever, both as lost."""
    pipeline = Pipeline(OPTIONS)
    return as_count([*(span for event in events for span in pipeline.feed(event)), *pipeline.finish(lost=True)])


# --- division ------------------------------------------------------------------------------------------------------------


def test_a_forked_child_begins_with_nothing_open_and_the_parent_goes_on(receiver: Receiver, tmp_path: Path) -> None:
    code, err, _ = run("forks", state=tmp_path, endpoint=receiver.endpoint)
    assert (code, err) == (0, "")
    assert arrived(receiver) == expected(MAIN, loop_of("child"))


def test_forks_while_other_threads_record_lose_nothing_and_send_nothing_twice(
    receiver: Receiver, tmp_path: Path
) -> None:
    code, err, _ = run("forks_while_busy", state=tmp_path, endpoint=receiver.endpoint)
    assert (code, err) == (0, "")
    names = [f"thread-{thread}-{number}" for thread in range(2) for number in range(20)]
    assert arrived(receiver) == expected(*map(loop_of, [*names, *(f"child-{number}" for number in range(4))]))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("kind", ["spawns", "pool"])
def test_a_multiprocessing_childs_spans_arrive_once(kind: str, method: str, receiver: Receiver, tmp_path: Path) -> None:
    code, err, _ = run(kind, method, state=tmp_path, endpoint=receiver.endpoint)
    assert (code, err) == (0, "")
    names = ["main", "child-0", "child-1"] if kind == "spawns" else [f"child-{number}" for number in range(4)]
    assert arrived(receiver) == expected(*map(loop_of, names))
