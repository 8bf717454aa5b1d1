"""What backends that are Python packages are sent, and where: the same sessions for each of them, in both trace scopes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import otel_phi
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span, StatusCode
from tests.e2e.commands import export
from tests.e2e.sessions import Scope, cut_short, event_logs, spans_of, streams, with_other_ids

_ARRIVES_WITHIN_S = 120.0


class Sent(NamedTuple):
    """Is what was sent.

    Attributes:
        scope: what a trace is.
        paths: files and folders that were exported.
        spans: what they say.
    """

    scope: Scope
    paths: tuple[Path, ...]
    spans: list[Span]

    @property
    def roots(self) -> dict[int, Span]:
        """The root of each trace, by trace id."""
        return {span.trace_id: span for span in self.spans if not span.parent_span_id}

    @property
    def sessions(self) -> dict[str, list[Span]]:
        """The spans of each session."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            found.setdefault(session_of(span), []).append(span)
        return found


def send(folder: Path, scope: Scope, profile: str, *flags: object, **environment: str) -> Sent:
    """Exports the sessions of these tests, with ids of their own for each scope.

    Args:
        folder: of its own.
        scope: what a trace is; `loop` is left to the profile, which is to say so.
        profile: the backend.
        *flags: for `otel-phi export`.
        **environment: variables for it.
    """
    made = streams(folder / "as-they-are")[0].parent
    cut_short(made)
    logs = event_logs(folder / "logs-as-they-are")
    paths = tuple(sorted(with_other_ids(made, folder / scope).iterdir()))
    paths += (with_other_ids(logs, folder / f"logs-{scope}"),)
    asked = ("--trace-scope", "session") if scope == "session" else ()
    export(*paths, "--profile", profile, *asked, *flags, OTEL_PHI_STATE_DIR=str(folder / "state"), **environment)
    return Sent(scope, paths, spans_of(paths, "session" if scope == "session" else None, profile))


@contextmanager
def live(**options: Any) -> Iterator[otel_phi.Hook]:
    """Installs the hook and ends it in any case: a test that fails leaves none behind. What it took has arrived after that."""
    hook = otel_phi.install(**options)
    try:
        yield hook
    finally:
        arrived = hook.shutdown(_ARRIVES_WITHIN_S)
    assert arrived, hook.stats()


def session_of(span: Span) -> str:
    """Returns the session a span belongs to."""
    return str(span.get(s.SESSION_ID) or span.get(s.PARALLEL_SESSION))


def failed(spans: Iterable[Span]) -> list[Span]:
    """Returns the spans whose status is an error."""
    return [span for span in spans if span.status is StatusCode.ERROR]


def tokens(spans: Iterable[Span]) -> tuple[int, int]:
    """Returns input and output tokens of some spans, as their chats say."""
    chats = [span for span in spans if span.get(s.OPERATION) == "chat"]
    return _total(chats, s.USAGE_INPUT), _total(chats, s.USAGE_OUTPUT)


def _total(spans: Iterable[Span], key: str) -> int:
    values = (span.get(key) for span in spans)
    return sum(value for value in values if isinstance(value, int))


def provider_tokens(paths: Iterable[Path]) -> tuple[int, int]:
    """Returns input and output tokens as the provider billed them, from the files alone, past all of our own code.

    All these sessions ran on Anthropic's protocol, whose `input` leaves cached tokens out.
    """
    read = written = 0
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            for line in file.read_text(encoding="utf-8").splitlines():
                event = json.loads(line)
                event = event.get("event", event)
                if event.get("type") == "TurnEnd":
                    usage = event["message"].get("usage") or {}
                    read += sum(usage.get(key, 0) for key in ("input", "cache_read", "cache_write"))
                    written += usage.get("output", 0)
    return read, written
