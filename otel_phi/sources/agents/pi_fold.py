"""pi's sessions: files of version 1 to 3, and what `pi --mode json` prints.

Rule 1: a loop is a user's message that comes after an answer, a turn an answer with its tools' results. An answer that failed is a
        turn, too: pi tries again in the same loop.
Rule 2: a message's time is its start, its entry's time its end. The stream has no entries: an answer ended before its tools began.
Rule 3: forks copy entries; entry id and message time are claimed. The stream has no ids: its messages are claimed by what they hold,
        and so are those of files, so that a session that is both is read once.
Rule 4: an entry whose parent is not the entry before begins a branch.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from otel_phi.sources.agents import pi_lines as lines
from otel_phi.sources.agents.adapter import Context
from otel_phi.sources.agents.facts import LoopFacts, ToolFacts
from otel_phi.sources.agents.fold import BaseFold, FoldState
from otel_phi.sources.agents.pi_lines import Entry, Message, message_of
from otel_phi.sources.agents.reading import decoded, ident, instant, members, number, text
from otel_phi.wire.messages import Usage
from otel_phi.wire.parts import Source, Tag

NAME = "pi"
MAX_ENDS = 48  # loops that can be gone back to: 48 entry ids and loop ids are 3 kB
MAX_TEXT = 256  # of what a state keeps
_entries = msgspec.json.Decoder(Entry)


class PiState(FoldState, kw_only=True):
    """A pi state is the state of a session.

    Attributes:
        source: as `AgentStart.source`.
        provider: of the model that answers next.
        model: see `provider`.
        effort: how much it is to think.
        last_entry: the id of the entry before.
        ends: the last entry of each loop, and the loop.
        copied: whether entries of another file were met.
        origin: the session that this one was forked from, "" for none.
    """

    source: Source | None = None
    provider: str = ""
    model: str = ""
    effort: str = ""
    last_entry: str = ""
    ends: list[tuple[str, str]] = msgspec.field(default_factory=list)
    copied: bool = False
    origin: str = ""


_states = msgspec.json.Decoder(PiState)


class PiFold(BaseFold[PiState]):
    """A pi fold is the fold of one session's file or stream."""

    def __init__(self, context: Context, state: bytes = b"", name: str = NAME) -> None:
        super().__init__(context, _states.decode(state) if state else PiState(), name)
        self.agent_name = ""
        self._durations: dict[str, int] = {}  # of the open turn's tools, by call, where the stream tells

    def shrink(self) -> None:
        """Makes the state smaller."""
        super().shrink()
        self.own.ends = self.own.ends[(len(self.own.ends) + 1) // 2 :]

    def take(self, data: bytes) -> None:
        """Takes a line."""
        entry = decoded(_entries, data)
        if entry is None:
            self.counts["bad_lines"] += 1
            return
        if entry.type == "session":
            self._header(entry)
            return
        self._begin()
        self._dispatch(entry)
        self.own.last_entry = ident(entry.id) or self.own.last_entry

    def _dispatch(self, entry: Entry) -> None:
        match entry.type:
            case "message":
                self._message(entry, message_of(entry), self.time(entry.timestamp))
            case "message_end":
                message = message_of(entry)
                self._message(entry, message, self.time(message.timestamp))
            case "model_change":
                self.model(entry.provider, entry.modelId)
            case "thinking_level_change":
                self.own.effort = text(entry.thinkingLevel)[:MAX_TEXT]
            case "compaction" | "branch_summary" | "usage":
                self._aside(entry, self.time(entry.timestamp))
            case "session_info":
                self.own.title = text(entry.name)[:MAX_TEXT]
            case "tool_execution_end":
                self._durations[ident(entry.toolCallId)] = number(entry.durationMs) * 1_000_000
            case "agent_end" if entry.willRetry is not True:
                self.build.end(0)
            case "entry_appended":
                self._named(members(entry.entry))
            case "custom":
                self.custom(text(entry.customType), members(entry.data), entry)
            case _:
                self.skip(text(entry.type))

    # --- the session ---------------------------------------------------------------------------------------------------

    def _header(self, entry: Entry) -> None:
        own = self.own
        if own.progress.session_id:
            return  # a fork's copy of the header it came from
        own.progress.session_id = ident(entry.id) or self.context.name
        own.source = Source(agent=self._format, cwd=text(entry.cwd)[:MAX_TEXT] or UNSET)
        own.origin = ident(lines.session_of_path(text(entry.parentSession) or text(entry.branchedFrom)))
        self.model(entry.provider, entry.modelId)
        own.effort = text(entry.thinkingLevel)[:MAX_TEXT]
        self.own.seen_ns = instant(entry.timestamp)

    def _begin(self) -> None:
        if not self.own.progress.session_id:
            self.own.progress.session_id, self.own.source = self.context.name, Source(agent=self._format)

    def model(self, provider: object, model: object) -> None:
        """Takes what answers from now on."""
        self.own.provider = text(provider)[:MAX_TEXT] or self.own.provider
        self.own.model = text(model)[:MAX_TEXT] or self.own.model

    def custom(self, kind: str, data: Mapping[str, object], entry: Entry) -> None:
        """Takes an extension's entry: none says anything of a loop."""
        del data, entry
        self.skip(f"custom/{kind}")

    def _named(self, entry: Mapping[str, object]) -> None:
        """Takes the entry that the stream's last message has become in the file: the loop of both is one."""
        build, entry_id = self.build, text(entry.get("id"))
        if build.prepared is not None and entry_id and members(entry.get("message")).get("role") == "user":
            build.prepared.loop_id = f"{self.own.progress.session_id}.{entry_id}"

    # --- messages ----------------------------------------------------------------------------------------------------

    def _message(self, entry: Entry, message: Message, at_ns: int) -> None:
        self.build.pause(at_ns)
        match message.role:
            case "user":
                self._user(entry, message, at_ns)
            case "assistant" if self.is_call(message):
                self._assistant(entry, message, at_ns)
            case "toolResult":
                self._result(message, at_ns)
            case _:
                self.skip(f"message/{text(message.role)}")

    def is_call(self, message: Message) -> bool:
        """Says whether an answer is a model's."""
        del message
        return True

    def failed(self, message: Message) -> bool:
        """Says whether a tool failed."""
        return message.isError is True

    def _mine(self, entry: Entry, message: Message, loop_id: str) -> bool:
        """Claims a message for a loop."""
        by_content = message.role == "user" or self.claim("message", lines.call_key(message), loop_id)
        if not ident(entry.id):
            return by_content
        return self.claim("entry", f"{entry.id}:{message.timestamp}", loop_id)

    def _user(self, entry: Entry, message: Message, at_ns: int) -> None:
        build = self.build
        in_row = build.prepared is not None
        loop_id = build.next_loop_id if in_row else self._loop_id(entry, message)
        if not self._mine(entry, message, loop_id):
            self.counts["copied_prompts"] += 1
            self.own.copied = True
            return
        if not in_row:
            build.prepare(self._facts(entry, loop_id, at_ns))
            if self.own.progress.loop_id:
                self.own.ends = [*self.own.ends[1 - MAX_ENDS :], (self.own.last_entry, self.own.progress.loop_id)]
            self.own.copied = False
        build.said(at_ns, lines.content_of(message.content))

    def _assistant(self, entry: Entry, message: Message, at_ns: int) -> None:
        build = self.build
        if not self._mine(entry, message, build.next_loop_id or self._loop_id(entry, message)):
            self.counts["copied_calls"] += 1
            self.own.copied = True
            return
        if build.prepared is None and not build.progress.is_open:
            build.prepare_more(self._facts(entry, self._loop_id(entry, message), instant(message.timestamp) or at_ns))
        model, provider = text(message.model), text(message.provider)
        if build.prepared is not None:
            build.prepared.model, build.prepared.provider = model, provider
            build.prepared.thinking_level = text(message.thinkingLevel) or self.own.effort
        turn = build.begin_turn(at_ns, instant(message.timestamp))
        self._durations.clear()
        self.own.copied = False
        turn.answered_ns, turn.usage = at_ns, lines.usage_of(message.usage)
        turn.model, turn.asked_model, turn.provider = text(message.responseModel) or model, model, provider
        turn.thinking_level = text(message.thinkingLevel) or self.own.effort
        turn.stop_reason, turn.cost_usd = text(message.stopReason), lines.cost_of(message.usage)
        turn.error_message = text(message.errorMessage) or None
        for raw, block in lines.answer_blocks(message.content):
            turn.blocks.append(raw)
            call_id = ident(block.id)
            if block.type == "toolCall" and call_id not in turn.tools:
                name = text(block.name)
                turn.tools[call_id] = ToolFacts(call_id=call_id, name=name, started_ns=at_ns, args=block.arguments)
        turn.final = True
        if message.stopReason == "aborted":
            build.cancel(at_ns)

    def _result(self, message: Message, at_ns: int) -> None:
        call_id, turn = ident(message.toolCallId), self.build.turn
        tool = self.build.answered(call_id, at_ns)
        if tool is None or turn is None:
            self.counts["late_results"] += 1
            return
        tool.is_error = self.failed(message)
        tool.content = lines.content_of(message.content)
        length_ns = self._durations.get(call_id, 0)
        if 0 < length_ns < at_ns - tool.started_ns:
            tool.started_ns = at_ns - length_ns
            first_ns = min(one.started_ns for one in turn.tools.values() if one.call_id in turn.results)
            turn.answered_ns = max(turn.answered_ns, first_ns)  # the stream does not say when the answer was done
        if lines.usage_of(message.usage) != Usage():
            self.counts["usage_of_tools"] += (
                1  # of a nested agent, which has a session of its own: told here it would count twice
            )

    def _aside(self, entry: Entry, at_ns: int) -> None:
        """Takes an entry that may hold a model call outside the turns."""
        kind = text(entry.kind) or text(entry.type)
        usage = lines.usage_of(entry.usage)
        entry_id = ident(entry.id) or str(self.position)
        if (usage.input or usage.output) and self.claim("entry", f"{entry_id}:{entry.timestamp}", "side"):
            model = text(entry.model) or text(entry.modelId) or self.own.model
            self.build.side(entry_id, usage, 0, at_ns, kind=kind, model=model, provider=self.own.provider)
        if entry.type == "compaction":
            self.counts["compactions"] += 1
            self.build.compacted(at_ns, number(entry.tokensBefore), 0)

    # --- loops -------------------------------------------------------------------------------------------------------

    def _loop_id(self, entry: Entry, message: Message) -> str:
        own_id = ident(entry.id) or (number(message.timestamp) if entry.type == "message_end" else self.position)
        return f"{self.own.progress.session_id}.{own_id}"

    def _facts(self, entry: Entry, loop_id: str, at_ns: int) -> LoopFacts:
        own = self.own
        facts = LoopFacts(loop_id=loop_id, started_ns=at_ns, source=self._source(), agent_name=self.agent_name)
        parent = ident(entry.parentId)
        if parent and own.last_entry and parent != own.last_entry and message_of(entry).role == "user":
            facts.kind, facts.trigger = {"Branch": Tag()}, "Branch"
            facts.parent_loop_id = next((loop for last, loop in reversed(own.ends) if last == parent), None)
        elif own.copied and not own.progress.loop_id:
            facts.kind, facts.trigger = {"Branch": Tag()}, "Branch"
            facts.parent_session_id = own.origin or None
        return facts

    def _source(self) -> Source | None:
        own = self.own
        return msgspec.structs.replace(own.source, title=own.title) if own.source and own.title else own.source
