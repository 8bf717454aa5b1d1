"""Without a hook, or with one that records nothing: nothing is made, nothing is said, nothing raises but what the agent raises."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_phi
from tests import golden
from tests.front.told import Told


@otel_phi.tool
def tool(value: int) -> int:
    return value


@otel_phi.tool
async def tool_async(value: int) -> int:
    return value


@otel_phi.agent(model="m")
def pages(count: int) -> Iterator[int]:
    yield from range(count)


@otel_phi.agent(session_from="count")
async def pages_async(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.fixture(params=["not installed", "off"])
def off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, told: Told) -> Told:
    """Gives a hook that records nothing, once none at all."""
    told.off = "sdk_disabled"
    if request.param == "not installed":
        monkeypatch.setattr("otel_phi.hook.installed.current", lambda: None)
    return told


def test_nothing_is_made(off: Told) -> None:
    one, other = otel_phi.loop(session="a", agent="x"), otel_phi.loop(model="m")
    assert one is other
    assert one.model_call("m") is one.model_call()
    assert one.tool("t", "c", {"a": 1}) is otel_phi.current_loop().tool("u")
    assert one.start_loop("b", agent="y") is one.tool("t").start_loop() is one


def test_everything_can_be_called_and_says_nothing(off: Told, caplog: pytest.LogCaptureFixture) -> None:
    with (
        otel_phi.loop(session="a") as loop,
        loop.model_call() as call,
        loop.tool("t") as used,
        otel_phi.model_call() as own,
    ):
        call.response(object())
        call.usage(input=1)
        own.response(7)
        used.result(object())
        for each in (loop, call, used):
            each.fail("broken")
        assert otel_phi.current_loop().id == ""
    assert (tool(7), asyncio.run(tool_async(7)), list(pages(3))) == (7, 7, [0, 1, 2])

    async def main() -> None:
        async with otel_phi.loop() as loop, loop.model_call(), loop.tool("t"):
            assert [number async for number in pages_async(3)] == [0, 1, 2]

    asyncio.run(main())
    assert (list(off), caplog.records) == ([], [])


def test_what_the_agent_raises_goes_on(off: Told) -> None:
    for scope in (otel_phi.loop(), otel_phi.loop().model_call(), otel_phi.loop().tool("t"), otel_phi.model_call()):
        error = KeyError()
        with pytest.raises(KeyError) as caught, scope:
            raise error
        assert caught.value is error


def test_a_hook_that_is_installed_later_begins_with_the_next_loop(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_phi.hook.installed.current", lambda: None)
    with otel_phi.loop(session="early") as early:
        monkeypatch.setattr("otel_phi.hook.installed.current", lambda: told)
        with early.model_call():
            tool(7)
        assert list(told) == []
        with otel_phi.loop(session="late"):
            pass
    assert told.kinds == "AgentStart AgentEnd"


def test_with_a_disabled_sdk_no_file_is_made(tmp_path: Path) -> None:
    code = """
import otel_phi
hook = otel_phi.install(service_name="x")
with otel_phi.loop() as loop, loop.model_call(), loop.tool("t"): pass
print(hook.stats().events, hook.off)
"""
    environment = {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_PHI_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": str(golden.PROJECT),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["0", "sdk_disabled"], "")
    assert not (tmp_path / "state").exists()


def test_importing_the_front_loads_little() -> None:
    code = "import otel_phi; otel_phi.loop; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=golden.PROJECT)
    loaded: set[Any] = set(done.stdout.split())
    assert (
        loaded
        & {"asyncio", "grpc", "opentelemetry", "sqlite3", "otel_phi.hook", "otel_phi.mapping", "otel_phi.recorder"}
        == set()
    )
