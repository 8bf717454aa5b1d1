"""One stream, two readers: a SessionRecorder saves the sessions, a Bridge beside it exports their traces.

    python examples/save_and_trace.py                              the stream that comes with otel-phi, into ./sessions
    python examples/save_and_trace.py logs/session.jsonl kept      one of your own, into ./kept

Each session becomes one file, as phi-core's own `save_session` lays it out; phi-core can load it. The traces go where
OTEL_EXPORTER_OTLP_ENDPOINT says; http://localhost:4318 without it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import otel_phi
from otel_phi.events import AgentEvent

BUNDLED = Path(otel_phi.__file__).parent / "demo.jsonl"


def recorded(events: Iterable[AgentEvent], recorder: otel_phi.SessionRecorder) -> Iterator[AgentEvent]:
    """Shows each event to the recorder on its way to the bridge."""
    for event in events:
        recorder.on_event(event)
        yield event


def main(path: Path, folder: Path) -> None:
    """Saves and exports the sessions of a file, and prints where they are."""
    recorder = otel_phi.SessionRecorder()
    try:
        with otel_phi.Bridge(service_name="save-and-trace", give_up_after_s=5.0) as bridge:
            bridge.feed(recorded(otel_phi.read_events(path), recorder))
        print(f"{bridge.stats().delivery.acknowledged} spans accepted by {bridge.config.display_endpoint}")
    finally:  # whatever became of the traces, the sessions are kept
        recorder.flush()
        for session in recorder.drain_completed():
            tokens = session.total_usage()
            print(
                f"{otel_phi.save_session(session, folder)}: {len(session.loops)} loops, {tokens.input} tokens in, {tokens.output} out"
            )


if __name__ == "__main__":
    try:
        main(
            Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED,
            Path(sys.argv[2]) if len(sys.argv) > 2 else Path("sessions"),
        )
    except otel_phi.errors.OtelPhiError as error:
        sys.exit(f"save_and_trace: {error}")
