"""A model call, as a `with`."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from msgspec import UNSET, Raw
from typing_extensions import Self

from otel_phi.clock import wall_ns
from otel_phi.events import AssistantMessage, Instant, SideCall
from otel_phi.front.hints import hint
from otel_phi.front.outcomes import CANCELLED, Outcome, failed, outcome_of
from otel_phi.front.responses import Reading
from otel_phi.front.responses.said import Said

if TYPE_CHECKING:
    from otel_phi.front.loops import Loop

_MS = 1_000_000
_NULL = Raw(b"null")


class ModelCall:
    """A model call is one call of a model, between entering and leaving it. Made by `Loop.model_call`; `async with` does the same.

    It opens a turn, which lasts until the next call of its loop begins, or the loop ends. A retry of the agent's own is a call of its own; the
    retries of a provider's package are invisible. One that begins while another of its loop is open stands beside the turns.

    Attributes:
        loop: the loop it belongs to.
        model: the model asked.
        provider: the provider asked, "" for the loop's.
        began_ns: when it began, nanoseconds since the epoch; 0 before.
        ended: whether it has ended.
        beside: whether another call of its loop was open when it began.
    """

    __slots__ = (
        "_failed",
        "_first_ns",
        "_reading",
        "_said",
        "_whole",
        "began_ns",
        "beside",
        "ended",
        "loop",
        "model",
        "provider",
    )

    def __init__(self, loop: Loop, model: str, provider: str, *, whole: bool = False) -> None:
        self.loop = loop
        self.model = model
        self.provider = provider
        self.began_ns = 0
        self.ended = False
        self.beside = False
        self._reading = Reading()
        self._said: Said | None = None  # where contents may be said
        self._first_ns = 0
        self._failed: Outcome | None = None
        self._whole = whole  # whether the loop is this call's own

    def response(self, response: Any) -> None:
        """Takes what the provider answered: usage, model, finish reason; of a stream also when the first token was there.

        What the model said is looked at only where contents may be said.

        Args:
            response: an object or dict of OpenAI (chat completions or responses), Anthropic or Google: whole, or each chunk
                or event of a stream. Anything else is ignored. Never raises.
        """
        try:
            reading = self._reading
            reading.take(response)
            if reading.content and not self._first_ns:
                self._first_ns = wall_ns()
            if self.loop.keeps_content:
                self._said = self._said or Said()
                self._said.take(response)
        except Exception as error:  # noqa: BLE001  # an object whose attributes raise is not the agent's trouble
            hint("response", f"a response could not be read: {type(error).__name__}")

    def usage(
        self,
        *,
        input: int | None = None,  # noqa: A002  # the word of the wire
        output: int | None = None,
        cache_read: int | None = None,
        cache_write: int | None = None,
        reasoning: int | None = None,
        model: str | None = None,
        stop_reason: str | None = None,
    ) -> None:
        """Says by hand what `response` cannot read, of a provider it does not know. What is not given stays as it was.

        Args:
            input: prompt tokens, cached ones included.
            output: completion tokens, reasoning included.
            cache_read: those of `input` that were read from a cache.
            cache_write: those of `input` that were written to a cache.
            reasoning: those of `output` that are reasoning.
            model: the model that answered.
            stop_reason: why it stopped, as the provider or phi-core says it.
        """
        counts = {
            "input": input,
            "output": output,
            "cache_read": cache_read,
            "cache_write": cache_write,
            "reasoning": reasoning,
        }
        self._reading.given(counts, model, stop_reason)

    def fail(self, error_type: str = "_OTHER") -> None:
        """Says that the call failed without an exception.

        Args:
            error_type: how, in one word of low cardinality, such as `rate_limited`.
        """
        self._failed = failed(error_type)

    def __enter__(self) -> Self:
        if self._whole:
            self.loop.__enter__()
        self.loop.call_began(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self.loop.call_ended(self, error)
        if self._whole:
            self.loop.__exit__(kind, error, trace)
        return False

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        return self.__exit__(kind, error, trace)

    def message(self, now_ns: int, error: BaseException | None, *, left: bool = False) -> AssistantMessage:
        """Returns the answer as a message.

        Args:
            now_ns: when the call was over.
            error: the exception that left it, None for none.
            left: whether its loop ended before it did.
        """
        reading = self._reading
        stop_reason, word = self._ending(error, left=left)
        content = None if self._said is None else self._said.content()
        return AssistantMessage(
            content=_NULL if content is None else content,
            model=reading.model or self.model,
            provider=self.provider,
            stop_reason=stop_reason,
            usage=reading.usage(),
            timestamp=now_ns // _MS,
            error_type=word or UNSET,
            first_token_ms=self._first_token_ms(),
            streamed=reading.streamed,
        )

    def side_call(self, now_ns: int, error: BaseException | None, call_id: str, *, left: bool = False) -> SideCall:
        """Returns the call as one beside the turns; the arguments are those of `message`, and an id of its own."""
        said = self.message(now_ns, error, left=left)
        return SideCall(
            id=call_id,
            session_id=self.loop.session,
            loop_id=self.loop.id,
            model=said.model,
            provider=said.provider,
            usage=said.usage,
            start=Instant(self.began_ns),
            end=Instant(now_ns),
            stop_reason=said.stop_reason,
            error_type=said.error_type,
            first_token_ms=said.first_token_ms,
            streamed=said.streamed,
        )

    def _ending(self, error: BaseException | None, *, left: bool) -> tuple[str, str | None]:
        """Returns stop reason and error word."""
        reading = self._reading
        if error is not None or self._failed is not None:
            went = outcome_of(error) if error is not None or self._failed is None else self._failed
            return ("aborted" if went.outcome == CANCELLED else "error"), went.error_type
        if left and not reading.stop_reason:
            return "aborted", None
        reading.advise()
        if reading.error_type is not None:
            return "error", reading.error_type
        return reading.stop_reason or "stop", None

    def _first_token_ms(self) -> Any:
        if not self._first_ns or not self._reading.streamed:
            return UNSET
        return max(self._first_ns - self.began_ns, 0) // _MS
