"""An open loop: its turns, one at a time, its totals and what happens between turns, until it closes.

Rule 1: at most one turn is open. TurnStart while one is open: same index and time, ignored; else the old one is aborted.
Rule 2: TurnRequest, ToolExecutionStart and -End, an assistant's MessageEnd and TurnEnd outside a turn open an implicit
        one at the previous turn's end, marked inferred. (An update or a progress line says nothing of a span: none.)
Rule 3: TurnEnd or TurnRequest for an index that is closed is ignored.
Rule 4: the last known time is the latest of the loop's event times and MessageEnd times. Never a MessageUpdate's or a
        RevertApplied's: saved sessions lack them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, UnsetType

from otel_phi.recorder.answers import in_pieces, or_none, side_answer
from otel_phi.recorder.contents import BEFORE_A_PROMPT, LoopContents, content_json, prompt_of
from otel_phi.recorder.identities import ToolPlace
from otel_phi.recorder.indexes import ClosedIndexes
from otel_phi.recorder.notices import (
    Answer,
    LoopClosed,
    LoopStart,
    Occurrence,
    Request,
    SessionOpened,
    Timed,
    TurnClosed,
    TurnOpened,
)
from otel_phi.recorder.references import References
from otel_phi.recorder.turns import Happenings, OpenTurn
from otel_phi.wire.costs import Call, Cost, Price, add_costs, cost_of, said_cost, sum_of
from otel_phi.wire.events import AgentEnd, CompactionEnded, MessageEnd, SideCall, TurnEnd, TurnRequest, TurnStart
from otel_phi.wire.lean import ASSISTANTS
from otel_phi.wire.messages import MILLISECOND_NS, NO_USAGE, AssistantMessage, ExtensionMessage, Usage, UserMessage
from otel_phi.wire.parts import RequestPayload
from otel_phi.wire.usage import TokenCount, add_tokens, add_usage, count_tokens

TurnNotice = TurnOpened | TurnClosed
_NOTHING: Sequence[TurnNotice] = ()


class OpenLoop:
    """An open loop is a loop that has begun.

    Args:
        start: what its AgentStart said.
        references: to find the loops its tools ran.
        price: says what calls cost, None for nobody.
    """

    __slots__ = (
        "_closed", "_references", "children_end_ns", "compacted", "contents", "cost", "happenings", "input_refused", "last_ns",
        "last_turn", "price", "session", "start", "stop_limit", "tokens", "tool_count", "turn", "turn_count", "turns_end_ns",
        "unpriced", "usage",
    )  # fmt: skip

    def __init__(self, start: LoopStart, references: References, price: Price | None = None) -> None:
        self.start = start
        self.price = price
        self._references = references
        self._closed = ClosedIndexes()
        self.last_ns = start.identity.started_ns
        self.turns_end_ns = self.last_ns
        self.children_end_ns: int | None = None  # the latest end of its child loops; told if the process is lost
        self.turn: OpenTurn | None = None
        self.happenings = Happenings()
        self.turn_count = 0
        self.tool_count = 0
        self.usage = NO_USAGE
        self.tokens = TokenCount()
        self.cost: Cost | None = None
        self.unpriced = False  # whether a call that counted tokens has no known cost
        self.last_turn: TurnClosed | None = None
        self.input_refused = False
        self.compacted = False
        self.stop_limit: str | None = None
        self.contents: LoopContents | None = None  # where they are captured
        self.session: SessionOpened | None = None  # the one that it opened, and that waits for its prompt

    @classmethod
    def begun(cls, start: LoopStart, references: References, price: Price | None) -> OpenLoop:
        """Returns a loop that begins: its context is compacted where that of what it goes on from was."""
        loop = cls(start, references, price)
        if references.goes_on_compacted(start):
            loop.compacted = True
            references.compacted(start)
        return loop

    def seen(self, time_ns: int | None) -> int:
        """Takes an event's time into the last known time; returns the event's time, the last known where it has none."""
        if time_ns is None:
            return self.last_ns
        time_ns = int(time_ns)  # plain from here on: an `Instant` costs more at each comparison
        if time_ns > self.last_ns:  # noqa: PLR1730  # asked for every event, at a third of the cost of max()
            self.last_ns = time_ns
        return time_ns

    # --- turns -----------------------------------------------------------------------------------------------------

    def turn_started(self, event: TurnStart) -> Sequence[TurnNotice]:
        """Opens a turn; says so, after the one it cut short, if any."""
        turn = self.turn
        if turn is not None and turn.index == event.turn_index and turn.source_ns == event.timestamp:
            return _NOTHING
        cut = self.abort_turn() if turn is not None else _NOTHING
        time_ns = self.seen(event.timestamp)
        opened = self._open_turn(event.turn_index, time_ns, event.triggered_by, event.timestamp)
        return (*cut, opened) if cut else (opened,)

    def _open_turn(self, index: int, started_ns: int, trigger: str | None, source_ns: int | None) -> TurnOpened:
        first_ns = self.start.identity.started_ns
        if started_ns < first_ns:  # noqa: PLR1730  # as in `seen`
            started_ns = first_ns
        repeat = self._closed.repeat(index)
        self.turn = turn = OpenTurn(index, repeat, started_ns, trigger, source_ns)
        turn.compacted, turn.captured = self.compacted, self.contents is not None
        return TurnOpened(self.start, index, repeat, started_ns, trigger)

    def current_turn(self) -> tuple[OpenTurn, Sequence[TurnNotice]]:
        """Returns the open turn, or an implicit one that is opened now; no turn is ever cut short by that."""
        opened: list[TurnNotice] = []
        if self.turn is None:
            opened.append(self._open_turn(self._closed.next(), self.turns_end_ns, None, None))
        return self.turn, opened  # type: ignore[return-value]  # it is open now

    def turn_for(self, index: int | None) -> tuple[OpenTurn | None, Sequence[TurnNotice]]:
        """Returns the turn that an event belongs to, opening an implicit one where none fits.

        Args:
            index: the turn index the event names, None for one that names none.

        Returns:
            The turn, None if that index is closed already; and what was cut short and opened for it, if anything.
        """
        if index is None or (self.turn is not None and index == self.turn.index):
            return self.current_turn()
        if index in self._closed:
            return None, []
        cut = self.abort_turn()
        opened = self._open_turn(index, self.turns_end_ns, None, None)
        return self.turn, [*cut, opened]

    def requested(self, event: TurnRequest) -> Sequence[TurnNotice] | None:
        """Takes a TurnRequest; None if it was ignored."""
        time_ns = self.seen(event.timestamp)
        turn, cut = self.turn, _NOTHING
        if turn is None or turn.index != event.turn_index:
            turn, cut = self.turn_for(event.turn_index)
        if turn is None or turn.request_ns is not None:
            return None
        turn.request, turn.request_ns = _request(event.payload), time_ns
        turn.request_timed = event.timestamp is not None
        if self.contents is not None and event.payload is not None:
            turn.asked = self.contents.asked(event.payload)
        return cut

    def turn_ended(self, event: TurnEnd) -> Sequence[TurnNotice] | None:
        """Closes the turn; None if the event was ignored."""
        time_ns = self.seen(event.timestamp)
        message: Any = event.message
        kind = message.__class__
        named = None if message is None or kind is ExtensionMessage else message.turn_id
        turn, cut = self.turn, _NOTHING
        if turn is None or named is not None:
            turn, cut = self.turn_for(named.turn_index if named else None)
        if turn is None:
            return None
        if turn.answer is None:
            if kind in ASSISTANTS:
                self._answered(turn, message, event.usage, message.timestamp_ns or None)
            elif event.usage != NO_USAGE:
                turn.answered(self._answer(turn, AssistantMessage(usage=event.usage), event.usage), None)
        closed = self._close_turn(turn, time_ns, event)
        return (*cut, closed) if cut else (closed,)

    def abort_turn(self, *, lost: bool = False) -> list[TurnClosed]:
        """Closes the open turn, if any, as aborted at the last known time."""
        return [] if self.turn is None else [self._close_turn(self.turn, self.last_ns, None, lost=lost)]

    def _close_turn(self, turn: OpenTurn, time_ns: int, event: TurnEnd | None, *, lost: bool = False) -> TurnClosed:
        ended_ns = turn.started_ns + 1 if time_ns <= turn.started_ns else time_ns
        happenings = turn.happenings
        happenings.settle()
        listed: Any = None if event is None else event.tool_results  # decoded already where the event is lean
        if listed.__class__ is Raw:
            listed = bytes(listed)
        tools = turn.close_tools(self.start.identity.session_id, ended_ns, listed, self._references)
        closed = TurnClosed(
            loop=self.start,
            index=turn.index,
            repeat=turn.repeat,
            started_ns=turn.started_ns,
            ended_ns=ended_ns,
            triggered_by=turn.triggered_by,
            aborted=event is None,
            inferred=turn.source_ns is None or event is None or event.timestamp is None,
            chat=turn.chat(ended_ns, aborted=event is None),
            tools=tools,
            happened=tuple(happenings.items),
            dropped=happenings.dropped + turn.dropped_tools,
            message_count=turn.message_count,
            lost=lost,
        )
        self._take_totals(closed)
        self._closed.close(turn.index)
        self.turn = None
        return closed

    def _take_totals(self, turn: TurnClosed) -> None:
        self.turn_count += 1
        self.tool_count += len([tool for tool in turn.tools if tool.outcome != "not_executed"])
        self.turns_end_ns = max(self.turns_end_ns, turn.ended_ns)
        if turn.chat is None and turn.triggered_by is None:
            return  # opened for a late tool alone: it says nothing of how the loop went
        self.last_turn = turn
        answer = turn.chat.answer if turn.chat else None
        if answer is not None:
            self.usage = add_usage(self.usage, answer.usage)
            self.tokens = add_tokens(self.tokens, answer.tokens)
            self._add_cost(answer)

    # --- messages and what else happens ------------------------------------------------------------------------------

    def message_ended(self, event: MessageEnd) -> Sequence[TurnNotice]:
        """Takes a whole message; says what turn an answer outside any opened."""
        message: Any = event.message  # lean or not
        kind = message.__class__
        turn, cut = self.turn, _NOTHING
        if message is not None and kind is not ExtensionMessage:
            time_ns = message.timestamp * MILLISECOND_NS
            if time_ns > self.last_ns and time_ns > 0:
                self.last_ns = time_ns
            if kind in ASSISTANTS:
                named = message.turn_id
                if turn is None or named is not None:
                    turn, cut = self.turn_for(named.turn_index if named else None)
                if turn is not None:
                    self._answered(turn, message, message.usage, time_ns or None)
                turn = self.turn  # counts it, whichever turn it named
            else:
                if kind is UserMessage:
                    if turn is None:
                        self.stop_limit = message.stop_limit or self.stop_limit
                elif turn is not None:
                    turn.result(message, time_ns)
                if self.contents is not None:
                    self.contents.take(message)
        if turn is not None:
            turn.message_count += 1
        return cut

    def happened(self, time_ns: int, what: Occurrence) -> None:
        """Takes something that happened: onto the open turn, else onto the loop."""
        self.scope.add(Timed(time_ns, what))

    def compaction_ended(self, time_ns: int, event: CompactionEnded) -> None:
        """Takes the end of a compaction: from here on the loop's context is a compacted one."""
        self.scope.compaction_ended(time_ns, event)
        self.compacted = True
        self._references.compacted(self.start)
        if self.turn is not None:
            self.turn.compacted_ns = time_ns

    @property
    def scope(self) -> Happenings:
        """Where happenings go now: the open turn's, else the loop's own."""
        return self.happenings if self.turn is None else self.turn.happenings

    def _answered(self, turn: OpenTurn, message: AssistantMessage, usage: Usage, time_ns: int | None) -> None:
        if self.contents is not None and turn.answer is None:
            turn.inputs, turn.said = self.contents.answer(), content_json(message.content)
        turn.answered(self._answer(turn, message, usage), time_ns)

    def _answer(self, turn: OpenTurn, message: AssistantMessage, usage: Usage) -> Answer:
        used = message.usage if message.usage != NO_USAGE else usage
        config = self.start.config
        api = config.api if config else None
        provider = (config.provider if config else None) or message.provider
        tokens = count_tokens(used, api, provider)
        models = (message.model, config.model if config else "")
        return Answer(
            model=message.model,
            provider=message.provider,
            stop_reason=message.stop_reason,
            usage=used,
            tokens=tokens,
            error_type=message.error_type or None,
            first_token_ms=or_none(message.first_token_ms),
            streamed=in_pieces(message),
            cost=said_cost(message.cost_usd)
            or cost_of(self.price, Call(tokens, api, provider, models, turn.started_ns)),
        )

    def _add_cost(self, answer: Answer) -> None:
        if answer.cost is not None:
            self.cost = add_costs(self.cost, answer.cost)
        elif answer.tokens.input or answer.tokens.output:
            self.unpriced = True

    def side_answer(self, call: SideCall) -> Answer:
        """Returns what a model said outside turns, and takes its tokens into the loop's totals."""
        answer = side_answer(call, self.start.config, self.price)
        self.usage = add_usage(self.usage, answer.usage)
        self.tokens = add_tokens(self.tokens, answer.tokens)
        self._add_cost(answer)
        return answer

    def tool_place(self, call_id: str) -> ToolPlace | None:
        """Returns where the latest execution of a call stands in the open turn, None where it is not there."""
        found = None if self.turn is None else self.turn.place_of(call_id)
        if self.turn is None or found is None:
            return None
        return ToolPlace(self.start.identity, self.turn.index, self.turn.repeat, *found)

    # --- the end ---------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> ClosedIndexes:
        """The indexes of its turns that have ended."""
        return self._closed

    def open_session(self, event: object) -> list[SessionOpened]:
        """Opens the session that waits for its first prompt, if an event has it or shows that none comes."""
        opened = self.session
        if opened is None or event.__class__ in BEFORE_A_PROMPT:
            return []
        self.session = None
        return [msgspec.structs.replace(opened, prompt=prompt_of(event))]

    def child_ended(self, ended_ns: int) -> None:
        """Takes the end of a child loop."""
        known_ns = self.children_end_ns
        self.children_end_ns = ended_ns if known_ns is None else max(known_ns, ended_ns)

    @property
    def would_end_ns(self) -> int:
        """When it would end if it were closed now."""
        started = self.start.identity.started_ns if self.turn is None else self.turn.started_ns
        return max(self.last_ns, self.turns_end_ns, started + 1)

    def close(self, event: AgentEnd | None, *, lost: bool = False) -> list[TurnClosed | LoopClosed]:
        """Closes the loop: with its AgentEnd, or without one as aborted or lost. A turn still open is closed so first."""
        if event is not None:
            self.seen(event.timestamp)
        turns = self.abort_turn(lost=lost)
        self.happenings.settle()
        time_ns = self.last_ns if event is None or event.timestamp is None else event.timestamp
        closed = LoopClosed(
            loop=self.start,
            ended_ns=max(time_ns, self.turns_end_ns, self.start.identity.started_ns + 1),
            aborted=event is None,
            inferred=event is None or event.timestamp is None,
            rejected=event is not None and event.rejection is not None,
            input_refused=self.input_refused,
            stop_limit=self.stop_limit,
            outcome=None if event is None else event.outcome or None,
            error_type=None if event is None else event.error_type or None,
            usage=self.usage if event is None or event.usage == NO_USAGE else event.usage,
            tokens=self.tokens,
            cost=sum_of(self.cost, partial=self.unpriced),
            turn_count=self.turn_count,
            tool_count=self.tool_count,
            last_turn=self.last_turn,
            happened=tuple(self.happenings.items),
            dropped=self.happenings.dropped,
            lost=lost,
            prompt=() if self.contents is None else self.contents.prompt,
        )
        return [*turns, closed]


def _request(payload: RequestPayload | None) -> Request:
    if payload is None:
        return Request("", None, None, None, None)
    form = payload.response_format
    return Request(
        payload.model_id,
        payload.thinking_level,
        payload.max_tokens,
        payload.temperature,
        form.kind if form else None,
        () if isinstance(payload.tool_names, UnsetType) else payload.tool_names,
    )
