"""Codex rollouts: `sessions/YYYY/MM/DD/rollout-*.jsonl`, a file a thread.

Rule 1: a loop is a task (`task_started` to `task_complete` or `turn_aborted`); files without tasks have a loop a user's message.
Rule 2: a turn is what the model said up to a usage, and the outputs of its tools; it is over with the next thing the model says.
Rule 3: of usages, records count from the first one on; before it, a `token_count` whose total has grown. A record replaces the numbers
        of the open call.
Rule 4: a fork begins with copied history: lines below an ordinal, or, in files without ordinals that name another thread's
        `session_meta`, lines of the file's first second. Their last total is where this thread's begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from otel_phi.sources.agents import codex_lines as lines
from otel_phi.sources.agents.adapter import Context, Settled
from otel_phi.sources.agents.codex_history import CodexHistory
from otel_phi.sources.agents.codex_lines import Line, Outcome, Payload
from otel_phi.sources.agents.facts import LoopFacts, ToolFacts, TurnFacts
from otel_phi.sources.agents.reading import as_content, decoded, ident, members, number, said, text, text_block
from otel_phi.wire.events import AgentEvent
from otel_phi.wire.messages import NULL
from otel_phi.wire.parts import Tag

_ITEMS = ("message", "reasoning", *lines.CALLS, *lines.OUTPUTS, *lines.SELF_CONTAINED)
MAX_LOOPS = 16  # that can be gone back to; a state keeps their ids
_lines = msgspec.json.Decoder(Line)
_payloads = msgspec.json.Decoder(Payload)


class CodexFold(CodexHistory):
    """A codex fold is the fold of one rollout."""

    def __init__(self, context: Context, state: bytes = b"") -> None:
        super().__init__(context, state)
        self._prompt: Raw | None = None  # a user's item that a `user_message` may repeat
        self._spoken = ""  # an `agent_message` that no item has repeated yet
        self._measured = ""  # where the open turn's usage is from: "", "count" or "record"
        self._answered = False  # whether a tool of the open turn has its output
        self._outcomes: dict[str, Outcome] = {}

    def shrink(self) -> None:
        """Makes the state smaller."""
        super().shrink()
        self.own.loops = self.own.loops[(len(self.own.loops) + 1) // 2 :]

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes, see `Fold`."""
        if why == "silence" and self.own.tasks:
            return ()  # a task says when it is over
        self.release()
        self._finish_turn()
        return super().settle(why)

    def take(self, data: bytes) -> None:
        """Takes a line."""
        line = decoded(_lines, data)
        if line is None:
            self.counts["bad_lines"] += 1
            return
        bare = line.payload == NULL and line.type in _ITEMS
        payload = decoded(_payloads, data if bare else line.payload) or Payload()
        kind = "response_item" if bare else text(line.type)
        at_ns = self.time(line.timestamp)
        if kind == "session_meta" or (not self.own.thread and line.id is not None and line.payload == NULL):
            self.meta(line, payload)
        elif not self.is_copy(line, payload, data):
            self._dispatch(kind, payload, at_ns)

    def _dispatch(self, kind: str, payload: Payload, at_ns: int) -> None:
        self.begin()
        if not self.own.tasks:
            self.build.pause(at_ns)
        if self.own.foreign_task and not (kind == "event_msg" and payload.type == "task_started"):
            self.counts["copied_lines"] += 1
            return
        match kind:
            case "response_item":
                self._item(payload, at_ns)
            case "event_msg":
                self._event(payload, at_ns)
            case "turn_context":
                self._settings(payload)
            case "token_usage_record":
                self._record(payload, at_ns)
            case "compacted":
                self._finish_turn()
                self.counts["compactions"] += 1
                self.build.compacted(at_ns, 0, 0)
            case _:
                self.skip(kind)

    # --- loops -------------------------------------------------------------------------------------------------------

    def _event(self, payload: Payload, at_ns: int) -> None:
        match payload.type:
            case "task_started":
                self._task(ident(payload.turn_id), at_ns)
            case "user_message":
                self._user_said(said(text(payload.message)), at_ns, event=True)
            case "task_complete":
                self._complete(payload, at_ns)
            case "turn_aborted":
                self._finish_turn()
                self.counts["interrupts"] += 1
                self.build.cancel(at_ns)
            case "agent_message" | "agent_reasoning":
                self._speaks(payload, at_ns)
            case "token_count":
                self._count(payload, at_ns)
            case "item_completed":
                item = members(payload.item)
                self._outcomes[text(item.get("call_id")) or text(item.get("id"))] = lines.outcome_of_item(item)
            case "error" | "stream_error":
                self._finish_turn()
                self.build.fail(at_ns, "api_error")
            case "thread_rolled_back":
                self._rolled_back(number(payload.num_turns))
            case "thread_settings_applied":
                self._settings(payload)
            case _:
                self.skip(f"event_msg/{text(payload.type)}")

    def _complete(self, payload: Payload, at_ns: int) -> None:
        turn, first_ms = self.build.turn, payload.time_to_first_token_ms
        if turn is not None and self.own.progress.turns == 0 and isinstance(first_ms, int | float):
            turn.first_token_ms = int(first_ms)  # of the task's first call: for a later one it comes too late
        self._finish_turn()
        self.build.end(at_ns)

    def _rolled_back(self, turns: int) -> None:
        own = self.own
        own.back_to = own.loops[-turns - 1] if turns < len(own.loops) else ""
        own.forked = True

    def _task(self, turn_id: str, at_ns: int) -> None:
        self._finish_turn()
        self.own.tasks = True
        if self.build.prepared is not None and self.build.prepared.weak:
            self.build.discard()  # what Codex said to the model before the first task
        loop_id = f"{self.own.thread}.{turn_id or self.position}"
        self.own.foreign_task = bool(turn_id) and not self.claim("task", turn_id, loop_id)
        if self.own.foreign_task:
            self.counts["copied_loops"] += 1
            self.build.finish()
        else:
            self._prepare(loop_id, at_ns)

    def _prepare(self, loop_id: str, at_ns: int, *, weak: bool = False) -> None:
        own = self.own
        facts = self._facts(loop_id, at_ns)
        facts.weak = weak
        self.build.prepare(facts)
        own.loops = own.loops if weak else [*own.loops[1 - MAX_LOOPS :], loop_id]
        own.forked, own.back_to, self._prompt = False, "", None

    def _facts(self, loop_id: str, at_ns: int) -> LoopFacts:
        own = self.own
        facts = LoopFacts(loop_id=loop_id, started_ns=at_ns, source=own.source, agent_name=own.agent_name)
        if own.is_child:
            facts.kind, facts.trigger = "SubAgent", "SubAgent"
            facts.parent_tool_call_id = self.context.parent_call(own.thread)
            facts.parent_session_id = own.origin or None
        elif own.forked:
            facts.kind, facts.trigger = {"Branch": Tag()}, "Branch"
            facts.parent_loop_id, facts.parent_session_id = own.back_to or None, own.origin or None
        return facts

    def _user_said(self, content: Raw, at_ns: int, *, event: bool) -> None:
        build = self.build
        if not self.own.tasks and (event or not self.own.said) and build.prepared is None:
            self._finish_turn()
            self._prepare(f"{self.own.thread}.{self.position}", at_ns, weak=not event)
        if event:
            if build.prepared is not None:
                build.prepared.weak = False
            self.own.said, self._prompt = True, None
            build.said(at_ns, content)
        elif build.prepared is not None:
            self._prompt = content
        build.heard(at_ns)

    def _settings(self, payload: Payload) -> None:
        self.own.model = text(payload.model)[: lines.MAX_TEXT] or self.own.model
        self.own.effort = text(payload.effort)[: lines.MAX_TEXT] or self.own.effort

    # --- turns -------------------------------------------------------------------------------------------------------

    def _turn(self, at_ns: int) -> TurnFacts:
        """Returns the turn that what the model says belongs to: the open one, or a new one after a usage or an output."""
        build, own = self.build, self.own
        if build.turn is not None and not self._measured and not self._answered:
            return build.turn
        self._finish_turn()
        if build.prepared is None and not build.progress.is_open:
            build.prepare_more(self._facts(f"{own.thread}.{self.position}", at_ns))
        if build.prepared is not None:
            build.prepared.model, build.prepared.provider = own.model, own.provider
            build.prepared.thinking_level = own.effort
            if self._prompt is not None:
                build.said(build.prepared.started_ns, self._prompt)
        self._prompt = None
        turn = build.begin_turn(at_ns)
        turn.model, turn.provider, turn.thinking_level = own.model, own.provider, own.effort
        self._measured, self._answered, self._spoken = "", False, ""
        self._outcomes.clear()
        return turn

    def _speaks(self, payload: Payload, at_ns: int) -> None:
        """Takes an event that says what an item will say, too, but for old files."""
        self._turn(at_ns)
        if payload.type == "agent_message":
            self._spoken = text(payload.message)

    def _finish_turn(self) -> None:
        """Puts what only an event said into the open turn, before it is told."""
        turn = self.build.turn
        if turn is not None and self._spoken and not turn.blocks:
            turn.blocks.append(text_block(self._spoken))
            turn.final = True
        self._spoken = ""

    def _item(self, payload: Payload, at_ns: int) -> None:
        kind = text(payload.type) or "message"
        if kind in lines.OUTPUTS:
            self._output(payload, at_ns)
        elif kind in lines.CALLS or kind in lines.SELF_CONTAINED:
            self._call(payload, kind, at_ns)
        elif kind == "reasoning":
            turn = self._turn(at_ns)
            turn.answered_ns = max(turn.answered_ns, at_ns)
            turn.blocks += lines.thinking_blocks(payload)
        elif kind == "message" and payload.role == "assistant":
            turn = self._turn(at_ns)
            turn.answered_ns, self._spoken = max(turn.answered_ns, at_ns), ""
            turn.blocks += lines.message_blocks(payload.content)
            turn.final = True
        elif kind == "message" and payload.role == "user" and not lines.is_context(payload):
            self._user_said(as_content(lines.joined_texts(payload.content)), at_ns, event=False)
        else:
            self.skip(f"response_item/{kind}")

    def _call(self, payload: Payload, kind: str, at_ns: int) -> None:
        turn = self._turn(at_ns)
        call_id = ident(payload.call_id) or ident(payload.id) or f"@{self.position}"
        if call_id in turn.tools:
            self._answered = True  # no answer calls two tools by one id
            turn = self._turn(at_ns)
        turn.answered_ns = max(turn.answered_ns, at_ns)
        name, args = lines.name_of(payload), lines.args_of(payload)
        turn.tools[call_id] = ToolFacts(call_id=call_id, name=name, started_ns=at_ns, args=args)
        turn.blocks.append(lines.call_block(call_id, name, args))
        if kind in lines.SELF_CONTAINED:
            self.build.answered(call_id, at_ns)

    def _output(self, payload: Payload, at_ns: int) -> None:
        call_id = ident(payload.call_id)
        tool = self.build.answered(call_id, at_ns)
        if tool is None:
            self.counts["late_results"] += 1
            return
        self._answered = True
        known = self._outcomes.pop(call_id, Outcome())
        ended = lines.outcome_of_output(payload.output) if known.failed is None else known
        tool.is_error = ended.failed is True
        tool.content = lines.content_of_output(payload.output)
        if 0 < known.length_ns < at_ns - tool.started_ns:
            tool.started_ns = at_ns - known.length_ns

    # --- usage -------------------------------------------------------------------------------------------------------

    def _count(self, payload: Payload, at_ns: int) -> None:
        own, info = self.own, members(payload.info)
        total, last = members(info.get("total_token_usage")), members(info.get("last_token_usage"))
        if not total and not last:
            return
        grown = number(total.get("total_tokens")) > own.total.get("total_tokens", 0) if total else bool(last)
        if grown and not own.records:
            own.model = text(info.get("model"))[: lines.MAX_TEXT] or own.model
            self._measure(last or lines.difference(total, own.total), "count", at_ns)
        if total:  # not before: the state of a turn that begins with this line must have the total before it
            own.total = lines.difference(total, {})

    def _record(self, payload: Payload, at_ns: int) -> None:
        response_id = text(payload.response_id)
        if response_id and not self.claim("call", response_id, self.build.next_loop_id):
            self.counts["copied_calls"] += 1
            return
        self.own.records = True
        self._measure(payload.usage, "record", at_ns)

    def _measure(self, usage: object, by: str, at_ns: int) -> None:
        """Gives a usage to the open call, or to one of which nothing else is known."""
        turn = self.build.turn
        if turn is None or self._measured == by:
            turn = self._turn(at_ns)
            turn.final = True
        turn.usage, self._measured = lines.usage_of(usage), by
        turn.answered_ns = turn.answered_ns or at_ns
