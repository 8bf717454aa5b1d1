"""Any process that comes to be by any kind of fork, and any interpreter, sends its own spans and nobody else's."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests.faults.test_matrix_disk import away, journals, run_agent
from tests.golden import PROJECT
from tests.hook.stories import arrived, expected, loop_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks are POSIX's")
INTERPRETERS = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


@pytest.mark.parametrize("how", ["python", "c"])
def test_forks_with_and_without_pythons_hooks_while_threads_record(
    how: str, receiver: Receiver, tmp_path: Path
) -> None:
    """C code tells nobody that it forked, as uWSGI does not: a child finds out before it writes."""
    run_agent("forks", receiver.endpoint, tmp_path, how)
    run_agent("adopts", receiver.endpoint, tmp_path, "http/protobuf")
    names = [f"thread {number}" for number in range(100)]
    names += [f"child {child} {number}" for child in range(4) for number in range(10)]
    assert arrived(receiver) == expected(*map(loop_of, names), loop_of("main"))
    assert journals(tmp_path) == []


@pytest.mark.parametrize("how", ["python", "c"])
def test_a_fork_while_the_live_thread_is_in_the_table_of_all_processes(
    how: str, receiver: Receiver, tmp_path: Path
) -> None:
    """SQLite's memory of what is locked comes with the fork: a child that asked would wait for nobody, for ever."""
    run_agent("forks_in_table", receiver.endpoint, tmp_path, how)
    assert arrived(receiver) == expected(loop_of("parent"), loop_of("child"))
    assert journals(tmp_path) == []


@pytest.mark.parametrize("how", ["python", "c"])
def test_a_child_leaves_its_dead_parents_journal_to_others_and_keeps_it_from_nobody(
    how: str, receiver: Receiver, tmp_path: Path
) -> None:
    """The parent is killed, the child lives on and sends its own; a third process has the parent's."""
    away(receiver)
    command = [sys.executable, "-m", "tests.faults.agents", "orphans", receiver.endpoint, str(tmp_path), how]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.wait(60) == -signal.SIGKILL
        try:
            receiver.forget_script()
            run_agent("adopts", receiver.endpoint, tmp_path, "http/protobuf")
            assert expected(loop_of("parent")) - arrived(receiver) == {}
        finally:
            os.kill(child, signal.SIGTERM)
        parent.stdout.read()  # until the child has ended too
    assert arrived(receiver) == expected(loop_of("parent"), loop_of("child"))


# --- several interpreters ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec(INTERPRETERS) is None, reason="no interpreters in this Python")
def test_several_interpreters_of_a_process_are_several_agents(receiver: Receiver, tmp_path: Path) -> None:
    """Where one may have no threads, or cannot load what it needs, it says so, and whoever adopts its journal sends it."""
    run_agent("interpreters", receiver.endpoint, tmp_path, INTERPRETERS)
    run_agent("adopts", receiver.endpoint, tmp_path, "http/protobuf")
    said = (tmp_path / "said").read_text().split()
    names = ["main", *(f"interpreter {number}" for number in range(2) if f"recorded-{number}" in said)]
    assert len(names) == 3 or sys.version_info >= (3, 12), said  # newer ones ask more of what is loaded there
    assert arrived(receiver) == expected(*map(loop_of, names))
    assert journals(tmp_path) == []


# --- an idle process -----------------------------------------------------------------------------------------------------------


def test_a_process_that_installs_the_hook_and_stays_idle_sends_what_dead_ones_left(
    receiver: Receiver, tmp_path: Path
) -> None:
    away(receiver)
    run_agent("ends_open", receiver.endpoint, tmp_path)
    receiver.forget_script()
    command = [sys.executable, "-m", "tests.faults.agents", "idles", receiver.endpoint, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT) as idle:
        try:
            assert len(receiver.wait_for(2, 60)) == 2
        finally:
            idle.terminate()
    assert journals(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="CPU time is read from /proc")
@pytest.mark.parametrize("state", ["files", "memory", "dead processes' journals held"])
def test_an_idle_agent_takes_next_to_no_time(state: str, receiver: Receiver, tmp_path: Path) -> None:
    """Also after a roll, without files, and while it holds what it cannot send."""
    if state == "dead processes' journals held":
        away(receiver)
        for _ in range(9):
            run_agent("ends_open", receiver.endpoint, tmp_path)
        receiver.answer(status=503, headers={"Retry-After": "600"}, times=1000)
    if state == "memory":
        (tmp_path / "outbox").write_text("a file in the way")
    command = [sys.executable, "-m", "tests.faults.agents", "idle_time", receiver.endpoint, str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=120)
    receiver.forget_script()
    assert float(done.stdout) < 0.1, "of two seconds"


# --- servers --------------------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


SERVERS = {
    "uvicorn": ["uvicorn", "tests.faults.applications:asgi", "--workers", "2", "--port"],
    "gunicorn": ["gunicorn", "tests.faults.applications:wsgi", "--workers", "2", "--threads", "2", "--bind"],
    "gunicorn preload": ["gunicorn", "tests.faults.applications:wsgi", "--workers", "2", "--preload", "--bind"],
    "uwsgi": ["uwsgi", "--module", "tests.faults.applications:wsgi", "--master", "--processes", "2", "--die-on-term", "--http-socket"],
}  # fmt: skip


@contextmanager
def served(server: str, receiver: Receiver, state: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Runs a real server with two workers, each of which installs the hook."""
    name, *words = SERVERS[server]
    if name == "uwsgi":
        program = shutil.which(
            "uwsgi", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        )
        if program is None:
            pytest.skip("SKIPPED, NOT PASSED: uwsgi is not installed")
        command = [program, "--virtualenv", sys.prefix, *words]
    else:
        pytest.importorskip(name, reason=f"SKIPPED, NOT PASSED: {name} is not installed")
        command = [sys.executable, "-m", name, *words]
    port = free_port()
    command.append(str(port) if name == "uvicorn" else f"127.0.0.1:{port}")
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_PHI_STATE_DIR": str(state), "PYTHONPATH": path}
    environment = {**os.environ, **given}
    with (
        (state.parent / "log").open("wb") as log,
        subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}/", process
        finally:
            if process.poll() is None:
                process.kill()


def ask(url: str, path: str) -> str:
    """Asks, as soon as somebody answers."""
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url + path, timeout=30) as answer:
            return str(answer.read().decode())
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("server", SERVERS)
def test_sigterm_under_a_server_loses_nothing(server: str, receiver: Receiver, tmp_path: Path) -> None:
    """Each request is a loop; one more is left open. What is open leaves as aborted or as lost, all else as it was."""
    state = tmp_path / "state"
    with served(server, receiver, state) as (url, process):
        names = [f"request-{number}" for number in range(20)]
        workers = {ask(url, name) for name in names}
        ask(url, "open")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in {0, -signal.SIGTERM, 143}
    assert workers
    run_agent("adopts", receiver.endpoint, state, "http/protobuf")
    assert expected(*map(loop_of, names)) - arrived(receiver) == {}
    rest = arrived(receiver) - expected(*map(loop_of, names))
    assert set(rest.values()) == {1}
    (lost,) = [span for span in receiver.spans if span.name == "invoke_agent" and repr(span).encode() in rest]
    assert lost.get("error.type") in {"aborted", "process_lost"}
    assert journals(state) == []


@pytest.mark.parametrize("server", ["gunicorn preload", "uwsgi"])
def test_a_worker_that_a_server_forks_anew_records_and_sends(server: str, receiver: Receiver, tmp_path: Path) -> None:
    """A second after the start and later, when the live thread of the server's own process is at work."""
    state = tmp_path / "state"
    with served(server, receiver, state) as (url, process):
        first = ask(url, "first")
        time.sleep(1.5)
        before = {first, *(ask(url, f"before-{number}") for number in range(10))}
        for worker in before:
            os.kill(int(worker), signal.SIGKILL)
        names: list[str] = []
        end = time.monotonic() + 60
        while not names or worker in before:
            assert time.monotonic() < end
            names.append(f"after-{len(names)}")
            worker = ask(url, names[-1])
        receiver.wait_for(8, 30)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    run_agent("adopts", receiver.endpoint, state, "http/protobuf")
    told = ["first", *(f"before-{number}" for number in range(10)), *names]
    assert expected(*map(loop_of, told)) - arrived(receiver) == {}
