"""The one place that writes phi's events of other agents' facts, in phi's order.

    AgentStart · MessageEnd(user)… · per turn: TurnStart · TurnRequest · MessageEnd(assistant) · ToolExecutionStart… ·
    per result ToolExecutionEnd · MessageEnd(toolResult) · SideCall… · TurnEnd · at the end AgentEnd

Rule 1: a loop is prepared by its prompt and opened by its first answer, so that its model is known and a command that nobody answers
        is no loop.
Rule 2: a turn is told when it has closed. One with a tool that never got its result has no TurnEnd: it was cut short.
Rule 3: a unit is what has been read and not yet told: a prepared loop, a turn. `on_unit` is called at its first record, when all
        before it has been told.
Rule 4: no end precedes its start. Records are never sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import UNSET, Raw

from otel_phi.sources.agents.adapter import SILENCE_NS, Settled
from otel_phi.sources.agents.events import NOT_EXECUTED, start_event, turn_events
from otel_phi.sources.agents.facts import LoopFacts, Progress, ToolFacts, TurnFacts
from otel_phi.wire import events as e
from otel_phi.wire.messages import MILLISECOND_NS, Usage, UserMessage
from otel_phi.wire.times import Instant


class LoopBuilder:
    """Builds the events of one file's loops, one after the other.

    Args:
        progress: what has been told; changed in place.
        on_unit: called when a unit begins, see rule 3.

    Attributes:
        progress: as given.
        turn: the turn under way, None between turns.
        prepared: the loop about to begin, None for none.
        beside: gives what a turn's tools did as agents of the same file; it is told when the turn has been.
    """

    def __init__(self, progress: Progress, on_unit: Callable[[], None]) -> None:
        self.progress = progress
        self.turn: TurnFacts | None = None
        self.prepared: LoopFacts | None = None
        self._said: list[tuple[int, Raw]] = []
        self._apart: list[e.AgentEvent] = []  # whole loops of their own, told when nothing before them is untold
        self._on_unit = on_unit
        self.beside: Callable[[TurnFacts], Iterable[e.AgentEvent]] = _nobody
        self._out: list[e.AgentEvent] = []

    @property
    def idle(self) -> bool:
        """Whether all that was read has been told."""
        return self.turn is None and self.prepared is None and not self._said

    @property
    def answer_ns(self) -> int:
        """The end of the answer that may have ended the loop, 0 while the agent is at work."""
        if self.turn is None:
            return self.progress.answer_ns
        return self.turn.answered_ns if self.turn.final and not self.turn.tools else 0

    def take(self) -> list[e.AgentEvent]:
        """Returns the events built since the last time."""
        out, self._out = self._out, []
        return out

    def tell(self, events: Iterable[e.AgentEvent]) -> None:
        """Takes whole loops of others."""
        self._out += events

    # --- loops -------------------------------------------------------------------------------------------------------

    def prepare(self, facts: LoopFacts) -> None:
        """Takes a prompt that begins a loop; the loop before it is over."""
        self.finish()
        if not self._said:
            self._on_unit()
        self.prepared = facts

    def prepare_more(self, facts: LoopFacts) -> None:
        """Takes an answer that no prompt came before: of a new loop, or of what goes on after a loop was over."""
        progress = self.progress
        if progress.base_id:
            facts.loop_id = self.next_loop_id
            facts.kind, facts.parent_loop_id, facts.trigger = "Default", progress.base_id, "Continuation"
        if progress.last_ns < progress.mark_ns < facts.started_ns or not progress.base_id:
            facts.started_ns = progress.mark_ns or facts.started_ns
        self.prepare(facts)

    @property
    def next_loop_id(self) -> str:
        """The loop that an answer belongs to if it comes now, "" where nothing came before it."""
        progress = self.progress
        if self.prepared is not None:
            return self.prepared.loop_id
        if progress.is_open:
            return progress.loop_id
        return f"{progress.base_id}+{progress.part + 1}" if progress.base_id else ""

    def discard(self) -> None:
        """Forgets the prepared loop and what was said for it."""
        self.prepared = None
        self._said.clear()
        self._tell_said()

    def said(self, at_ns: int, content: Raw) -> None:
        """Takes what the user said: the prompt of the prepared loop, or a word into the open one."""
        if self.idle:
            self._on_unit()
        self._said.append((at_ns, content))
        self.heard(at_ns)

    def heard(self, at_ns: int) -> None:
        """Takes that something came that the model may have been asked about."""
        self.progress.mark_ns = max(self.progress.mark_ns, at_ns)

    def pause(self, at_ns: int) -> bool:
        """Ends the loop at its answer if the record of that time came after a pause; says whether it did."""
        answer_ns = self.answer_ns
        if not answer_ns or at_ns - answer_ns <= SILENCE_NS:
            return False
        self.end(answer_ns)
        return True

    def finish(self) -> None:
        """Ends the loop because another begins, as far as what was read of it goes."""
        self.end(self.answer_ns) if self.answer_ns or self.progress.failed else self.end(0, outcome="")

    def end(self, at_ns: int, *, outcome: str = "ok", error_type: str = "") -> None:
        """Ends the open loop, or the prepared one without an answer.

        Args:
            at_ns: when, 0 for its last known time.
            outcome: how it went, "" where the format does not say: then the turns tell.
            error_type: what went wrong, "" for nothing.
        """
        self._close_turn()
        if self.prepared is not None and not self.prepared.weak:
            self._open(self.prepared)
        self.prepared = None
        self._tell_said()
        progress = self.progress
        if not progress.is_open:
            return
        if progress.failed and outcome in ("ok", ""):
            outcome, error_type = "error", progress.failed
        elif progress.bad_answer and outcome == "ok":
            outcome = ""  # its last turn says what went wrong
        progress.is_open, progress.failed, progress.answer_ns = False, "", 0
        progress.last_ns = max(at_ns, progress.last_ns)
        self._out.append(
            e.AgentEnd(
                loop_id=progress.loop_id,
                timestamp=None if progress.untimed else Instant(progress.last_ns),
                outcome=outcome or UNSET,
                error_type=error_type or UNSET,
            )
        )

    def fail(self, at_ns: int, error_type: str) -> None:
        """Takes an attempt that came to nothing; the loop is an error if nothing follows it."""
        self._close_turn()
        if self.prepared is not None:
            self._open(self.prepared)
        self._tell_said()
        if self.progress.is_open:
            self.progress.failed, self.progress.answer_ns = error_type, at_ns
            self.progress.last_ns = max(self.progress.last_ns, at_ns)

    def cancel(self, at_ns: int) -> None:
        """Takes that the user stopped the agent; tools without a result were not executed."""
        if self.turn is not None:
            for call_id in [call_id for call_id in self.turn.tools if call_id not in self.turn.results]:
                self.turn.tools[call_id].error_type = NOT_EXECUTED
                self.turn.tools[call_id].ended_ns = at_ns
                self.turn.results.append(call_id)
        self.end(at_ns, outcome="cancelled")

    def settle(self, why: Settled) -> None:
        """Takes that nothing more comes, see `Fold.settle`."""
        if self.answer_ns:
            self.end(self.answer_ns)
        elif why == "end":
            self._close_turn()
            if self.prepared is not None and not self.prepared.weak:
                self._open(self.prepared)
            self.prepared = None
            self._tell_said()

    # --- turns -------------------------------------------------------------------------------------------------------

    def begin_turn(self, at_ns: int, request_ns: int = 0) -> TurnFacts:
        """Begins a turn of the prepared or the open loop, with the first record of its answer."""
        self._close_turn()
        if self.prepared is not None:
            self._open(self.prepared)
        self._tell_said()
        self._on_unit()
        progress = self.progress
        progress.failed, progress.answer_ns = "", 0
        first_ns = min(at_ns, request_ns or at_ns)
        started_ns = max(min(progress.mark_ns or first_ns, first_ns), progress.started_ns)
        self.turn = TurnFacts(at_ns=at_ns, started_ns=started_ns, request_ns=request_ns)
        return self.turn

    def end_turn(self) -> None:
        """Tells the turn under way: the format says that nothing more of it comes."""
        self._close_turn()

    def answered(self, call_id: str, at_ns: int) -> ToolFacts | None:
        """Takes a tool's result; None for one that no call of the open turn waits for."""
        turn = self.turn
        if turn is None or call_id not in turn.tools or call_id in turn.results:
            return None
        tool = turn.tools[call_id]
        tool.ended_ns = max(at_ns, tool.started_ns)
        turn.results.append(call_id)
        return tool

    def compacted(self, at_ns: int, before: int, after: int, asked_ns: int = 0) -> None:
        """Takes a compaction of the context between two turns."""
        self._close_turn()
        progress = self.progress
        if progress.is_open:
            loop_id = progress.loop_id
            started_ns = asked_ns or at_ns
            self._out.append(
                e.CompactionStarted(loop_id=loop_id, estimated_tokens=before, timestamp=Instant(started_ns))
            )
            self._out.append(
                e.CompactionEnded(
                    loop_id=loop_id,
                    estimated_tokens_before=before,
                    estimated_tokens_after=after,
                    timestamp=Instant(at_ns),
                )
            )
            progress.last_ns = max(progress.last_ns, at_ns)
        self.heard(at_ns)

    def side(
        self,
        call_id: str,
        usage: Usage,
        asked_ns: int,
        at_ns: int,
        *,
        kind: str,
        model: str = "",
        provider: str = "",
        cost_usd: float | None = None,
    ) -> None:
        """Takes a model call beside the turns: within the open one a `SideCall`, else a loop of its own with one turn.

        Args:
            call_id: names it in its session.
            usage: its tokens.
            asked_ns: when it was asked, 0 for unknown.
            at_ns: when it was answered.
            kind: what it was for, in one word.
            model: what answered, "" where unknown.
            provider: of the model.
            cost_usd: what it cost, None where unknown; told where it is a loop of its own.
        """
        progress, turn = self.progress, self.turn
        if turn is not None:
            turn.others.append(
                e.SideCall(
                    id=call_id,
                    session_id=progress.session_id,
                    loop_id=progress.loop_id,
                    model=model or turn.model,
                    provider=provider or turn.provider,
                    usage=usage,
                    start=Instant(asked_ns or at_ns),
                    end=Instant(at_ns),
                    kind=kind,
                )
            )
            return
        apart = LoopBuilder(Progress(session_id=progress.session_id), _nothing)
        loop_id, started_ns = f"{progress.session_id}.{call_id}", asked_ns or at_ns
        facts = LoopFacts(loop_id=loop_id, started_ns=started_ns, kind="Compaction", model=model, provider=provider)
        facts.parent_loop_id, facts.trigger = progress.loop_id or None, "Continuation"
        apart.prepare(facts)
        lone = apart.begin_turn(at_ns, asked_ns)
        lone.answered_ns, lone.usage, lone.model, lone.provider, lone.final = at_ns, usage, model, provider, True
        lone.cost_usd = cost_usd
        apart.end(at_ns)
        self._apart += apart.take()
        if self.idle:
            self._tell_said()

    # --- events ------------------------------------------------------------------------------------------------------

    def _open(self, facts: LoopFacts) -> None:
        progress = self.progress
        is_more = progress.base_id and facts.loop_id.startswith(f"{progress.base_id}+")
        progress.part = progress.part + 1 if is_more else 1
        progress.base_id = progress.base_id if is_more else facts.loop_id
        progress.loop_id, progress.is_open = facts.loop_id, True
        progress.started_ns = progress.last_ns = facts.started_ns
        progress.mark_ns = max(progress.mark_ns, facts.started_ns)
        progress.turns, progress.answer_ns, progress.failed, progress.trigger = 0, 0, "", facts.trigger
        self._out.append(start_event(facts, progress.session_id))
        self.prepared = None

    def _tell_said(self) -> None:
        """Tells what the user said, if a loop is there to hear it."""
        if self.progress.is_open:
            for at_ns, content in self._said:
                message = UserMessage(content=content, timestamp=at_ns // MILLISECOND_NS)
                self._out.append(e.MessageEnd(loop_id=self.progress.loop_id, message=message))
                self.progress.last_ns = max(self.progress.last_ns, at_ns)
        self._said.clear()
        self._out += self._apart
        self._apart.clear()

    def _close_turn(self) -> None:
        turn, progress = self.turn, self.progress
        if turn is None:
            return
        trigger = progress.trigger if progress.turns == 0 else "Continuation"
        self._out += turn_events(turn, progress.loop_id, progress.turns, trigger, untimed=progress.untimed)
        self._out += self.beside(turn)
        progress.turns += 1
        progress.last_ns = max(progress.last_ns, turn.ended_ns)
        progress.answer_ns, progress.bad_answer = self.answer_ns, turn.stop_reason == "error"
        progress.mark_ns = max(progress.mark_ns, turn.ended_ns) if not turn.unanswered else turn.ended_ns
        self.turn = None


def _nothing() -> None:
    pass


def _nobody(_turn: TurnFacts) -> Iterable[e.AgentEvent]:
    return ()
