"""Attribute tables: pairs in, pairs out, None dropped and long strings cut in this one place."""

from __future__ import annotations

from collections.abc import Iterable

from otel_phi.mapping import semconv as s
from otel_phi.mapping.json_cut import cut_json
from otel_phi.mapping.span import Attributes, AttributeValue
from otel_phi.wire.costs import Cost
from otel_phi.wire.messages import Usage

Pair = tuple[str, AttributeValue | None]
CUT_MARK = "…[cut]"
# Names are low-cardinality words; a tool that calls itself a novel is cut.
MAX_NAME = 128


def cut(text: str, max_bytes: int) -> str:
    """Cuts a text to a number of UTF-8 bytes, never within a character, and marks the cut."""
    if len(text) * 4 <= max_bytes:
        return text
    # A lone surrogate has three bytes on the wire, where U+FFFD stands for it.
    if len(text.encode("utf-8", "surrogatepass")) <= max_bytes:
        return text
    whole = text.encode("utf-8", "replace")
    mark = CUT_MARK.encode()[: max(max_bytes, 0)]
    room = max(max_bytes - len(mark), 0)
    return whole[:room].decode("utf-8", "ignore") + mark.decode("utf-8", "ignore")


def table(max_bytes: int, pairs: Iterable[Pair]) -> Attributes:
    """Returns the pairs that have a value, each text cut to `max_bytes`."""
    surely_short = max_bytes >> 2  # a character has four bytes at most
    return tuple(
        [
            (pair[0], _cut_value(value, max_bytes))
            if value.__class__ is tuple or (value.__class__ is str and len(value) > surely_short)
            else pair  # type: ignore[misc]  # None is left out below
            for pair in pairs
            if (value := pair[1]) is not None
        ]
    )


def present(pairs: Iterable[Pair]) -> Attributes:
    """Returns the pairs that have a value, where all are numbers or words of ours: what needs no cut."""
    return tuple([pair for pair in pairs if pair[1] is not None])  # type: ignore[misc]  # None is left out


def _cut_value(value: AttributeValue, max_bytes: int) -> AttributeValue:
    if isinstance(value, str):
        shorter = cut(value, max_bytes)
        return shorter if shorter is value else cut_json(value, max_bytes, cut, CUT_MARK) or shorter
    return tuple([cut(text, max_bytes) for text in value]) if isinstance(value, tuple) else value


def name(operation: str, subject: str | None) -> str:
    """Returns a span's name: the operation, and its low-cardinality subject if there is one."""
    return f"{operation} {subject[:MAX_NAME]}" if subject else operation


def cost_pairs(cost: Cost | None) -> tuple[Pair, ...]:
    """Returns what is said of a cost; nothing where none is known."""
    if cost is None:
        return ()
    return ((s.COST_USD, cost.usd), (s.COST_SOURCE, cost.source), (s.COST_PARTIAL, cost.partial or None))


def raw_usage(usage: Usage) -> tuple[Pair, ...]:
    """Returns a usage as phi-core wrote it."""
    return (
        (s.RAW_INPUT, usage.input),
        (s.RAW_OUTPUT, usage.output),
        (s.RAW_REASONING, usage.reasoning or None),
        (s.RAW_CACHE_READ, usage.cache_read or None),
        (s.RAW_CACHE_WRITE, usage.cache_write or None),
        (s.RAW_TOTAL, usage.total_tokens or None),
    )
