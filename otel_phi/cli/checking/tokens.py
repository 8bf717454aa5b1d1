"""Counts of tokens that are missing, impossible or do not agree. Pure: values in, words out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from otel_phi.wire.messages import AssistantMessage, Usage
from otel_phi.wire.usage import add_usage

_FAILED = frozenset({"error", "aborted", "cancelled"})  # such a call may have counted nothing


def answer_findings(message: AssistantMessage) -> Iterator[tuple[str, str]]:
    """Yields what is odd about an answer's own counts: rule and words."""
    usage = message.usage
    counts = _counts(usage)
    if not any(counts) and not (message.stop_reason.lower() in _FAILED or message.error_message):
        yield "usage-missing", f"answers of {message.model or 'a model without a name'}"
    if min(counts) < 0:
        yield "usage-negative", f"answers of {message.model or 'a model without a name'}"
    elif 0 < usage.total_tokens < usage.input + usage.output:
        yield "usage-total", "an answer's total is less than its input and output"


def turn_findings(counted: Usage, answers: Sequence[Usage]) -> Iterator[tuple[str, str]]:
    """Yields where a turn's counts are not those of its answers, neither of all nor of the last; a turn that tells none is no trouble."""
    if not answers or not any(_counts(counted)):
        return
    if _main(counted) not in {_main(answers[-1]), _main(summed(answers))}:
        yield "usage-total", "a turn's tokens are not its answer's"


def loop_findings(counted: Usage, turns: Sequence[Usage]) -> Iterator[tuple[str, str]]:
    """Yields where a loop's counts are not the sum of its turns'; a loop that tells none is no trouble."""
    if turns and any(_counts(counted)) and _main(counted) != _main(summed(turns)):
        yield "usage-total", "a loop's tokens are not the sum of its turns'"


def summed(usages: Sequence[Usage]) -> Usage:
    """Returns the sum of usages."""
    total = Usage()
    for usage in usages:
        total = add_usage(total, usage)
    return total


def _main(usage: Usage) -> tuple[int, int]:
    return usage.input, usage.output  # the others are filled in by some providers alone


def _counts(usage: Usage) -> tuple[int, ...]:
    return (usage.input, usage.output, usage.reasoning, usage.cache_read, usage.cache_write, usage.total_tokens)
