"""The sessions that go through the real backends, printed by the real phi-core: golden data where it is, else the project's own."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import otel_phi
from otel_phi.mapping.options import options_for
from otel_phi.mapping.span import Span
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from tests import golden
from tests.e2e.trees import SERVICE

Scope = Literal["session", "loop"]

# Most live scenarios were run in one session, one after the other, and the event logs hold the sessions of the channel: sent to
# one backend they would be one trace.
_SESSION = re.compile(rb'"session_id":\s*"([^"]+)"')
# The loop of a judge that is a model: a UUID and nothing else. All other loop ids begin with their session's.
_BARE_LOOP = re.compile(rb'"loop_id":\s*"([0-9a-f-]{36})"')
_NAMESPACE = uuid.UUID("a3a4a0c7-6f5e-4f3c-9f63-0a1f7b8f5f0e")


def streams(folder: Path) -> list[Path]:
    """Writes every stream as a file of AgentEvent lines, as an agent's channel gave them, each with sessions of its own.

    Args:
        folder: where to.

    Returns:
        The files: the demo, the 34 live scenarios and the channel beside the event logs, where golden data is.
    """
    folder.mkdir(parents=True)
    found = [
        golden.DEMO,
        *sorted(golden.FOLDER.glob("live/*.events.jsonl")),
        *golden.FOLDER.glob("eventlog/channel.events.jsonl"),
    ]
    return [_own_session(path, folder / f"{path.name.partition('.')[0]}.jsonl") for path in found]


def cut_short(folder: Path) -> Path:
    """Writes the demo's stream as far as its first turn, a session of its own: its loop is aborted. Returns the file."""
    path = _own_session(golden.DEMO, folder / "cut.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: first_turn(lines)]))
    return path


def first_turn(lines: Sequence[bytes]) -> int:
    """Returns how many lines of a stream tell its first turn to the end."""
    return next(number for number, line in enumerate(lines, start=1) if b'"TurnEnd"' in line)


def event_logs(folder: Path) -> Path:
    """Copies event logs of phi-core 0.15 that hold a spawn into another session; returns their folder."""
    logs = golden.FOLDER / "eventlog" / "logs"
    return Path(shutil.copytree(logs if golden.present else golden.DEMO_LOGS, folder))


def with_other_ids(folder: Path, target: Path) -> Path:
    """Copies a folder of streams or event logs so that its sessions are others, told apart by the target's name.

    For backends that keep what they saw first: Phoenix knows a session in one project only.
    """
    target.mkdir(parents=True)
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    ids = {each for text in found.values() for pattern in (_SESSION, _BARE_LOOP) for each in pattern.findall(text)}
    any_of_them = re.compile(b"|".join(map(re.escape, sorted(ids))))

    def other(match: re.Match[bytes]) -> bytes:
        return str(uuid.uuid5(_NAMESPACE, f"{target.name} {match[0].decode()}")).encode()

    for name, text in found.items():
        (target / any_of_them.sub(other, name.encode()).decode()).write_bytes(any_of_them.sub(other, text))
    return target


def spans_of(paths: Iterable[Path], scope: Scope | None = "session", profile: str = "generic") -> list[Span]:
    """Returns the spans of files or folders read as one stream, as `otel_phi.spans` says them."""
    stored = Stored(tuple(paths), final=True)
    options = options_for(profile, service_name=SERVICE, trace_scope=scope)
    return list(otel_phi.spans(stored.events(), options, ahead=ahead_of(stored.starts)))


def _own_session(source: Path, target: Path) -> Path:
    text = source.read_bytes()
    for session in sorted(set(_SESSION.findall(text))):
        own = uuid.uuid5(_NAMESPACE, f"{target.name} {session.decode()}")
        text = text.replace(session, str(own).encode())
    target.write_bytes(text)
    return target
