"""A first trace: an agent's events from a file, through a Bridge, to a collector.

    python examples/first_trace.py                        the stream that comes with otel-phi
    python examples/first_trace.py logs/session.jsonl     one of your own

Where it goes, OTEL_EXPORTER_OTLP_ENDPOINT says; http://localhost:4318 without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import otel_phi

BUNDLED = Path(otel_phi.__file__).parent / "demo.jsonl"


def main(path: Path) -> None:
    """Sends the sessions of a file and prints where their traces are."""
    traces: dict[int, None] = {}
    with otel_phi.Bridge(
        service_name="first-trace",
        give_up_after_s=5.0,
        on_span=lambda span: traces.setdefault(span.trace_id),
    ) as bridge:
        bridge.feed(otel_phi.read_events(path))
    sent = bridge.stats().delivery
    print(f"{sent.acknowledged} spans accepted by {bridge.config.display_endpoint}")
    for trace_id in traces:
        print(f"trace {trace_id:032x}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED)
    except otel_phi.errors.OtelPhiError as error:
        sys.exit(f"first_trace: {error}")
