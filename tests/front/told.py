"""What the front told the hook, and how it reads as a trace."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from otel_phi.events import AgentEvent, MessageEnd, ToolExecutionEnd, decode_event, encode_event
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.tree import render_tree
from tests.laws import Run, as_bytes, role

OPTIONS = [
    MappingOptions(service_name="test"),
    MappingOptions(service_name="test", loop_layout="flat", tool_spans=False),
    MappingOptions(service_name="test", trace_scope="loop"),
]
_TIMES = re.compile(r"  \+[\d.]+m?s? [\d.]+(?:ns|ms|s|us|µs)|duration_ms=[\d.]+ ?| \+[\d.]+m?s")
_TAIL = re.compile(r" +$", re.MULTILINE)
_LOOP_ID = re.compile(r"(\.| )[0-9a-f]{12}\b")


class Told(list[AgentEvent]):
    """Is a hook that keeps events.

    Attributes:
        off: as the hook's.
        config: as the hook's, as far as the front looks at it.
        traceparents: what was given with an event, None where nothing was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.off = ""
        self.config = SimpleNamespace(capture_content=False)
        self.traceparents: list[str | None] = []

    def __call__(self, event: AgentEvent, *, traceparent: str | None = None) -> None:
        self.append(event)
        self.traceparents.append(traceparent)

    # A list's own equality would compare events; a door is itself.
    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def kinds(self) -> str:
        """Returns the events' types, in order."""
        return " ".join(type(event).__name__ for event in self)

    def one(self, kind: type[Any]) -> Any:
        """Returns the only event of a type."""
        (found,) = [event for event in self if isinstance(event, kind)]
        return found

    @property
    def answers(self) -> list[Any]:
        """Returns the models' answers."""
        return [event.message for event in self if isinstance(event, MessageEnd)]

    @property
    def tools(self) -> list[ToolExecutionEnd]:
        """Returns the ends of tools."""
        return [event for event in self if isinstance(event, ToolExecutionEnd)]

    @property
    def spans(self) -> list[Span]:
        """Returns the trace."""
        return list(spans(self))

    def errors(self) -> dict[str, str]:
        """Returns the error words of the spans that are red, by what they are and whose."""
        return {_title(span): str(span.get(s.ERROR_TYPE)) for span in self.spans if span.get(s.ERROR_TYPE) is not None}

    def tree(self) -> str:
        """Returns the trace as a reviewer reads it, without times and ids."""
        return timeless(render_tree(self.spans))

    def broken(self) -> list[str]:
        """Returns the laws that the trace breaks, under every way to map it, and where its JSON gives another one."""
        found: list[str] = []
        for options in OPTIONS:
            run = Run(list(self), options)
            found += run.broken()
            found += [f"{reason}: {count}" for reason, count in run.counts.items() if count]
            again = [decode_event(encode_event(event)) for event in self]
            if as_bytes(spans(again, options)) != as_bytes(run.spans):  # type: ignore[arg-type]
                found.append("its JSON gives another trace")
        return found


def _title(span: Span) -> str:
    return f"{role(span)} {span.get(s.TOOL_NAME)}" if role(span) == "tool" else role(span)


def timeless(tree: str) -> str:
    """Returns a rendered tree without times and without the random part of loop ids."""
    return _TAIL.sub("", _LOOP_ID.sub(r"\1…", _TIMES.sub("", tree)))
