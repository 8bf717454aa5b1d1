"""The front door inside frameworks: the examples, with the real packages, against a model on the loopback."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from otel_phi.tree import render_tree
from tests import golden
from tests.conftest import Snapshots
from tests.examples.conftest import Environment
from tests.front.stub import Stub, stub
from tests.front.told import timeless
from tests.laws import role

FOLDER = golden.PROJECT / "examples" / "frameworks"


def needs(*packages: str) -> None:
    """Skips where a package is missing, and says so."""
    for package in packages:
        pytest.importorskip(package, reason=f"SKIPPED, NOT PASSED: pip install {package}, or the extra `frameworks`")


@pytest.fixture
def provider(environment: Environment) -> Iterator[Stub]:
    """Runs a model, where the clients of the examples find it."""
    with stub() as found:
        keys = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "PYTHONWARNINGS": "default::DeprecationWarning"}
        environment.update(keys, OPENAI_BASE_URL=f"{found.url}/v1", ANTHROPIC_BASE_URL=found.url)
        environment["PYTHONPATH"] = os.pathsep.join([str(golden.PROJECT), str(FOLDER)])
        yield found


def run(environment: Environment, name: str) -> str:
    command = [sys.executable, str(FOLDER / name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def tree(receiver: Receiver) -> str:
    lines = timeless(render_tree(receiver.spans)).splitlines()
    return "\n".join(line for line in lines if not line.startswith("trace ")) + "\n"


def test_anthropics_client(receiver: Receiver, environment: Environment, provider: Stub, snapshots: Snapshots) -> None:
    needs("anthropic")
    assert run(environment, "anthropic_client.py") == "Hello\n"
    snapshots.check("frameworks/anthropic_client", tree(receiver))


def test_pydantic_ai(receiver: Receiver, environment: Environment, provider: Stub, snapshots: Snapshots) -> None:
    needs("pydantic_ai")
    assert "22 degrees in" in run(environment, "pydantic_ai_agent.py")
    snapshots.check("frameworks/pydantic_ai_agent", tree(receiver))


def test_a_pool_of_threads(receiver: Receiver, environment: Environment, provider: Stub) -> None:
    told = run(environment, "thread_pool.py").splitlines()
    assert told == [f"22 degrees in {city}" for city in ("Lima", "Oslo", "Pune")] * 2
    tools = [span for span in receiver.spans if role(span) == "tool"]
    assert sorted(str(span.get(s.TOOL_NAME)) for span in tools) == ["weather"] * 6
    assert {span.get(s.ERROR_TYPE) for span in receiver.spans} == {None}


# --- FastAPI -------------------------------------------------------------------------------------------------------------


@contextmanager
def serving(environment: Environment, log: Path) -> Iterator[int]:
    """Runs the example under uvicorn; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "fastapi_stream:app", "--port", str(port), "--log-level", "warning"]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as server:
        try:
            until = time.monotonic() + 60
            while not answers(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def asked(port: int, session: str) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", f"/chat/{session}", headers={"connection": "close"})
        with connection.getresponse() as answer:
            return answer.read().decode()


def loops(receiver: Receiver, count: int) -> list[Span]:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [span for span in receiver.spans if role(span) == "loop"]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} of {count} loops arrived")


def test_fastapi_with_sessions_at_once(
    receiver: Receiver, environment: Environment, provider: Stub, tmp_path: Path
) -> None:
    needs("fastapi", "uvicorn", "openai")
    sessions = [f"chat-{number}" for number in range(8)]
    with serving(environment, tmp_path / "log") as port, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda session: asked(port, session), sessions)) == ["Hello"] * 8
        found = loops(receiver, 8)
    assert sorted(str(span.get(s.SESSION_ID)) for span in found) == sessions
    assert {(span.get(s.ERROR_TYPE), span.get(s.TOTAL_OUTPUT)) for span in found} == {(None, 20)}
    assert len({span.trace_id for span in found}) == 8


def test_fastapi_with_a_reader_that_hangs_up(
    receiver: Receiver, environment: Environment, provider: Stub, tmp_path: Path
) -> None:
    needs("fastapi", "uvicorn", "openai")
    provider.endless = True
    with serving(environment, tmp_path / "log") as port:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as reader:
            reader.sendall(b"GET /chat/chat-1 HTTP/1.1\r\nhost: x\r\n\r\n")
            heard = b""
            while b"Hel" not in heard:
                heard += reader.recv(4_096)
        (loop,) = loops(receiver, 1)
    assert loop.get(s.ERROR_TYPE) == "cancelled"
    (chat,) = [span for span in receiver.spans if role(span) == "chat"]
    assert (chat.get(s.ERROR_TYPE), chat.get(s.USAGE_PARTIAL)) == ("cancelled", True)
