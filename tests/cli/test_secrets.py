"""Secrets in every field of every event get nowhere, whichever door they came by: not even into dead letters on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_phi.delivery.journal.dead_letters import DeadLetters
from otel_phi.delivery.journal.facts import Snapshot, decode_fact
from otel_phi.delivery.journal.outbox import DEAD_LETTERS
from otel_phi.delivery.journal.segment import Segment
from otel_phi.events import (
    AgentEnd,
    AgentEvent,
    AgentStart,
    CompactionEnded,
    CompactionStarted,
    InputRejected,
    MessageStart,
    MessageUpdate,
    ParallelLoopEnd,
    ParallelLoopStart,
    ProgressMessage,
    PrunApplied,
    RevertApplied,
    ToolExecutionUpdate,
)
from otel_phi.testing import Receiver
from tests import golden
from tests.cli.conftest import Run, Start
from tests.cli.lost import lose
from tests.cli.streams import lines_of
from tests.cli.test_flush import away, destinations
from tests.cli.test_pipe import WAIT_S
from tests.hook.stories import as_dict
from tests.hook.test_hostile import SECRET, planted
from tests.streams import at, text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and SIGKILL are POSIX's")
LOOP = "a session of its own.loop"
# What the demo has none of. A rejection's reason is the user's own words.
OTHERS: list[AgentEvent] = [
    ParallelLoopStart(session_id="a session of its own", loop_ids=(LOOP,), timestamp=at(0)),
    AgentStart(session_id="a session of its own", loop_id=LOOP, timestamp=at(1), metadata=text("in metadata")),
    InputRejected(loop_id=LOOP, reason="they said"),
    MessageStart(loop_id=LOOP),
    MessageUpdate(loop_id=LOOP, delta=text("d")),
    ToolExecutionUpdate(loop_id=LOOP, tool_call_id="c", tool_name="t", partial_result=text("p")),
    ProgressMessage(loop_id=LOOP, text="so far"),
    CompactionStarted(loop_id=LOOP, timestamp=at(2)),
    CompactionEnded(loop_id=LOOP, timestamp=at(3)),
    PrunApplied(loop_id=LOOP, timestamp=at(4)),
    RevertApplied(loop_id=LOOP, category="tangent", timestamp=at(5)),
    AgentEnd(loop_id=LOOP, timestamp=at(6), rejection="no: they said"),
    ParallelLoopEnd(session_id="a session of its own", selected_loop_id=LOOP, timestamp=at(7)),
]


def secrets() -> list[dict[str, Any]]:
    """Returns events with the secret in every text that is content, and of a type nobody knows."""
    events = [planted(as_dict(event)) for event in [*golden.demo(), *OTHERS]]
    return [*events, {"type": "Newer", "loop_id": LOOP, "text": SECRET, "more": {SECRET: [SECRET]}}]


def by_pipe(start: Start, receiver: Receiver) -> list[bytes]:
    process = start("pipe", "--endpoint", receiver.endpoint, "--give-up-after", "0.2", "--service-name", "test")
    broken = b'{"type":"AgentStart","session_id":"%s\n{"%s' % (SECRET.encode(), SECRET.encode())
    out, error = process.communicate(lines_of(secrets()) + broken, timeout=WAIT_S)
    assert process.returncode == 4, error
    return [out, error]


def by_hook(receiver: Receiver) -> list[bytes]:
    lose(receiver.endpoint, secrets())
    return []


@pytest.mark.parametrize("door", ["pipe", "hook"])
def test_no_secret_is_in_what_waits_in_dead_letters_in_requests_or_in_what_is_said(
    door: str, run: Run, start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    away(receiver)
    said = by_pipe(start, receiver) if door == "pipe" else by_hook(receiver)
    flags = ("--endpoint", receiver.endpoint, "--give-up-after", "5")
    looks = [on_disk(tmp_path)]
    said += [run(*words).output.encode() for words in (("status",), ("status", "--json"))]
    receiver.forget_script()
    said.append(run("flush", *flags).output.encode())
    assert len(receiver.spans) > 30
    away(receiver)
    lose(receiver.endpoint, [event for event in secrets() if event["type"] == "AgentStart"][-1:])
    receiver.forget_script()
    receiver.answer(status=400, body=b"bad span", times=10_000)
    said.append(run("flush", *flags).output.encode())
    assert destinations(run)[0]["dead_letters"], "there is a dead letter on disk while we look"
    looks.append(on_disk(tmp_path))
    said += [run(*words).output.encode() for words in (("status",), ("status", "--json"), ("status", "--retry"))]
    receiver.forget_script()
    said.append(run("flush", *flags).output.encode())
    assert destinations(run)[0]["dead"] == 0
    looks.append(b"".join(request.body for request in receiver.requests))
    assert [SECRET.encode() in seen for seen in (*looks, *said)] == [False] * (len(looks) + len(said))
    words = (b'"type":"TurnEnd"', b"gen_ai.operation.name", b"gen_ai.operation.name")
    assert all(word in look for word, look in zip(words, looks, strict=True)), (
        "facts and spans were there to be looked at"
    )
    assert SECRET in json.dumps(secrets())


def on_disk(state: Path) -> bytes:
    """Returns every byte of every file, as a stranger with the disk would read them; what is base64 there, as it was."""
    files = [path for path in sorted(state.rglob("*")) if path.is_file()]
    found = [path.read_bytes() for path in files]
    for path in files:
        if path.name == DEAD_LETTERS:
            found += [entry for letter in DeadLetters(path.parent).read() for entry in (letter.entry, *letter.envelope)]
        elif path.suffix == ".journal":
            bodies = Segment(path, 1).bodies()
            found += [fact.state for _, body in bodies if isinstance(fact := decode_fact(body), Snapshot)]
    return b"\n".join(found)
