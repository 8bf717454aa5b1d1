"""Every metric, in one table: name, unit, kind, buckets.

Names under `gen_ai.` are those of 1.41.1, https://github.com/open-telemetry/semantic-conventions/blob/v1.41.1/docs/gen-ai/gen-ai-metrics.md;
names under `phi.` and `otel_phi.` are ours.
"""

from __future__ import annotations

from typing import Literal

import msgspec

OPERATION_DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105  # no password
AGENT_DURATION = "gen_ai.invoke_agent.duration"
INFERENCE_CALLS = "gen_ai.invoke_agent.inference_calls"
TOOL_CALLS = "gen_ai.invoke_agent.tool_calls"
TOOL_DURATION = "gen_ai.execute_tool.duration"
CACHE_READ = "phi.usage.cache_read"
CACHE_WRITE = "phi.usage.cache_write"
REASONING = "phi.usage.reasoning"
SESSIONS = "phi.session.count"
COST = "phi.cost.usd"
SPANS = "otel_phi.spans"
OUTBOX_BYTES = "otel_phi.outbox.bytes"
DELIVERY_DURATION = "otel_phi.delivery.duration"

TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105  # no password
OUTCOME = "outcome"

Kind = Literal["histogram", "counter", "observable_counter", "observable_gauge"]
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


class Instrument(msgspec.Struct, frozen=True):
    """An instrument is one metric.

    Attributes:
        name: its name.
        kind: of what kind it is.
        unit: in UCUM's words.
        description: what it counts.
        buckets: upper bounds of a histogram's.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    buckets: tuple[float, ...] = ()


TABLE: tuple[Instrument, ...] = (
    Instrument(OPERATION_DURATION, "histogram", "s", "Duration of model calls.", _SECONDS),
    Instrument(
        TOKEN_USAGE,
        "histogram",
        "{token}",
        "Tokens of a model call; cached ones are input, reasoning is output.",
        tuple([float(4**power) for power in range(14)]),
    ),
    Instrument(
        AGENT_DURATION,
        "histogram",
        "s",
        "Duration of an agent's loops.",
        tuple([0.1 * 2**power for power in range(13)]),
    ),
    Instrument(
        INFERENCE_CALLS,
        "histogram",
        "{inference_call}",
        "Model calls of a loop.",
        tuple([float(2**power) for power in range(8)]),
    ),
    Instrument(
        TOOL_CALLS,
        "histogram",
        "{tool_call}",
        "Tools executed in a loop.",
        tuple([float(2**power) for power in range(8)]),
    ),
    Instrument(TOOL_DURATION, "histogram", "s", "Duration of tool executions.", _SECONDS),
    Instrument(CACHE_READ, "counter", "{token}", "Input tokens that were read from a cache."),
    Instrument(CACHE_WRITE, "counter", "{token}", "Input tokens that were written to a cache."),
    Instrument(REASONING, "counter", "{token}", "Output tokens that are reasoning."),
    Instrument(SESSIONS, "counter", "{session}", "Sessions that this process saw begin."),
    Instrument(COST, "counter", "{USD}", "What model calls cost, where that is known."),
    Instrument(SPANS, "observable_counter", "{span}", "Spans by what became of them."),
    Instrument(OUTBOX_BYTES, "observable_gauge", "By", "Bytes of this process's journal on the disk."),
    Instrument(DELIVERY_DURATION, "histogram", "s", "Duration of requests to the collector.", _SECONDS),
)
BY_NAME = {one.name: one for one in TABLE}
