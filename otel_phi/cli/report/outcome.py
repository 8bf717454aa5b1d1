"""How a delivery ended: the words for stderr and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from otel_phi.cli import words
from otel_phi.cli.exit_codes import DELIVERED, REJECTED
from otel_phi.cli.settings import destination

if TYPE_CHECKING:
    from otel_phi.bridge import Delivery
    from otel_phi.cli.outbox.letters import Letter
    from otel_phi.config import Config
    from otel_phi.delivery.sending.stats import DeadLetter, LiveStats, Stats

_LETTERS_SHOWN = 5
_SAYS_THE_FIX = ("--protocol ", "append /v1/traces", "stands there twice")  # an exporter that saw what was wrong
_REASONS = {
    "buffer_full": "dropped, because more waited for the collector than may wait",
    "sampled_out": "left out by sampling",
    "sent_before": "sent by an earlier run",
    "outbox_full": "dropped, the oldest first: the outbox holds more than it may",
    "too_old": "dropped, being older than 7 days",
    "damaged": "lost: their file is damaged and set aside",
    "purged": "purged meanwhile",
}
_ON_PURPOSE = frozenset({"sampled_out", "sent_before", "purged", "sdk_disabled", "exporter_none"})


def exit_code(stats: Stats | LiveStats) -> int:
    """Returns the exit code of a delivery that came to its end."""
    lost = any(reason not in _ON_PURPOSE for reason, _ in stats.dropped)
    return REJECTED if stats.rejected or stats.dead or lost else DELIVERED


def advice(trouble: str, config: Config) -> str:
    """Returns where the trouble is and what to do about it; "" where its own words say so."""
    if config.file is not None or any(words in trouble for words in _SAYS_THE_FIX):
        return ""
    where = config.display_endpoint
    root = urlunsplit(urlsplit(where)._replace(path="", query="", fragment=""))
    if "refused" in trouble or "getaddrinfo" in trouble or ("name" in trouble.lower() and "resol" in trouble):
        return f"; is a collector running at {root}? name another with --endpoint"
    if "404" in trouble or "UNIMPLEMENTED" in trouble:
        port = 4317 if config.protocol == "grpc" else 4318
        return f"; {where} does not take traces: collectors usually do at http://HOST:{port}, give that as --endpoint"
    if "401" in trouble or "403" in trouble or "UNAUTHENTICATED" in trouble:
        return f"; {where} wants credentials: give them as --header KEY=VALUE"
    return f"; the endpoint is {where}"


def delivery_sentences(delivery: Delivery, config: Config) -> Iterator[str]:
    """Yields what became of the spans at one exporter of a bridge, one line each."""
    progress = delivery.progress
    target = destination(config, delivery.destination)
    yield from sentences(progress.stats, target, progress.rejection, delivery.dead_letters)


def sentences(
    stats: Stats | LiveStats, target: str, rejection: str, letters: Iterable[DeadLetter | Letter]
) -> Iterator[str]:
    """Yields what is to be said of the spans that a delivery has settled, one line each."""
    yield f"{words.many(stats.acknowledged, 'span')} {target}"
    for reason, number in stats.dropped:
        yield f"{words.many(number, 'span')} {_REASONS.get(reason, reason.replace('_', ' '))}"
    if stats.rejected:
        yield f"{words.many(stats.rejected, 'span')} rejected: {rejection}"
    if stats.dead:
        yield f"{words.many(stats.dead, 'span')} refused for good:"
        for letter in islice(letters, _LETTERS_SHOWN):
            head = f"{letter.name}, " if letter.name else ""
            yield f"  {head}trace {letter.trace_id:032x}, span {letter.span_id:016x}: {letter.reason}"
