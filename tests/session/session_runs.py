"""Runs a SessionRecorder over a golden case and compares as `golden/README.md` says: exactly, but for what Rust leaves random."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from otel_phi.session.model import Session
from otel_phi.session.recorder import SessionRecorder, SessionRecorderConfig

Json = Any


class Outcome(NamedTuple):
    """Is what a case leaves behind, in the words of the golden files."""

    sessions: list[Json]
    notes: list[str]
    hooks: list[str]
    drained: list[Session]
    recorder: SessionRecorder


def run(ops: Iterable[dict[str, Json]], flags: Iterable[str] = ()) -> Outcome:
    """Feeds events and obeys operations; a line of an event log counts as its event."""
    hooks: list[str] = []
    notes: list[str] = []
    drained: list[Session] = []
    recorder = _recorder(frozenset(flags), hooks)
    for op in ops:
        match op.get("op"):
            case "flush":
                recorder.flush()
            case "checkpoint":
                notes.append(f"checkpoint={recorder.checkpoint()}")
            case "drain":
                drained += (taken := recorder.drain_completed())
                notes.append(f"drained {json.dumps([[one.session_id, len(one.loops)] for one in taken])}")
            case "get":
                notes.append(_found(op["id"], recorder.get_session(op["id"])))
            case None:
                refused = _refused(recorder)
                recorder.on_event(op["event"] if "ordinal" in op else op)
                notes += ["PARSE ERROR"] * (_refused(recorder) - refused)
            case unknown:
                raise AssertionError(unknown)
    return Outcome([one.to_dict() for one in recorder.sessions()], notes, hooks, drained, recorder)


def _recorder(flags: frozenset[str], hooks: list[str]) -> SessionRecorder:
    def before(session: Session) -> bool:
        hooks.append(
            f"before_task {session.session_id} parent_spawn_ref={json.dumps(session.parent_spawn_ref is not None)}"
        )
        return True

    return SessionRecorder(
        SessionRecorderConfig(
            include_streaming_events="--streaming" in flags,
            capture_turn_requests="--capture" in flags,
            before_task=before,
            after_task=lambda session: hooks.append(f"after_task {session.session_id}"),
        )
    )


def _refused(recorder: SessionRecorder) -> int:
    return recorder.counts["undecodable"] + recorder.counts["unknown_type"]


def _found(session_id: str, session: Session | None) -> str:
    if session is None:
        return f"get {session_id} -> None"
    return f"get {session_id} -> Some({json.dumps([record.loop_id for record in session.loops])})"


def difference(found: Outcome, expected: dict[str, Json], *, shuffled: bool) -> str | None:
    """Returns the first difference as a path in the JSON, None where all is equal.

    Args:
        found: what our recorder left.
        expected: what phi-core's left.
        shuffled: for the random sets, where loops and hooks are stored sorted. Elsewhere ended loops keep their order, and only
            what `flush` does at once has none.
    """
    hooks = sorted if shuffled else _hooks_in_order
    return first_difference(
        {
            "sessions": ordered(found.sessions, shuffled=shuffled),
            "hooks": hooks(found.hooks),
            "notes": _notes(found.notes),
        },
        {
            "sessions": ordered(expected["sessions"], shuffled=shuffled),
            "hooks": hooks(expected["hooks"]),
            "notes": _notes(expected["notes"]),
        },
    )


def ordered(sessions: list[Json], *, shuffled: bool = False) -> list[Json]:
    """Sorts sessions by id, and of their loops those that `flush` aborted; all loops where `shuffled`."""
    found = []
    for session in sessions:
        loops = session["loops"]
        kept = [] if shuffled else [record for record in loops if record["status"] != "Aborted"]
        rest = sorted((record for record in loops if shuffled or record["status"] == "Aborted"), key=_text)
        found.append({**session, "loops": kept + rest})
    return sorted(found, key=lambda session: (session["session_id"], _text(session)))


def first_difference(ours: Json, theirs: Json, path: str = "$") -> str | None:
    """Returns where two JSON values first differ; numbers with a fraction are compared as 32-bit floats, types exactly."""
    match ours, theirs:
        case dict(), dict():
            for key in sorted(ours.keys() | theirs.keys()):
                if key not in ours or key not in theirs:
                    return f"{path}.{key}: only in {'phi-core' if key in theirs else 'ours'}"
                if (found := first_difference(ours[key], theirs[key], f"{path}.{key}")) is not None:
                    return found
            return None
        case list(), list():
            for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
                if (found := first_difference(one, other, f"{path}[{number}]")) is not None:
                    return found
            return None if len(ours) == len(theirs) else f"{path}: {len(ours)} items, phi-core has {len(theirs)}"
        case float(), float() if abs(ours) < 1e38 and abs(theirs) < 1e38:
            same = struct.pack("f", ours) == struct.pack("f", theirs)
        case _:
            same = type(ours) is type(theirs) and ours == theirs
    return None if same else f"{path}: {ours!r}, phi-core has {theirs!r}"


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _hooks_in_order(hooks: list[str]) -> list[str]:
    """Sorts only what one `flush` calls in a row."""
    groups = itertools.groupby(hooks, key=lambda hook: hook.startswith("after_task"))
    return [hook for after, group in groups for hook in (sorted(group) if after else group)]


def _notes(notes: list[str]) -> list[str]:
    return [_note(note) for note in notes]


def _note(note: str) -> str:
    if note.startswith("drained "):
        return f"drained {json.dumps(sorted(json.loads(note.removeprefix('drained '))))}"
    return "PARSE ERROR" if note.startswith("PARSE ERROR") else note
