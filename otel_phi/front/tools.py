"""A tool execution, as a `with`."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from msgspec import UNSET, Raw, UnsetType
from typing_extensions import Self

from otel_phi.events import Instant, ToolExecutionEnd, ToolExecutionStart, ToolResult
from otel_phi.front import scopes
from otel_phi.front.content import as_blocks, as_json
from otel_phi.front.outcomes import Outcome, failed, outcome_of

if TYPE_CHECKING:
    from otel_phi.front.loops import Loop

_NULL = Raw(b"null")


class Tool(scopes.Scope):
    """A tool is one execution within a loop, between entering and leaving it. Made by `Loop.tool`; `async with` does the same.

    An exception out of it is its error, with the class name as `error.type`, and goes on. One that is still running when
    its turn is over is ended there as detached: no error, and its own end is ignored.

    Attributes:
        name: of the tool.
        call_id: the model's call.
        loop: the loop it belongs to.
        outer: the loop or tool that was current when it was entered, None for none.
        ended: whether it has ended.
    """

    __slots__ = ("_arguments", "_child", "_failed", "_given", "_result", "call_id", "loop", "name")

    def __init__(self, loop: Loop, name: str, call_id: str, arguments: Any) -> None:
        self.loop = loop
        self.name = name
        self.call_id = call_id
        self.outer = None
        self.ended = False
        self._arguments = arguments
        self._result: Any = None
        self._given = False
        self._failed: Outcome | None = None
        self._child: Loop | None = None

    def result(self, value: Any) -> None:
        """Keeps what the tool returned, where contents may be said; else it is not touched. The last one counts."""
        if self.loop.keeps_content:
            self._result, self._given = value, True

    def fail(self, error_type: str = "tool_error") -> None:
        """Says that the tool failed without an exception.

        Args:
            error_type: how, in one word of low cardinality.
        """
        self._failed = failed(error_type)

    def start_loop(self, session: object = None, **more: Any) -> Loop:
        """Returns a loop that this tool runs, to be entered: for a thread, where nothing is current. Takes what `loop` takes."""
        return self.loop.started_from(self, session, **more)

    def ran(self, loop: Loop) -> None:
        """Takes note of a loop that the tool runs; the first one is the one its span names."""
        if self._child is None:
            self._child = loop

    def __enter__(self) -> Self:
        self.outer = scopes.current()
        self.loop.tool_began(self)
        scopes.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        scopes.leave(self)
        self.loop.tool_ended(self, error)
        return False

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        return self.__exit__(kind, error, trace)

    def begun(self, now_ns: int) -> ToolExecutionStart:
        """Returns the event that begins it."""
        asked = self._arguments is not None and self.loop.keeps_content
        return ToolExecutionStart(
            loop_id=self.loop.id,
            tool_call_id=self.call_id,
            tool_name=self.name,
            args=as_json(self._arguments) if asked else _NULL,
            timestamp=Instant(now_ns),
        )

    def over(self, now_ns: int, error: BaseException | None) -> ToolExecutionEnd:
        """Returns the event that ends it; `error` is the exception that left it, None for none."""
        went = self._failed if error is None and self._failed is not None else outcome_of(error)
        return ToolExecutionEnd(
            loop_id=self.loop.id,
            tool_call_id=self.call_id,
            tool_name=self.name,
            result=self._content(error),
            is_error=went.error_type is not None,
            child_loop_id=None if self._child is None else self._child.id,
            child_session_id=self._child_session(),
            error_type=went.error_type or UNSET,
            timestamp=Instant(now_ns),
        )

    def detached(self, now_ns: int) -> ToolExecutionEnd:
        """Returns the event that ends it while it goes on."""
        return ToolExecutionEnd(
            loop_id=self.loop.id,
            tool_call_id=self.call_id,
            tool_name=self.name,
            child_loop_id=None if self._child is None else self._child.id,
            child_session_id=self._child_session(),
            outcome="detached",
            timestamp=Instant(now_ns),
        )

    def _child_session(self) -> str | UnsetType:
        """Returns the session of the loop it ran, UNSET where that is its own."""
        child = self._child
        return UNSET if child is None or child.session == self.loop.session else child.session

    def _content(self, error: BaseException | None) -> ToolResult | None:
        if not self.loop.keeps_content or (error is None and not self._given):
            return None
        return ToolResult(content=as_blocks(_words(error) if error is not None else self._result))


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # an exception whose text is one
        return type(error).__name__
