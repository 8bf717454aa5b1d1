"""docs/in-your-server.md: under each server that is installed, every request's loop arrives once, and none is lost at the end."""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.testing import Receiver
from tests import golden
from tests.laws import role

COUNT = 12
Environment = dict[str, str]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def environment(receiver: Receiver, tmp_path: Path) -> Environment:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(golden.PROJECT),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_PHI_STATE_DIR": str(tmp_path / "state"),
        "BROKER": str(tmp_path / "broker"),
    }


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"SKIPPED, NOT PASSED: pip install {package}, or the extra `frameworks`")


@contextmanager
def running(environment: Environment, log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server, and ends it with SIGTERM."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=log.parent)
    try:
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise AssertionError(log.read_text()) from None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


def ask_all(port: int) -> None:
    def ask(number: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", f"/chat-{number}", headers={"connection": "close"})
            with connection.getresponse() as answer:
                assert answer.read() == f"chat-{number}".encode()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(COUNT)))


def assert_each_loop_once(receiver: Receiver, count: int = COUNT) -> None:
    expected = Counter(f"chat-{number}" for number in range(count))
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = Counter(str(span.get(s.SESSION_ID)) for span in receiver.spans if role(span) == "loop")
        if found >= expected:
            break
        time.sleep(0.05)
    assert found == expected
    assert {span.get(s.ERROR_TYPE) for span in receiver.spans} == {None}


SERVERS = {
    "gunicorn": ["gunicorn", "tests.front.servers.wsgi:app", "--workers", "2", "--bind", "127.0.0.1:{port}"],
    "gunicorn preloaded": [
        "gunicorn", "tests.front.servers.wsgi:app", "--workers", "2", "--preload", "--bind", "127.0.0.1:{port}",
    ],
    "uvicorn": ["uvicorn", "tests.front.servers.asgi:app", "--port", "{port}"],
    "uvicorn workers": ["uvicorn", "tests.front.servers.asgi:app", "--workers", "2", "--port", "{port}"],
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_a_web_server(name: str, receiver: Receiver, environment: Environment, tmp_path: Path) -> None:
    needs(SERVERS[name][0])
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", *[part.format(port=port) for part in SERVERS[name]]]
    with running(environment, log, *command) as server:
        wait_for(port, server, log)
        ask_all(port)
    assert_each_loop_once(receiver)


def test_uwsgi(receiver: Receiver, environment: Environment, tmp_path: Path) -> None:
    uwsgi = shutil.which("uwsgi", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uwsgi is None:
        pytest.skip("SKIPPED, NOT PASSED: pip install uwsgi (it is compiled)")
    port, log = free_port(), tmp_path / "log"
    flags = ["--master", "--workers", "2", "--enable-threads", "--die-on-term", "--http", f"127.0.0.1:{port}"]
    command = [uwsgi, *flags, "--module", "tests.front.servers.wsgi:app", "--virtualenv", sys.prefix]
    with running(environment, log, *command) as server:
        wait_for(port, server, log)
        ask_all(port)
    assert_each_loop_once(receiver)


def test_celery(receiver: Receiver, environment: Environment, tmp_path: Path) -> None:
    needs("celery")
    for folder in ("broker", "broker-control"):
        (tmp_path / folder).mkdir()
    send = f"from tests.front.servers.tasks import answer\nfor n in range({COUNT}): answer.delay(f'chat-{{n}}')"
    subprocess.run([sys.executable, "-c", send], env=environment, check=True, timeout=60)
    command = ["-A", "tests.front.servers.tasks", "worker", "--concurrency", "2", "--loglevel", "WARNING"]
    with running(environment, tmp_path / "log", sys.executable, "-m", "celery", *command):
        assert_each_loop_once(receiver)
    assert_each_loop_once(receiver)


@pytest.mark.parametrize("name", ["gevent", "fork", "spawn", "lambda"])
def test_a_program(name: str, receiver: Receiver, environment: Environment) -> None:
    if name == "gevent":
        needs("gevent")
    command = [sys.executable, "-m", "tests.front.servers.programs", name, str(COUNT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert_each_loop_once(receiver)


def test_a_fork_within_a_tool_is_not_stuck_and_its_loops_are_below_the_parents(
    receiver: Receiver, environment: Environment
) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.front.servers.programs", "within", "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = {str(span.get(s.SESSION_ID)): span for span in receiver.wait_for(1) if role(span) == "loop"}
    assert sorted(found) == [*(f"chat-{number}" for number in range(4)), "chat-parent"]
    parent = found.pop("chat-parent")
    assert {span.get(s.SPAWN_LOOP) for span in found.values()} == {parent.get(s.LOOP_ID)}
    assert "not the child's" not in {span.get(s.TOOL_NAME) for span in receiver.spans}
