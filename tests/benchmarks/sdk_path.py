"""The way without otel-phi: `json.loads`, spans of the OpenTelemetry SDK, its encoder. The same spans come out."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanProcessor
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

from otel_phi.mapping.span import Span

BATCH = 512  # BatchSpanProcessor's own


class Encoding(SpanProcessor):
    """Encodes ended spans in batches as the exporter would, and drops the bytes."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.bytes = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)
        if len(self.spans) >= BATCH:
            self.flush()

    def flush(self) -> None:
        self.bytes += len(encode_spans(self.spans).SerializeToString())
        self.spans = []


def tracer() -> tuple[Tracer, Encoding]:
    """Returns a tracer and what encodes its spans."""
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}), shutdown_on_exit=False)
    encoding = Encoding()
    provider.add_span_processor(encoding)
    return provider.get_tracer("bench"), encoding


def replay(tracer: Tracer, spans: Sequence[Span]) -> None:
    """Makes given spans by the SDK: start, attributes, events, end."""
    for span in spans:
        made = tracer.start_span(span.name, kind=SpanKind.INTERNAL, attributes=dict(span.attributes), start_time=span.start_ns)
        for event in span.events:
            made.add_event(event.name, dict(event.attributes), event.time_ns)
        made.end(span.end_ns)


def _ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1e9)


class JsonAndSdk:
    """Maps JSON lines to SDK spans the straightforward way: loop, turns, chats, tools."""

    def __init__(self) -> None:
        self.tracer, self.encoding = tracer()
        self.loop: Any = None
        self.turn: Any = None
        self.asked = 0
        self.answer: dict[str, Any] = {}
        self.tool: dict[str, Any] = {}

    def run(self, lines: Iterable[bytes]) -> int:
        """Returns the number of bytes encoded."""
        for line in lines:
            event = json.loads(line)
            arm = getattr(self, "on_" + event["type"], None)
            if arm is not None:
                arm(event)
        self.encoding.flush()
        return self.encoding.bytes

    def _start(self, name: str, parent: Any, start_ns: int, **attributes: Any) -> Any:
        common = {"gen_ai.conversation.id": "s", "session.id": "s", "gen_ai.agent.name": "bench", "phi.loop.id": "l"}
        context = set_span_in_context(parent) if parent is not None else None
        return self.tracer.start_span(name, context, attributes={**common, **attributes}, start_time=start_ns)

    def on_AgentStart(self, event: dict[str, Any]) -> None:  # noqa: N802
        config = event["config_snapshot"]
        self.loop = self._start("invoke_agent", None, _ns(event["timestamp"]), **{"gen_ai.request.model": config["model"]})

    def on_TurnStart(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.turn = self._start("turn", self.loop, _ns(event["timestamp"]), **{"phi.turn.index": event["turn_index"]})

    def on_TurnRequest(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.asked = _ns(event["timestamp"])

    def on_MessageEnd(self, event: dict[str, Any]) -> None:  # noqa: N802
        message = event["message"]
        if message["role"] == "assistant":
            self.answer = message
            self._chat(message)
        elif message["role"] == "toolResult":
            self._tool(message)

    def _chat(self, message: dict[str, Any]) -> None:
        usage = message["usage"]
        chat = self._start("chat", self.turn, self.asked, **{
            "gen_ai.provider.name": "anthropic", "gen_ai.request.model": message["model"], "gen_ai.request.stream": True,
            "gen_ai.response.finish_reasons": [message["stopReason"]], "phi.stop_reason": message["stopReason"],
            "gen_ai.usage.input_tokens": usage["input"] + usage["cache_read"] + usage["cache_write"],
            "gen_ai.usage.output_tokens": usage["output"], "gen_ai.usage.cache_read.input_tokens": usage["cache_read"],
            "gen_ai.usage.cache_creation.input_tokens": usage["cache_write"], "phi.usage.input": usage["input"],
            "phi.usage.output": usage["output"], "phi.usage.cache_read": usage["cache_read"]})  # fmt: skip
        chat.end(message["timestamp"] * 1_000_000)

    def _tool(self, message: dict[str, Any]) -> None:
        names = {"gen_ai.tool.name": message["toolName"], "gen_ai.tool.call.id": message["toolCallId"]}
        tool = self._start("execute_tool", self.turn, self.answer["timestamp"] * 1_000_000, **names)
        tool.end(message["timestamp"] * 1_000_000)
        self.turn.add_event("phi.tool.execution", names, message["timestamp"] * 1_000_000)

    def on_TurnEnd(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.turn.end(_ns(event["timestamp"]))

    def on_AgentEnd(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.loop.end(_ns(event["timestamp"]))
