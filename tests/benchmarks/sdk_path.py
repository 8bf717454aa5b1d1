"""The way without otel-phi: `json.loads`, spans of the OpenTelemetry SDK, its encoder. The same spans come out."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
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
        made = tracer.start_span(
            span.name, kind=SpanKind.INTERNAL, attributes=dict(span.attributes), start_time=span.start_ns
        )
        for event in span.events:
            made.add_event(event.name, dict(event.attributes), event.time_ns)
        made.end(span.end_ns)


def _ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1e9)


class JsonAndSdk:
    """Maps JSON lines to SDK spans the straightforward way: loop, turns, chats, tools."""

    def __init__(self) -> None:
        self.tracer, self.encoding = tracer()
        self.session = self.loop_id = ""
        self.loop: Any = None
        self.turn: Any = None
        self.asked = self.index = self.messages = self.tools = 0
        self.answer: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.payload: dict[str, Any] = {}

    def run(self, lines: Iterable[bytes]) -> int:
        """Returns the number of bytes encoded."""
        for line in lines:
            event = json.loads(line)
            arm = getattr(self, "on_" + event["type"], None)
            if arm is not None:
                arm(event)
        self.encoding.flush()
        return self.encoding.bytes

    def _start(self, name: str, operation: str, kind: str, parent: Any, start_ns: int, more: dict[str, Any]) -> Any:
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.conversation.id": self.session,
            "session.id": self.session,
            "gen_ai.agent.name": "bench",
            "openinference.span.kind": kind,
            "phi.loop.id": self.loop_id,
            **more,
        }
        context = set_span_in_context(parent) if parent is not None else None
        return self.tracer.start_span(name, context, attributes=attributes, start_time=start_ns)

    def on_AgentStart(self, event: dict[str, Any]) -> None:  # noqa: N802
        config = event["config_snapshot"]
        self.session, self.loop_id, self.config = event["session_id"], event["loop_id"], config
        more = {
            "phi.agent.id": event["agent_id"],
            "phi.loop.continuation_kind": event["continuation_kind"].lower(),
            "gen_ai.provider.name": config["provider"],
            "gen_ai.request.model": config["model"],
            "gen_ai.request.max_tokens": config["max_tokens"],
            "phi.config.id": config["config_id"],
            "phi.model.api": config["api"],
        }
        self.loop = self._start("invoke_agent", "invoke_agent", "AGENT", None, _ns(event["timestamp"]), more)

    def on_TurnStart(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.index = event["turn_index"]
        more = {"phi.turn.index": self.index, "phi.turn.triggered_by": event["triggered_by"].lower()}
        self.turn = self._start("turn", "agent_step", "CHAIN", self.loop, _ns(event["timestamp"]), more)
        self.messages = self.tools = 0

    def on_TurnRequest(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.asked, self.payload = _ns(event["timestamp"]), event["payload"]

    def on_MessageEnd(self, event: dict[str, Any]) -> None:  # noqa: N802
        message = event["message"]
        self.messages += 1
        if message["role"] == "assistant":
            self.answer = message
            self._chat(message)
        elif message["role"] == "toolResult":
            self._tool(message)

    def _chat(self, message: dict[str, Any]) -> None:
        usage, payload = message["usage"], self.payload
        more = {
            "phi.turn.index": self.index,
            "gen_ai.provider.name": self.config["provider"],
            "gen_ai.request.model": payload["model_id"],
            "gen_ai.request.max_tokens": payload["max_tokens"],
            "gen_ai.request.temperature": payload["temperature"],
            "gen_ai.request.stream": True,
            "server.address": "api.anthropic.com",
            "server.port": 443,
            "gen_ai.response.finish_reasons": [message["stopReason"]],
            "phi.stop_reason": message["stopReason"],
            "gen_ai.usage.input_tokens": usage["input"] + usage["cache_read"] + usage["cache_write"],
            "gen_ai.usage.output_tokens": usage["output"],
            "gen_ai.usage.cache_read.input_tokens": usage["cache_read"],
            "gen_ai.usage.cache_creation.input_tokens": usage["cache_write"],
            "phi.usage.input": usage["input"],
            "phi.usage.output": usage["output"],
            "phi.usage.cache_read": usage["cache_read"],
            "phi.usage.cache_write": usage["cache_write"],
            "phi.usage.input_mode": "exclusive",
        }
        chat = self._start("chat " + payload["model_id"], "chat", "LLM", self.turn, self.asked, more)
        chat.end(message["timestamp"] * 1_000_000)

    def _tool(self, message: dict[str, Any]) -> None:
        names = {
            "gen_ai.tool.name": message["toolName"],
            "gen_ai.tool.call.id": message["toolCallId"],
            "phi.tool.outcome": "error" if message["isError"] else "ok",
        }
        started, ended = self.answer["timestamp"] * 1_000_000, message["timestamp"] * 1_000_000
        more = {"phi.turn.index": self.index, "gen_ai.tool.type": "function", **names}
        tool = self._start("execute_tool " + message["toolName"], "execute_tool", "TOOL", self.turn, started, more)
        tool.end(ended)
        self.turn.add_event("phi.tool.execution", {**names, "phi.tool.duration_ms": (ended - started) / 1e6}, ended)
        self.tools += 1

    def on_TurnEnd(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.turn.set_attributes(
            {
                "phi.turn.tool_call_count": self.tools,
                "phi.turn.message_count": self.messages,
                "phi.stop_reason": event["message"]["stopReason"],
            }
        )
        self.turn.end(_ns(event["timestamp"]))

    def on_AgentEnd(self, event: dict[str, Any]) -> None:  # noqa: N802
        self.loop.end(_ns(event["timestamp"]))
