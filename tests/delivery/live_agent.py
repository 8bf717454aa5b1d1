"""An agent's process for the tests of live delivery: `python -m tests.delivery.live_agent ENDPOINT STATE_DIR WHAT ...`.

It says on stdout, line by line, what is committed, so that a test knows what must arrive however the process ends.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

from otel_phi.delivery.live import LiveDelivery, Opened

import otel_phi
from otel_phi.delivery.exporters.open import resource_of
from otel_phi.mapping.span import Span, SpanKind, StatusCode
from otel_phi.testing import Receiver

SESSION = "6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a01"
TRACE = int(SESSION.replace("-", ""), 16)
START = 1_700_000_000_000_000_000


def config_for(endpoint: str, state_dir: Path | str, **options: Any) -> otel_phi.Config:
    """Resolves a configuration of tests."""
    return otel_phi.resolve(endpoint=endpoint, state_dir=str(state_dir), service_name="tests", **options)


def delivery_for(endpoint: str, state_dir: Path | str, **options: Any) -> LiveDelivery:
    """Opens a live delivery."""
    config = config_for(endpoint, state_dir)
    return LiveDelivery(config, resource_of(config), **options)


def gone() -> str:
    """Returns the endpoint of a collector that is down."""
    with Receiver() as receiver:
        return receiver.endpoint


def work(number: int, parent: int = 0, name: str = "turn", text: str = "") -> Span:
    """Returns a finished span."""
    attributes = (("session.id", SESSION), ("text", text))
    return Span(name, TRACE, number, parent, SpanKind.INTERNAL, START + number, START + number + 5, attributes)


def opened(number: int, parent: int = 0, name: str = "invoke_agent") -> Opened:
    """Returns what is open, as it would leave."""
    attributes = (("session.id", SESSION), ("error.type", "process_lost"))
    start = START + number
    kind, status = SpanKind.INTERNAL, StatusCode.ERROR
    return Opened(Span(name, TRACE, number, parent, kind, start, start + 1, attributes, status=status))


def say(*words: object) -> None:
    """Writes a line at once, by the system call: what a killed process said was said."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    """Does what the arguments say."""
    endpoint, state_dir, what, *rest = sys.argv[1:]
    delivery = delivery_for(endpoint, state_dir)
    if what == "for-ever":
        for number in itertools.count(int(rest[0])):
            delivery.commit([work(number)])
            # On a busy disk a span is deferred, and counted so: that one is not promised to survive.
            if delivery.stats().deferred == 0:
                say(number)
    elif what == "commit":
        first, count = map(int, rest)
        for number in range(first, first + count):
            delivery.commit([work(number)])
        say("committed", delivery.stats().deferred)
        os._exit(0)
    elif what == "root":
        say(delivery.claim_root(work(int(rest[0]), name="invoke_workflow")))
        if "die" in rest:
            os._exit(0)
        say(delivery.shutdown(60 if "late" in rest else 5), delivery.stats().balanced())
        if "late" in rest:
            say(delivery.stats().accepted, delivery.stats().acknowledged, delivery.stats().queued)
    elif what == "adopt":
        say(delivery.flush(float(rest[0])), delivery.stats().adopted, delivery.stats().balanced())
        delivery.shutdown(1)
    elif what == "wait":
        delivery.commit([work(int(rest[0]))])
        say("ready")
        time.sleep(60)


if __name__ == "__main__":
    main()
