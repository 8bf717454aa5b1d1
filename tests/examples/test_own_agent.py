"""An agent of one's own: 36 lines behind FastAPI with the real client of OpenAI, and the smallest one that there is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from otel_phi.testing import Receiver
from otel_phi.tree import render_tree
from tests import golden
from tests.conftest import Snapshots
from tests.examples.conftest import Environment
from tests.front.stub import stub
from tests.front.told import timeless

FOLDER = golden.PROJECT / "examples" / "own-agent"
# Two users at once, one of them asks again: what a server does, without one. The last stands for one that hangs up.
STORY = """
import asyncio, agent

async def main():
    await asyncio.gather(agent.chat("chat-1", "How is Lima?"), agent.chat("chat-2", "How is Lima?"))
    await agent.chat("chat-1", "And today?")
    task = asyncio.create_task(agent.chat("chat-3", "Never mind"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

asyncio.run(main())
"""


def run(environment: Environment, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(golden.PROJECT), str(FOLDER)]), **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_agent_of_36_lines_gives_the_trace_that_was_reviewed(
    receiver: Receiver, environment: Environment, snapshots: Snapshots
) -> None:
    for package in ("openai", "fastapi"):
        pytest.importorskip(package, reason=f"SKIPPED, NOT PASSED: pip install {package}, or the extra `dev`")
    with stub() as provider:
        more = {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "PYTHONWARNINGS": "default"}
        done = run(environment, "-c", STORY, **more)
    assert (done.returncode, done.stderr) == (0, "")
    snapshots.check("own-agent", timeless(render_tree(receiver.spans)))


def test_the_agent_is_36_lines_long() -> None:
    lines = [line for line in (FOLDER / "agent.py").read_text(encoding="utf-8").splitlines() if line]
    assert len(lines) <= 36


def test_the_smallest_agent_gives_a_whole_trace(
    receiver: Receiver, environment: Environment, snapshots: Snapshots
) -> None:
    done = run(environment, str(FOLDER / "hello.py"))
    assert (done.returncode, done.stderr) == (0, "")
    tree = timeless(render_tree(receiver.spans)).splitlines()[1:]
    snapshots.check("own-agent.hello", "\n".join(tree) + "\n")
