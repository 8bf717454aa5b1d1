"""otel-phi turns the work of an AI agent into OpenTelemetry traces and sends them over OTLP to any collector.

    spans(events)        events to finished spans, a pure function
    read_events(path)    events of a JSONL file or of phi-core's event log
    install(...)         the hook: a running agent's events to a collector
    loop(...), @agent    a run of an agent of one's own, for the hook; in it loop.model_call(), loop.tool(...) and @tool
    Bridge(...)          events to spans to a collector
    resolve(...)         a configuration from keywords and environment
    SessionRecorder()    events to phi-core's Session tree; save_session, load_session for its files

`otel_phi.events` holds the events, `otel_phi.errors` the errors, `otel_phi.testing` a receiver for your own tests. Importing
this package loads nothing but names: each part is loaded when it is first used, the OpenTelemetry SDK and grpc last of all.
"""

from __future__ import annotations

from otel_phi.version import __version__

TYPE_CHECKING = False  # as `typing` has it, whose import takes as long as all else here
if TYPE_CHECKING:
    from typing import Any

    from otel_phi.bridge import Bridge, BridgeStats
    from otel_phi.config import Config, resolve
    from otel_phi.front import Loop, ModelCall, Tool, agent, current_loop, loop, model_call, tool
    from otel_phi.hook import Hook, HookStats, install
    from otel_phi.mapping.options import MappingOptions
    from otel_phi.mapping.span import Span, SpanEvent, SpanKind, SpanLink, StatusCode
    from otel_phi.pipeline import spans
    from otel_phi.session.files import load_session, save_session
    from otel_phi.session.model import LoopRecord, Session, Turn
    from otel_phi.session.parts import (
        ChildLoopRef,
        CompactedSection,
        CompactionBlock,
        Explicit,
        FirstLoop,
        InactivityTimeout,
        LoopEvent,
        LoopStatus,
        ParallelGroupRecord,
        SessionFormation,
        SessionScope,
        SpawnRef,
        TurnRange,
    )
    from otel_phi.session.recorder import SessionRecorder, SessionRecorderConfig
    from otel_phi.sources.reader import BadLine, read_events

_MODEL, _PARTS = "otel_phi.session.model", "otel_phi.session.parts"
_FRONT = "otel_phi.front"
_RECORDER, _FILES = "otel_phi.session.recorder", "otel_phi.session.files"
_LAZY = {
    "BadLine": "otel_phi.sources.reader",
    "Bridge": "otel_phi.bridge",
    "BridgeStats": "otel_phi.bridge",
    "ChildLoopRef": _PARTS,
    "CompactedSection": _PARTS,
    "CompactionBlock": _PARTS,
    "Config": "otel_phi.config",
    "Explicit": _PARTS,
    "FirstLoop": _PARTS,
    "Hook": "otel_phi.hook",
    "HookStats": "otel_phi.hook",
    "InactivityTimeout": _PARTS,
    "LoopEvent": _PARTS,
    "Loop": _FRONT,
    "LoopRecord": _MODEL,
    "LoopStatus": _PARTS,
    "MappingOptions": "otel_phi.mapping.options",
    "ModelCall": _FRONT,
    "ParallelGroupRecord": _PARTS,
    "Session": _MODEL,
    "SessionFormation": _PARTS,
    "SessionRecorder": _RECORDER,
    "SessionRecorderConfig": _RECORDER,
    "SessionScope": _PARTS,
    "Span": "otel_phi.mapping.span",
    "SpanEvent": "otel_phi.mapping.span",
    "SpanKind": "otel_phi.mapping.span",
    "SpanLink": "otel_phi.mapping.span",
    "SpawnRef": _PARTS,
    "StatusCode": "otel_phi.mapping.span",
    "Tool": _FRONT,
    "Turn": _MODEL,
    "TurnRange": _PARTS,
    "agent": _FRONT,
    "current_loop": _FRONT,
    "install": "otel_phi.hook",
    "load_session": _FILES,
    "loop": _FRONT,
    "model_call": _FRONT,
    "read_events": "otel_phi.sources.reader",
    "resolve": "otel_phi.config",
    "save_session": _FILES,
    "spans": "otel_phi.pipeline",
    "tool": _FRONT,
}

__all__ = [
    "BadLine",
    "Bridge",
    "BridgeStats",
    "ChildLoopRef",
    "CompactedSection",
    "CompactionBlock",
    "Config",
    "Explicit",
    "FirstLoop",
    "Hook",
    "HookStats",
    "InactivityTimeout",
    "Loop",
    "LoopEvent",
    "LoopRecord",
    "LoopStatus",
    "MappingOptions",
    "ModelCall",
    "ParallelGroupRecord",
    "Session",
    "SessionFormation",
    "SessionRecorder",
    "SessionRecorderConfig",
    "SessionScope",
    "Span",
    "SpanEvent",
    "SpanKind",
    "SpanLink",
    "SpawnRef",
    "StatusCode",
    "Tool",
    "Turn",
    "TurnRange",
    "__version__",
    "agent",
    "current_loop",
    "install",
    "load_session",
    "loop",
    "model_call",
    "read_events",
    "resolve",
    "save_session",
    "spans",
    "tool",
]


_MODULES = frozenset({"errors", "events", "testing"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        import importlib

        return importlib.import_module(f"otel_phi.{name}")
    if name in _LAZY:
        import importlib

        found = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = found  # the next one who asks does not come here: `otel_phi.loop` is asked for all the time
        return found
    raise AttributeError(f"module 'otel_phi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
