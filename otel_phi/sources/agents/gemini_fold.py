"""Gemini CLI's sessions: lines, each a message as it then stood, or one document of older versions.

Rule 1: a message is written whole again whenever it changes, the last one counts: a turn is over with another message. One that
        changes after its turn was told gives a turn with what has come to it.
Rule 2: a user's message is a loop unless it is tools' results; several in a row are one prompt. What an info or a warning says is nothing.
Rule 3: `$set.messages` is the whole history once more. What is new in it is a message only where a model's answer is new, too: else
        Gemini CLI has written it, when it made the history shorter.
Rule 4: an answer shows no tools before they have ended. One that took longer than a pause belongs to what goes on after it: a turn that
        no model was asked for in.
Rule 5: `$rewindTo` takes back nothing that was spent: the next prompt begins a branch of the loop before.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from otel_phi.sources.agents import gemini_lines as lines
from otel_phi.sources.agents.adapter import SILENCE_NS, Context, Settled
from otel_phi.sources.agents.builder import LoopBuilder
from otel_phi.sources.agents.claims import claim_key, owner_key
from otel_phi.sources.agents.events import NOT_EXECUTED
from otel_phi.sources.agents.facts import LoopFacts, TurnFacts
from otel_phi.sources.agents.fold import BaseFold
from otel_phi.sources.agents.gemini_lines import Record
from otel_phi.sources.agents.gemini_state import MAX_GIVEN, MAX_PROMPTS, MAX_TITLE, GeminiState, Given, less, states
from otel_phi.sources.agents.reading import decoded, ident, instant, pieces, text
from otel_phi.wire.events import AgentEvent
from otel_phi.wire.messages import NULL, Usage
from otel_phi.wire.parts import Source, Tag
from otel_phi.wire.uuids import is_uuid

NAME = "gemini-cli"
PROVIDER = "gcp.gemini"  # the name of Google's model API; whether it was reached through Vertex nobody says


class GeminiFold(BaseFold[GeminiState]):
    """A gemini fold is the fold of one session's file."""

    def __init__(self, context: Context, state: bytes = b"") -> None:
        super().__init__(context, states.decode(state) if state else GeminiState(), NAME)
        self._open: Given | None = None  # the message of the open turn, and what was told of it before
        self._is_document = False

    def shrink(self) -> None:
        """Makes the state smaller."""
        super().shrink()
        self.own.prompts = self.own.prompts[(len(self.own.prompts) + 1) // 2 :]
        self.own.given = self.own.given[(len(self.own.given) + 1) // 2 :]

    def take(self, data: bytes) -> None:
        """Takes a line, or the document."""
        record = decoded(lines.records, data)
        if record is None:
            self.counts["bad_lines"] += 1
            return
        self._begin(record)
        if lines.is_list(record.messages):
            self._document(record)
            return
        first, self.own.element = self.own.element, 0
        if isinstance(record.rewind_to, str):
            self._rewind(record.rewind_to)
        elif isinstance(record.id, str):
            self._message(record)
        elif record.set_ != NULL:
            self._set(decoded(lines.records, record.set_) or Record(), first)
        elif not lines.is_header(record):
            self.skip(text(record.type))

    # --- the session ---------------------------------------------------------------------------------------------------

    def _begin(self, record: Record) -> None:
        own, progress = self.own, self.own.progress
        if not progress.session_id:
            own_id = ident(record.sessionId) or self.context.name
            own.child_id = own_id if record.kind == "subagent" or self.context.agent_id else ""
            progress.session_id = self.context.session or own_id
            own.seen_ns = instant(record.startTime)
        own.title = text(record.summary)[:MAX_TITLE] or own.title

    def _document(self, record: Record) -> None:
        """Takes a whole session; given again, what has been told of it is not told again, and the rest as it now stands."""
        if self._is_document:
            self.own = states.decode(self.state)
            self.own.position, self._open = -1, None
            self.build = LoopBuilder(self.own.progress, self._unit_begins)
        self._is_document = True
        for index, raw in enumerate(pieces(record.messages)):
            if index < self.own.element:
                continue
            self.own.element = index
            message = decoded(lines.records, raw)
            if message is None:
                self.counts["bad_lines"] += 1
            else:
                self._message(message)
            self.own.element = index + 1

    def _set(self, change: Record, first: int) -> None:
        """Takes a change of what is known of the session; of a history, what comes from that message on."""
        self.own.title = text(change.summary)[:MAX_TITLE] or self.own.title
        found = [decoded(lines.records, raw) for raw in pieces(change.messages)]
        history = {index: one for index, one in enumerate(found, 1) if one is not None and isinstance(one.id, str)}
        new = {index: one for index, one in history.items() if self._is_new(one, index)}
        if not any(one.type == "gemini" and not lines.is_made(one) for one in new.values()) and new:
            self.counts["skipped:$set/messages"] += len(new)
            self._shortened({ident(one.id) for one in history.values()})
            history = {index: one for index, one in history.items() if index not in new}
        for index, one in history.items():
            if index >= first:
                self.own.element = index
                if index in new:
                    self._message(one, claimed=True)
                elif one.type == "gemini":
                    self._gemini(one, ident(one.id), self.time(one.timestamp), known=True)
        self.own.element = 0

    def _is_new(self, message: Record, index: int) -> bool:
        """Says whether nothing has been read of a message yet; those of a history are claimed by where they stand in it."""
        return not self._is_open(ident(message.id)) and self._claim_message(ident(message.id), index)

    def _shortened(self, history: set[str]) -> None:
        """Takes that the history has lost what was said, and has something else for it."""
        if self.own.prompts and self.own.prompts[0] not in history:
            self.counts["compactions"] += 1
            self._close()
            self.build.compacted(self.own.seen_ns, 0, 0)

    def _rewind(self, message_id: str) -> None:
        own, progress = self.own, self.own.progress
        self.counts["rewinds"] += 1
        if message_id in own.prompts:
            own.prompts = own.prompts[: own.prompts.index(message_id)]
        own.rewound = True
        own.back_to = self._loop_id(own.prompts[-1]) if own.prompts and progress.loop_id else ""

    # --- messages ------------------------------------------------------------------------------------------------------

    def _claim_message(self, message_id: str, index: int = 0) -> bool:
        """Says whether a message is read here first; those of one record are told apart by their number."""
        session_id = self.own.progress.session_id
        owner = owner_key(session_id, self.own.child_id, self.position + (index or self.own.element))
        # Ids of other tools' imitations are unique in their session alone.
        key = claim_key(NAME, "message", message_id, "" if is_uuid(message_id) else session_id)
        return self.context.claims.claim(key, owner)

    def _message(self, record: Record, *, claimed: bool = False) -> None:
        at_ns = self.time(record.timestamp)
        message_id = ident(record.id) or f"@{self.position}.{self.own.element}"
        match record.type:
            case "user" if lines.is_response(record):
                self.skip("user/functionResponse")
            case "user":
                self._user(record, message_id, at_ns, claimed=claimed)
            case "gemini":
                self._gemini(record, message_id, at_ns, claimed=claimed)
            case "error":
                self._error(message_id, at_ns, claimed=claimed)
            case _:
                self.skip(text(record.type))

    def _user(self, record: Record, message_id: str, at_ns: int, *, claimed: bool) -> None:
        build, weak = self.build, lines.is_command(record)
        if not claimed and not self._claim_message(message_id):
            self.counts["copied_prompts"] += 1
            return
        self._pause(at_ns)
        self._cancelled()
        if build.prepared is not None and build.prepared.weak and not weak:
            build.discard()
        if build.prepared is None:
            self._close()
            facts = self._facts(message_id, at_ns)
            facts.weak = weak
            build.prepare(facts)
            self.own.prompts = [*self.own.prompts[1 - MAX_PROMPTS :], message_id]
            self.own.rewound, self.own.back_to = False, ""
        build.said(at_ns, lines.content_of(record))

    def _error(self, message_id: str, at_ns: int, *, claimed: bool) -> None:
        if not claimed and not self._claim_message(message_id):
            self.counts["copied_lines"] += 1
        elif self.build.answer_ns or (self.build.prepared is not None and self.build.prepared.weak):
            self.skip("error")  # of a command
        else:
            self.counts["api_errors"] += 1
            self._close()
            self.build.fail(at_ns, "api_error")

    def _gemini(
        self, record: Record, message_id: str, at_ns: int, *, claimed: bool = False, known: bool = False
    ) -> None:
        """Takes an answer as it now stands: of the open turn, one that was told, or a new one, which none `known` can be."""
        if self._is_open(message_id):
            self._more(record, at_ns)
            return
        before = next((one for one in self.own.given if one.id == message_id), None)
        if before is not None:
            if self._has_more(record, before):
                more_ns = _first_end_ns(record, before.calls) or at_ns
                self._pause(more_ns)
                self._turn(record, before, more_ns)
        elif claimed or (not known and self._claim_message(message_id)):
            self._pause(at_ns)
            self._turn(msgspec.structs.replace(record, toolCalls=NULL), Given(id=message_id), at_ns)
            self._more(record, at_ns)
        elif not known:
            self.counts["copied_calls"] += 1

    def _is_open(self, message_id: str) -> bool:
        return self.build.turn is not None and self._open is not None and message_id == self._open.id

    def _more(self, record: Record, at_ns: int) -> None:
        """Takes what has come to the answer of the open turn."""
        turn, before = self.build.turn, self._open
        if turn is None or before is None:
            return
        if not turn.tools:
            self._fill(turn, msgspec.structs.replace(record, toolCalls=NULL), at_ns)
            late_ns = _first_end_ns(record, before.calls)
            if self._pause(late_ns):
                self._turn(record, self.own.given[-1], late_ns)
                return
        self._fill(turn, record, at_ns)

    def _pause(self, at_ns: int) -> bool:
        """Ends the loop at its answer if the record of that time came after a pause; says whether it did."""
        answer_ns = self.build.answer_ns
        if answer_ns and at_ns - answer_ns > SILENCE_NS:
            self._close()
        return self.build.pause(at_ns)

    def _turn(self, record: Record, before: Given, at_ns: int) -> None:
        """Begins the turn of a message, or of what has come to one since its turn was told."""
        build = self.build
        self._close()
        if build.prepared is None and not build.progress.is_open:
            build.prepare_more(self._facts(before.id, at_ns))
        if build.prepared is not None:
            build.prepared.model, build.prepared.provider = text(record.model), PROVIDER
        turn = build.begin_turn(at_ns)
        self._open = before
        self._fill(turn, record, at_ns)

    def _fill(self, turn: TurnFacts, record: Record, at_ns: int) -> None:
        """Makes the open turn what its message says now."""
        before = self._open or Given(id="")
        turn.answered_ns = max(turn.answered_ns, at_ns)
        turn.model, turn.provider = text(record.model), PROVIDER
        turn.usage, turn.blocks = less(lines.usage_of(record), before.usage), lines.answer_blocks(record)
        turn.no_call = turn.usage == Usage() and any(one.id == before.id for one in self.own.given)
        turn.tools.clear()
        turn.results.clear()
        for index, call in enumerate(lines.calls_of(record)):
            if index < before.calls:
                continue
            tool = lines.tool_of(call, lines.call_id_of(call, before.id, index), at_ns)
            turn.tools[tool.call_id] = tool
            turn.blocks.append(lines.call_block(tool))
            if call.status == "cancelled":
                tool.error_type = NOT_EXECUTED
            if call.status in lines.ENDED:
                self.build.answered(tool.call_id, lines.ended_ns(call, at_ns))
        turn.final = not turn.tools

    def _has_more(self, record: Record, before: Given) -> bool:
        return len(lines.calls_of(record)) > before.calls or less(lines.usage_of(record), before.usage) != Usage()

    def _close(self) -> None:
        """Notes what is told of the open turn's message."""
        turn, before = self.build.turn, self._open
        if turn is None or before is None:
            return
        now = before.and_more(turn.usage, len(turn.tools))
        others = [one for one in self.own.given if one.id != now.id]
        self.own.given, self._open = [*others[1 - MAX_GIVEN :], now], None

    def _cancelled(self) -> None:
        """Ends the loop where the user allowed none of the tools that the last answer asked for."""
        turn = self.build.turn
        if turn is not None and turn.tools and all(one.error_type == NOT_EXECUTED for one in turn.tools.values()):
            self.counts["interrupts"] += 1
            self._close()
            self.build.cancel(max(turn.ended_ns, turn.answered_ns))

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes, see `Fold`."""
        if why == "end":
            self._cancelled()
        if why == "end" or self.build.answer_ns:
            self._close()
        return super().settle(why)

    # --- loops ---------------------------------------------------------------------------------------------------------

    def _loop_id(self, message_id: str) -> str:
        own = self.own
        inner = f"{own.child_id}." if own.child_id else ""
        return f"{own.progress.session_id}.{inner}{message_id}"

    def _facts(self, message_id: str, at_ns: int) -> LoopFacts:
        own = self.own
        source = Source(agent=NAME, title=own.title or UNSET)
        facts = LoopFacts(loop_id=self._loop_id(message_id), started_ns=at_ns, source=source)
        if own.child_id:
            facts.kind, facts.trigger = "SubAgent", "SubAgent"
            facts.parent_tool_call_id = self.context.parent_call(own.child_id)
            facts.parent_loop_id = self.context.parent_loop(own.child_id)
        elif own.rewound:
            facts.kind, facts.trigger, facts.parent_loop_id = {"Branch": Tag()}, "Branch", own.back_to or None
        return facts


def _first_end_ns(record: Record, after: int) -> int:
    """Returns when the first tool of an answer had ended, without those that were told before; 0 for none."""
    return min((lines.ended_ns(call, 0) for call in lines.calls_of(record)[after:]), default=0)
