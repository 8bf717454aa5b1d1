"""What an agent did, as metrics: each notice once, when it is read.

Rule 1: a model call, a tool and a loop last as long as their spans do.
Rule 2: a tool is named where the request of its turn offered it to the model, else it is `_OTHER`: a name can be made up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_phi.mapping import semconv as s
from otel_phi.mapping.agents import of_loop, of_service
from otel_phi.mapping.build import clamp_times, inside
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.providers import provider_name, server
from otel_phi.mapping.status import answer_error, chat_error, loop_error, tool_error
from otel_phi.mapping.turn import NEVER_RAN, tool_type
from otel_phi.metrics import instruments as i
from otel_phi.metrics.series import OTHER, Pairs, Series, Value
from otel_phi.recorder.notices import (
    Answer,
    Chat,
    LoopClosed,
    LoopStart,
    Notice,
    SessionOpened,
    SideCallMade,
    Tool,
    TurnClosed,
)

Record = Callable[[Any, dict[str, Value]], None]  # a number and its attributes
_NS = 1e9


class AgentMetrics:
    """Agent metrics are recorded from notices. For one thread.

    Args:
        records: what takes the numbers of each metric, by its name.
        options: how notices become spans: whose agent it is.
    """

    def __init__(self, records: Callable[[str], Record], options: MappingOptions) -> None:
        self._options = options
        self._records = {
            name: records(name) for name, one in i.BY_NAME.items() if name.startswith(("gen_ai.", "phi.")) and one.kind
        }
        self._series = {name: Series() for name in self._records}

    def record(self, notice: Notice) -> None:
        """Records what a notice says; most say nothing."""
        match notice:
            case TurnClosed():
                self._turn(notice)
            case LoopClosed():
                self._loop(notice)
            case SessionOpened():
                self._put(i.SESSIONS, 1, ((s.AGENT_NAME, of_service(self._options)),))
            case SideCallMade():
                self._side_call(notice)
            case _:
                return

    def _put(self, name: str, number: float, pairs: Pairs) -> None:
        self._records[name](number, self._series[name].of(pairs))

    def _agent(self, start: LoopStart | None) -> str | None:
        return (of_loop(start, self._options) if start is not None else None) or of_service(self._options)

    # --- turns ---------------------------------------------------------------------------------------------------------

    def _turn(self, turn: TurnClosed) -> None:
        within = clamp_times(turn.started_ns, turn.ended_ns)
        if turn.chat is not None:
            self._chat(turn, turn.chat, within)
        offered = turn.chat.request.tool_names if turn.chat and turn.chat.request else ()
        for tool in turn.tools:
            error = tool_error(tool, lost=turn.lost)
            if tool.outcome != "not_executed" and error not in NEVER_RAN:
                self._tool(turn, tool, inside(tool.started_ns, tool.ended_ns, *within), error, offered)

    def _chat(self, turn: TurnClosed, chat: Chat, within: tuple[int, int]) -> None:
        answer, config = chat.answer, turn.loop.config
        asked = (chat.request.model if chat.request else "") or (config.model if config else "")
        self._call(
            turn.loop, asked, answer, inside(chat.started_ns, chat.ended_ns, *within), chat_error(chat, lost=turn.lost)
        )

    def _call(
        self, start: LoopStart | None, asked: str, answer: Answer | None, times: tuple[int, int], error: str | None
    ) -> None:
        config = start.config if start is not None else None
        provider = (config.provider if config else None) or (answer.provider if answer else None)
        asked = asked or (answer.model if answer else "")
        host, port = server(config.base_url if config else None)
        said = (
            (s.OPERATION, "chat"),
            (s.PROVIDER, provider_name(config.api if config else None, provider)),
            (s.REQUEST_MODEL, asked or None),
            (s.RESPONSE_MODEL, (answer.model or None) if answer else None),
            (s.SERVER_ADDRESS, host),
            (s.SERVER_PORT, port if host else None),
        )
        self._put(i.OPERATION_DURATION, (times[1] - times[0]) / _NS, (*said, (s.ERROR_TYPE, error)))
        if answer is not None:
            self._used(answer, said)

    def _used(self, answer: Answer, said: tuple[tuple[str, Value | None], ...]) -> None:
        tokens = answer.tokens
        if tokens.input or tokens.output:
            self._put(i.TOKEN_USAGE, tokens.input, (*said, (i.TOKEN_TYPE, "input")))
            self._put(i.TOKEN_USAGE, tokens.output, (*said, (i.TOKEN_TYPE, "output")))
        parts = (
            (i.CACHE_READ, tokens.cache_read),
            (i.CACHE_WRITE, tokens.cache_write),
            (i.REASONING, tokens.reasoning),
        )
        for name, count in parts:
            if count:
                self._put(name, count, said[1:3])
        if answer.cost is not None and answer.cost.picodollars:
            self._put(i.COST, answer.cost.usd, said[1:3])

    def _tool(
        self, turn: TurnClosed, tool: Tool, times: tuple[int, int], error: str | None, offered: tuple[str, ...]
    ) -> None:
        known = tool.name in offered
        self._put(
            i.TOOL_DURATION,
            (times[1] - times[0]) / _NS,
            (
                (s.TOOL_NAME, tool.name if known else OTHER),
                (s.TOOL_TYPE, tool_type(tool.name) if known else None),
                (s.AGENT_NAME, self._agent(turn.loop)),
                (s.ERROR_TYPE, error),
            ),
        )

    # --- loops and side calls --------------------------------------------------------------------------------------------

    def _loop(self, loop: LoopClosed) -> None:
        agent = (s.AGENT_NAME, self._agent(loop.loop))
        times = clamp_times(loop.loop.identity.started_ns, loop.ended_ns)
        config = loop.loop.config
        self._put(
            i.AGENT_DURATION,
            (times[1] - times[0]) / _NS,
            (
                agent,
                (s.REQUEST_MODEL, (config.model or None) if config else None),
                (s.ERROR_TYPE, loop_error(loop)),
            ),
        )
        self._put(i.INFERENCE_CALLS, loop.turn_count, (agent,))
        self._put(i.TOOL_CALLS, loop.tool_count, (agent,))

    def _side_call(self, call: SideCallMade) -> None:
        times = clamp_times(call.started_ns, call.ended_ns)
        self._call(call.loop, call.answer.model, call.answer, times, answer_error(call.answer))
