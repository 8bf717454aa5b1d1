"""The reading of one answer: what its pieces have said so far.

Rule 1: counts are replaced, never added: Anthropic's are sums already, Google repeats its own with every piece.
Rule 2: which provider an answer is of, its shape tells. What has no shape we know changes nothing, and is a hint.
Rule 3: a stream has ended where a piece says so; one left before is partial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from otel_phi.events import Usage
from otel_phi.front.hints import hint
from otel_phi.front.responses import anthropic, google, openai
from otel_phi.front.responses.fields import get, text
from otel_phi.front.responses.pieces import Piece

_WITHOUT_USAGE = (
    "an OpenAI chat stream said nothing of its tokens: ask for them with stream_options={'include_usage': True}, and give "
    "the chunks that follow the last one with content to call.response too"
)


class Reading:
    """Collects what the pieces of one answer say.

    Attributes:
        model: the model that answered, "" while nobody has said.
        stop_reason: why it stopped, in phi-core's words; "" while nobody has said.
        error_type: what the provider says went wrong, None where nothing did.
        content: whether there has been content.
        streamed: whether the answer comes in pieces.
        ended: whether a piece has said that it was the last.
    """

    __slots__ = (
        "_cached",
        "_counts",
        "_kind",
        "content",
        "ended",
        "error_type",
        "model",
        "pieces",
        "stop_reason",
        "streamed",
    )

    def __init__(self) -> None:
        self.model = ""
        self.stop_reason = ""
        self.error_type: str | None = None
        self.content = False
        self.streamed = False
        self.ended = False
        self.pieces = 0
        self._counts: dict[str, int] = {}
        self._cached = ""
        self._kind = ""

    def take(self, given: Any) -> None:
        """Takes an answer, or a piece of one."""
        piece = read(given)
        if piece is None:
            hint(
                "unknown_response",
                f"call.response got a {type(given).__name__}, which is no answer of a provider it knows",
            )
            return
        self.pieces += 1
        self._kind = piece.kind
        self.streamed = self.streamed or piece.streamed or self.pieces > 1
        self.content = self.content or piece.content
        self.ended = self.ended or piece.ended
        self.model = piece.model or self.model
        self.stop_reason = piece.stop_reason or self.stop_reason
        self.error_type = piece.error_type or self.error_type
        if piece.counts:
            self._counts.update(piece.counts)
            self._cached = piece.cached

    def given(self, counts: Mapping[str, int | None], model: str | None, stop_reason: str | None) -> None:
        """Takes what the agent says by hand; cached tokens are part of its input."""
        given = {name: count for name, count in counts.items() if isinstance(count, int)}
        if given:
            self._counts.update(given)
            self._cached = "in"
        self.model = model or self.model
        self.stop_reason = stop_reason or self.stop_reason
        self.ended = True

    def usage(self) -> Usage:
        """Returns the tokens, as far as they are known."""
        counts = self._counts.get
        # Google's thoughts and what its own tools put into the prompt stand beside the two great numbers.
        return Usage(
            input=counts("input", 0) + counts("more_input", 0),
            output=counts("output", 0) + counts("more_output", 0),
            reasoning=counts("reasoning", 0),
            cache_read=counts("cache_read", 0),
            cache_write=counts("cache_write", 0),
            total_tokens=counts("total", 0),
            cached=self._cached or UNSET,
            partial=True if self.streamed and not self.ended else UNSET,
        )

    def advise(self) -> None:
        """Says what could be done better, of an answer that is over."""
        if self._kind == openai.CHAT and self.streamed and self.ended and not self._counts:
            hint("stream_options", _WITHOUT_USAGE)


def read(given: Any) -> Piece | None:
    """Returns what an answer or a piece of one says, None for what is none we know."""
    if get(given, "choices") is not None:
        return openai.chat(given)
    kind = text(given, "type")
    if kind is not None:
        reader = _BY_TYPE.get(kind)
        if reader is not None:
            return reader(given)
        if kind.startswith(openai.EVENTS):
            return openai.event(given, kind)
    if text(given, "object") == "response":
        return openai.response(given)
    return google.answer(given)


_BY_TYPE: dict[str, Callable[[Any], Piece | None]] = {**anthropic.BY_TYPE, **openai.BY_TYPE}
