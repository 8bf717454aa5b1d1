"""A recorder that was given events, and what is in it."""

from __future__ import annotations

from otel_phi.events import AgentEvent
from otel_phi.session.model import LoopRecord, Session
from otel_phi.session.recorder import SessionRecorder


def fed(*events: AgentEvent, recorder: SessionRecorder | None = None) -> SessionRecorder:
    recorder = recorder or SessionRecorder()
    for event in events:
        recorder.on_event(event)
    return recorder


def only_session(recorder: SessionRecorder) -> Session:
    (session,) = recorder.sessions()
    return session


def only_loop(recorder: SessionRecorder) -> LoopRecord:
    (record,) = only_session(recorder).loops
    return record
