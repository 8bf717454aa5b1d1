"""A loop, as a `with`: it turns what its calls and tools say into events in phi's order.

Rule 1: a model call opens a turn, and closes the one before. A tool outside of any opens one without a call.
Rule 2: what runs when its turn or loop is over is ended there, and says nothing later.
Rule 3: events of one loop leave in their order, from whatever threads: under a lock that may be taken again, by the
        collection of garbage in the midst of it for one.
Rule 4: a loop is its process's. In a forked child it says nothing, and its lock, which another thread may have held, is
        never asked for; only its ids are of use there.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, cast

from msgspec import UNSET
from typing_extensions import Self

from otel_phi.clock import wall_ns
from otel_phi.events import (
    AgentEnd,
    AgentStart,
    ConfigSnapshot,
    Instant,
    MessageEnd,
    RequestPayload,
    TurnEnd,
    TurnRequest,
    TurnStart,
)
from otel_phi.front import scopes
from otel_phi.front.calls import ModelCall
from otel_phi.front.door import Door, keeps_content
from otel_phi.front.hints import hint
from otel_phi.front.outcomes import Outcome, failed, outcome_of
from otel_phi.front.tools import Tool

Attributes = Mapping[str, str | bool | int | float]


class Loop(scopes.Scope):
    """A loop is one run of an agent, between entering and leaving it. Made by `otel_phi.loop`; `async with` does the same.

    An exception out of it is its error, with the class name as `error.type`, and goes on; a cancellation is `cancelled`. A
    loop that is garbage before it was left is cancelled too.

    Attributes:
        session: the session it belongs to.
        id: its own id, which no other loop has.
        model: the model it asks, "" where nobody said.
        provider: that model's provider, "" where nobody said.
        agent: name of the agent, None for none.
        outer: the loop or tool that runs it, None for none.
        ended: whether it has ended.
        keeps_content: whether contents may be said.
    """

    __slots__ = (
        "__weakref__", "_attributes", "_begun", "_beside", "_call", "_door", "_entered", "_failed", "_lock", "_numbers", "_pid",
        "_tools", "_traceparent", "_turn", "_turn_open", "agent", "id", "keeps_content", "model", "provider", "session",
    )  # fmt: skip

    def __init__(
        self,
        door: Door,
        session: str,
        *,
        model: str = "",
        provider: str = "",
        agent: str | None = None,
        attributes: Attributes | None = None,
        traceparent: str | None = None,
        outer: scopes.Scope | None = None,
    ) -> None:
        self.session = session
        self.id = f"{session}.{os.urandom(6).hex()}"
        self.model = model
        self.provider = provider
        self.agent = agent
        self.outer = outer
        self.ended = False
        self.keeps_content = keeps_content(door)
        self._door = door
        self._attributes = attributes
        self._traceparent = traceparent
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._begun = False
        self._entered = 0
        self._failed: Outcome | None = None
        self._turn = -1
        self._turn_open = False
        self._call: ModelCall | None = None
        self._beside: dict[ModelCall, None] = {}
        self._tools: dict[Tool, None] = {}
        self._numbers = itertools.count(1)

    # --- what a user calls -------------------------------------------------------------------------------------------------

    def model_call(self, model: str | None = None, provider: str | None = None) -> ModelCall:
        """Returns a model call of this loop, to be entered.

        Args:
            model: the model asked; the loop's where not given.
            provider: its provider; the loop's where not given.
        """
        return ModelCall(self, model or self.model, provider or self.provider)

    def tool(self, name: str, call_id: str | None = None, arguments: Any = None) -> Tool:
        """Returns a tool execution of this loop, to be entered; any number of them may run at once.

        Args:
            name: of the tool.
            call_id: the model's call; made up where not given.
            arguments: what it is called with: kept only where contents may be said.
        """
        return Tool(self, str(name), self._next_id("call") if call_id is None else str(call_id), arguments)

    def fail(self, error_type: str = "_OTHER") -> None:
        """Says that the loop failed without an exception.

        Args:
            error_type: how, in one word of low cardinality, such as `execution_limit`.
        """
        self._failed = failed(error_type)

    def start_loop(self, session: object = None, **more: Any) -> Loop:
        """Returns a loop that this one runs, to be entered: for a thread, where nothing is current. Takes what `loop` takes."""
        return self.started_from(self, session, **more)

    def __enter__(self) -> Self:
        self._entered += 1
        if not self._begun:
            self._begin()
        elif self.ended:
            hint(
                "entered_again",
                "a loop that has ended was entered again; it says nothing more: make a new one with otel_phi.loop",
            )
        scopes.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._entered -= 1
        if self._entered <= 0:
            self._end(outcome_of(error))
            scopes.leave(self)
        return False

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        return self.__exit__(kind, error, trace)

    def __del__(self) -> None:
        try:
            if self._begun and not self.ended:
                self._end(failed("cancelled"))
        except Exception:  # noqa: BLE001  # the interpreter may be ending, and half of what is asked for be gone
            return

    # --- its beginning and end ---------------------------------------------------------------------------------------------

    def started_from(self, scope: scopes.Scope, session: object = None, **more: Any) -> Loop:
        """Returns a loop that a loop or a tool runs; the arguments are those of `otel_phi.loop`."""
        return Loop(self._door, self.session if session is None else str(session), outer=scope, **more)

    def _begin(self) -> None:
        parent: dict[str, Any] = {}
        if self.outer is not None:
            parent = self._parent(self.outer)
        with self._lock:
            self._begun = True
            start = AgentStart(
                session_id=self.session,
                loop_id=self.id,
                timestamp=Instant(wall_ns()),
                config_snapshot=ConfigSnapshot(model=self.model, provider=self.provider)
                if self.model or self.provider
                else None,
                agent_name=self.agent or UNSET,
                attributes=dict(self._attributes) if self._attributes else UNSET,
                **parent,
            )
            self._door(start, traceparent=self._traceparent)

    def _parent(self, outer: scopes.Scope) -> dict[str, Any]:
        loop, tool = loop_of(outer), outer if isinstance(outer, Tool) else None
        if tool is not None:
            tool.ran(self)
        if loop.session != self.session:
            return {"parent_loop_id": loop.id, "parent_session_id": loop.session}
        found = {"parent_loop_id": loop.id, "continuation_kind": "SubAgent"}
        return found if tool is None else {**found, "parent_tool_call_id": tool.call_id}

    def _end(self, went: Outcome) -> None:
        if not self._mine():
            self.ended = True
            return
        with self._lock:
            if self.ended:
                return
            now_ns = wall_ns()
            self._end_calls(now_ns)
            self._end_turn(now_ns)
            self.ended = True
            if went.error_type is None and self._failed is not None:
                went = self._failed
            self._door(
                AgentEnd(
                    loop_id=self.id,
                    timestamp=Instant(now_ns),
                    outcome=went.outcome,
                    error_type=went.error_type if went.outcome == "error" and went.error_type else UNSET,
                )
            )

    def _mine(self) -> bool:
        return self._begun and not self.ended and os.getpid() == self._pid

    def _next_id(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"

    # --- its turns, calls and tools ----------------------------------------------------------------------------------------

    def call_began(self, call: ModelCall) -> None:
        """Begins a call: a turn of its own, or beside the one whose call is open."""
        if not self._mine() or call.began_ns:
            self._late("model call")
            return
        with self._lock:
            call.began_ns = now_ns = wall_ns()
            if self._call is not None:
                call.beside = True
                self._beside[call] = None
                return
            self._end_turn(now_ns)
            self._begin_turn(now_ns)
            self._call = call
            request = RequestPayload(model_id=call.model)
            self._door(TurnRequest(loop_id=self.id, turn_index=self._turn, payload=request, timestamp=Instant(now_ns)))

    def call_ended(self, call: ModelCall, error: BaseException | None) -> None:
        """Ends a call; one whose loop has ended has been ended with it."""
        if not call.began_ns or call.ended:
            return
        call.ended = True
        if not self._mine():
            return
        with self._lock:
            if call in self._beside:
                del self._beside[call]
                self._door(call.side_call(wall_ns(), error, self._next_id(self.id)))
            elif self._call is call:
                self._call = None
                self._door(MessageEnd(loop_id=self.id, message=call.message(wall_ns(), error)))

    def tool_began(self, tool: Tool) -> None:
        """Begins a tool, in the open turn or in one of its own."""
        if not self._mine():
            self._late("tool")
            tool.ended = True
            return
        with self._lock:
            now_ns = wall_ns()
            if not self._turn_open:
                self._begin_turn(now_ns)
            tool.ended = False
            self._tools[tool] = None
            self._door(tool.begun(now_ns))

    def tool_ended(self, tool: Tool, error: BaseException | None) -> None:
        """Ends a tool; one whose turn is over has been ended with it."""
        if not self._mine():
            tool.ended = True
            return
        with self._lock:
            tool.ended = True
            if tool in self._tools:
                del self._tools[tool]
                self._door(tool.over(wall_ns(), error))

    def _begin_turn(self, now_ns: int) -> None:
        self._turn += 1
        self._turn_open = True
        trigger = "Continuation" if self._turn else "User" if self.outer is None else "SubAgent"
        self._door(TurnStart(loop_id=self.id, turn_index=self._turn, timestamp=Instant(now_ns), triggered_by=trigger))

    def _end_calls(self, now_ns: int) -> None:
        for beside in self._beside:
            self._door(beside.side_call(now_ns, None, self._next_id(self.id), left=True))
        self._beside.clear()
        call, self._call = self._call, None
        if call is not None:
            self._door(MessageEnd(loop_id=self.id, message=call.message(now_ns, None, left=True)))

    def _end_turn(self, now_ns: int) -> None:
        if not self._turn_open:
            return
        for tool in self._tools:
            self._door(tool.detached(now_ns))
        self._tools.clear()
        self._turn_open = False
        self._door(TurnEnd(loop_id=self.id, timestamp=Instant(now_ns)))

    def _late(self, what: str) -> None:
        if self.ended and os.getpid() == self._pid:
            hint(f"late_{what}", f"a {what} began in a loop that has ended; nothing shows it")


def loop_of(scope: scopes.Scope) -> Loop:
    """Returns a loop itself, and the loop that a tool belongs to."""
    return scope.loop if isinstance(scope, Tool) else cast("Loop", scope)
