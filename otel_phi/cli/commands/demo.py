"""`otel-phi demo`: a real session of phi-core, sent as real OTLP over loopback, shown as it arrived."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click
import msgspec

from otel_phi.cli import screen, words
from otel_phi.cli.commands.show import draw
from otel_phi.mapping.price_table import NO_PRICES
from otel_phi.mapping.span import Span
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored

STREAM = Path(__file__).parents[2] / "demo.jsonl"
_TRACE_URL = "http://localhost:16686/trace/{trace_id}"
_JAEGER = "docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger"


_EXAMPLES = """\b
Examples:
  otel-phi demo
  otel-phi --color always demo | less -R
"""


@click.command(short_help="See a session arrive over OTLP, without a collector.", epilog=_EXAMPLES)
def demo() -> None:
    """Send a bundled session to a collector inside this process and show what arrived.

    The session was printed by phi-core: turns, tools, an error, a sub-agent, a compaction, a parallel evaluation. Nothing
    leaves this machine, and nothing needs to be installed.

    Exit code: 0.
    """
    endpoint, arrived = _send()
    console = screen.out()
    screen.print_lines(console, draw(list(arrived), console.width))
    stream = _shortest(STREAM)
    for line in (
        "",
        f"{words.many(len(arrived), 'span')} arrived as OTLP/HTTP at {endpoint}, a receiver in this process.",
        "Contents are on here: what is said above is the demo's own. Elsewhere they stay out, unless you ask: --content.",
        "Next, send it to a collector of your own; this is one, with a page at http://localhost:16686:",
        f"  {_JAEGER}",
        f"  {_command()} export {stream} --trace-url '{_TRACE_URL}'",
    ):
        screen.say(line)


def _command() -> str:
    """Returns this command as it can be typed again: with its path, where it is not on PATH."""
    own = Path(sys.argv[0])
    return str(_shortest(own)) if own.name == "otel-phi" and shutil.which("otel-phi") is None else "otel-phi"


def _send() -> tuple[str, tuple[Span, ...]]:
    from otel_phi.bridge import Bridge
    from otel_phi.config import resolve
    from otel_phi.testing import Receiver

    stored = Stored([STREAM], final=True)
    with Receiver() as receiver:
        # What the environment says of a real collector must not reach the demo's.
        config = resolve(
            endpoint=receiver.endpoint,
            protocol="http/protobuf",
            exporter="otlp",
            sampler="always_on",
            profile="generic",
            service_name="otel-phi-demo",
            give_up_after_s=5.0,
            capture_content=True,
        )
        config = msgspec.structs.replace(config, headers={}, proxy=None, disabled=False, prices=NO_PRICES)
        with Bridge(config, ahead=ahead_of(stored.starts)) as bridge:
            bridge.feed(stored.events())
        arrived = receiver.wait_for(bridge.stats().delivery.acknowledged)
        return receiver.endpoint, arrived


def _shortest(path: Path) -> str:
    """Returns the shorter of a path's two forms: as it is, or seen from here."""
    try:
        return min(str(path), os.path.relpath(path), key=len)
    except ValueError:  # another drive, on Windows
        return str(path)
