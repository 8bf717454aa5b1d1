"""A session at work, as its spans tell it: what its row says, and when it has finished for now.

Rule 1: a session has finished when a loop of its own ends, neither a sub-agent's nor a branch: it is at work again when more comes.
Rule 2: the sessions at work are bounded; of more, the one that was silent longest is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.report.totals import Totals
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.tree import clean, session_of

MAX_AT_WORK = 1_000
# Loops that end while the one that started them goes on.
_WITHIN = frozenset({"subagent", "branch", "compaction"})
_NAME, _TOOL, _AGENT = 12, 14, 18  # columns


class Work(Totals):
    """Work is what one session does.

    Attributes:
        agent: name of the agent, "" for none.
        model: asked last.
        tool: executed last.
        status: of the loop that ended last, "" while none has.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.agent = self.model = self.tool = self.status = ""

    def _count(self, span: Span, given: Mapping[str, object], error: str | None) -> None:
        super()._count(span, given, error)
        self.agent = str(given.get(s.SOURCE_AGENT) or given.get(s.AGENT_NAME) or self.agent)
        self.model = str(given.get(s.REQUEST_MODEL) or self.model)
        for event in span.events:
            if event.name == s.EVENT_TOOL:
                self.tool = str(dict(event.attributes).get(s.TOOL_NAME, ""))

    def line(self, width: int | None, trace_url: str | None, *, finished: bool) -> Text:
        """Returns the session in a line.

        Args:
            width: columns there are, None for any number: where there are few the link is behind the session's name.
            trace_url: template of the link to its trace; None to show the trace's id.
            finished: whether to say how long it took instead of what it does.
        """
        errors = ", ".join(f"{count} {word}" if count > 1 else word for word, count in self.errors.most_common(2))
        now = words.duration(self.ended_ns - self.started_ns) if finished else self.tool
        cells = [
            _cut(words.short_names([self.session_id])[self.session_id], _NAME).ljust(_NAME),
            _cut(clean(self.agent or self.model), _AGENT).ljust(_AGENT),
            words.many(self.turns, "turn").rjust(9),
            (words.tokens(self.input_tokens, self.output_tokens) or "-").rjust(13),
            _cut(clean(now), _TOOL).ljust(_TOOL),
        ]
        trace = f"{next(iter(self.trace_ids)):032x}"
        more = [clean(errors)] if errors else []
        link = clean(trace_url.replace("{trace_id}", trace)) if trace_url else trace
        text = "  ".join([*cells, *more])
        if width is None or cell_len(text) + 2 + cell_len(link) <= width:
            text = f"{text}  {link}"
        line = Text(text if width is None else _cut(text, width), style="red" if errors else "")
        if trace_url:
            line.stylize(Style(link=link), 0, _NAME)  # a terminal opens it, whether there was room or not
        return line


class AtWork:
    """At work are the sessions whose spans come.

    Attributes:
        sessions: by their ids, the one that was silent longest first.
        forgotten: how many were forgotten, being too many.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, Work] = {}
        self.forgotten = 0

    def add(self, span: Span) -> Work | None:
        """Adds a span; returns the session, with all that is known of it, if it has finished with this."""
        session = session_of(span)
        work = self.sessions.pop(session, None) or Work(session)
        self.sessions[session] = work
        work.add(span)
        if len(self.sessions) > MAX_AT_WORK:
            del self.sessions[next(iter(self.sessions))]
            self.forgotten += 1
        if span.get(s.OPERATION) != "invoke_agent" or str(span.get(s.LOOP_KIND)) in _WITHIN:
            return None
        del self.sessions[session]
        return work


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
