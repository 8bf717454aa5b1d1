"""Spans gathered to be drawn: all of them for a few sessions, for very many what each adds up to and no span."""

from __future__ import annotations

from collections.abc import Iterable

from otel_phi.cli.report.totals import Totals
from otel_phi.mapping.span import Span
from otel_phi.tree import session_of


class Gathered:
    """Gathers spans.

    Args:
        spans: of any number of sessions.
        most: of so many sessions the spans are kept; None for any number.

    Attributes:
        spans: in order; none where there are more sessions.
        sessions: what each adds up to, by its id; kept while the spans are not.
    """

    def __init__(self, spans: Iterable[Span], most: int | None) -> None:
        self.spans: list[Span] = []
        self.sessions: dict[str, Totals] = {}
        for span in spans:
            session = session_of(span)
            totals = self.sessions.get(session)
            if totals is None:
                totals = self.sessions[session] = Totals(session)
            totals.add(span)
            if most is None or len(self.sessions) <= most:
                self.spans.append(span)
            else:
                self.spans.clear()

    @property
    def are_kept(self) -> bool:
        """Whether the spans are there."""
        return bool(self.spans) or not self.sessions

    def totals(self) -> list[Totals]:
        """Returns what the sessions add up to, earliest first."""
        return sorted(self.sessions.values(), key=lambda totals: (totals.started_ns, totals.session_id))
