"""opencode's sessions: a session's record, then its messages in order, each with all of its parts.

Rule 1: a loop is a user's message, a turn an answer with the tools it ran: a message is whole, so its turn is told with it. What
        opencode says in the user's name goes into the open loop; a tool that the user ran himself is no turn.
Rule 2: an answer that is not complete yet is held until another one follows, or the file ends: it grows.
Rule 3: a loop is over when an answer says so, unless another answer to the same prompt follows: some models say `stop` beside tools.
Rule 4: a message older than its session was copied by a fork, under another id: its times and numbers are claimed as well.
Rule 5: a session with a parent is a sub-agent's, of its root's session. Its first prompt is the first call's that ran it, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from otel_phi.sources.agents import opencode_content as content
from otel_phi.sources.agents import opencode_lines as lines
from otel_phi.sources.agents.adapter import Context, Settled
from otel_phi.sources.agents.events import joined
from otel_phi.sources.agents.facts import LoopFacts, ToolFacts, TurnFacts
from otel_phi.sources.agents.fold import BaseFold, FoldState
from otel_phi.sources.agents.opencode_lines import NAME, Info, Parts
from otel_phi.sources.agents.reading import ident, members, text
from otel_phi.wire.events import AgentEvent
from otel_phi.wire.parts import Source, Tag

MAX_TEXT = 256  # of what a state keeps
Message = tuple[int, Info, Parts]  # its position first


class OpencodeState(FoldState, kw_only=True):
    """An opencode state is the state of a session.

    Attributes:
        own_id: the session's own id, which differs from its root's where it is a sub-agent's.
        parent: the session that ran it, "" for none.
        created_ns: when it was created, 0 where that is not told.
        version: of opencode.
        cwd: where it worked.
        origin: the session that it was forked from, "" where that is not told.
        prompts: how many prompts it has had.
        copied: whether messages of another session were met and left to it.
        answered: the prompt that the last answer was to.
        over_ns: when the loop was over, if no other answer to the same prompt follows; 0 for not.
    """

    own_id: str = ""
    parent: str = ""
    created_ns: int = 0
    version: str = ""
    cwd: str = ""
    origin: str = ""
    prompts: int = 0
    copied: bool = False
    answered: str = ""
    over_ns: int = 0


_states = msgspec.json.Decoder(OpencodeState)


class OpencodeFold(BaseFold[OpencodeState]):
    """An opencode fold is the fold of one session."""

    def __init__(self, context: Context, state: bytes = b"") -> None:
        super().__init__(context, _states.decode(state) if state else OpencodeState(), NAME)
        self._held: list[Message] = []  # an answer that grows, and what came after it

    @property
    def state(self) -> bytes:
        """Returns the state, see `Fold`."""
        return self._saved if self._held and self._saved is not None else super().state

    def shrink(self) -> None:
        """Makes the state smaller."""
        super().shrink()
        self.own.cwd = self.own.version = ""

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes, see `Fold`."""
        if why == "end":
            self._release()
        if not self._held:
            self._close()
        return super().settle(why)

    def take(self, data: bytes) -> None:
        """Takes a record."""
        found = lines.record_of(data)
        if found is None:
            self.counts["bad_lines"] += 1
            return
        info, parts, broken = found
        if broken:
            self.counts["bad_parts"] += broken
        for part in parts:
            if part.type not in lines.PARTS:
                self.skip(f"part/{text(part.type)}")
        if lines.is_session(info):
            self._header(info)
        elif lines.is_message(info):
            self._begin(info)
            self._hold_or_tell((self.position, info, parts))
        else:
            self.skip(f"role/{text(info.role)}")

    # --- the session ---------------------------------------------------------------------------------------------------

    def _header(self, info: Info) -> None:
        own = self.own
        own.title = text(info.title)[:MAX_TEXT]
        own.version, own.cwd = text(info.version)[:MAX_TEXT], text(info.directory)[:MAX_TEXT]
        if not own.own_id:
            own.own_id, own.parent, own.created_ns = ident(info.id), ident(info.parentID), lines.created_ns(info)
            own.progress.session_id = ident(self.context.session) or own.parent or own.own_id
            own.seen_ns, own.origin = own.created_ns, ident(info.forkedFrom)

    def _begin(self, info: Info) -> None:
        own = self.own
        if not own.own_id:
            own.own_id = ident(info.sessionID) or ident(self.context.name)
            own.progress.session_id = ident(self.context.session) or own.own_id

    # --- answers that grow -----------------------------------------------------------------------------------------------

    def _hold_or_tell(self, message: Message) -> None:
        info = message[1]
        place = next((at for at, (_, held, _) in enumerate(self._held) if ident(held.id) and held.id == info.id), -1)
        if place >= 0:  # given again, since it has grown
            self._held[place] = message
            if place == 0 and not lines.grows(info):
                self._release()
            return
        if info.role != "user":
            self._release()
        if self._held or lines.grows(info):
            if self.build.idle and not self._held:
                self._unit_begins()
            self._held.append(message)
        else:
            self._tell(message)

    def _release(self) -> None:
        held, self._held = self._held, []
        for message in held:
            self._tell(message)

    # --- messages ------------------------------------------------------------------------------------------------------

    def _tell(self, message: Message) -> None:
        current, (self.position, info, parts) = self.position, message
        at_ns = self.time(members(info.time).get("created"))
        self.build.pause(at_ns)
        if info.role == "user":
            self._user(info, parts, at_ns)
        elif info.role == "idle":
            self._idle(text(info.finish), at_ns)
        elif info.summary is True or info.mode == "compaction":
            self._compaction(info, at_ns)
        else:
            self._assistant(info, parts, at_ns)
        self.position = current

    def _close(self) -> None:
        """Ends the loop whose answer said that it is over, when no other has followed."""
        if self.own.over_ns:
            self.build.end(self.own.over_ns)
            self.own.over_ns = 0

    def _idle(self, outcome: str, at_ns: int) -> None:
        """Takes that the agent has stopped, which opencode 2 says."""
        if self.own.over_ns:
            self._close()
        elif not self.build.progress.is_open:
            self.skip("idle")
        elif outcome == "succeeded":
            self.build.end(at_ns)
        elif outcome in ("failed", "error"):
            self.build.end(at_ns, outcome="error")
        else:
            self.build.cancel(at_ns)

    def _mine(self, kind: str, info: Info, loop_id: str) -> bool:
        """Claims a message for a loop: by its id, and by what a copy of it has, too."""
        own, message_id = self.own, ident(info.id)
        created_ns = lines.created_ns(info)
        is_first = not created_ns or self.claim("content", lines.call_key(info), loop_id)
        is_copy = 0 < created_ns < own.created_ns and not is_first
        if is_copy or (message_id and not self.claim("message", message_id, loop_id)):
            self.counts[f"copied_{kind}s"] += 1
            own.copied = True
            return False
        return True

    def _user(self, info: Info, parts: Parts, at_ns: int) -> None:
        build, own = self.build, self.own
        asked = next((part for part in parts if part.type == "compaction"), None)
        if asked is not None:
            if asked.auto is not True:
                self._close()
            self._mine("prompt", info, "compaction")
        elif not lines.is_prompt(parts):
            self.skip("synthetic")
            build.heard(at_ns)
        else:
            self._close()
            in_row = build.prepared is not None
            loop_id = build.next_loop_id if in_row else self._loop_id(info)
            own.prompts += not in_row
            if self._mine("prompt", info, loop_id):
                if not in_row:
                    facts = self._facts(info, loop_id, at_ns)
                    facts.weak = True  # opencode begins an answer with the prompt; what has none was only said
                    build.prepare(facts)
                build.said(at_ns, joined(content.said_blocks(parts)))

    def _assistant(self, info: Info, parts: Parts, at_ns: int) -> None:
        build, own = self.build, self.own
        if ident(info.parentID) != own.answered:
            self._close()
        called = lines.is_call(info, parts)
        if not called and build.prepared is None and not build.progress.is_open:
            self.skip("shell")  # a command that the user ran
            return
        if not self._mine("call", info, build.next_loop_id or self._loop_id(info)):
            return
        if build.prepared is None and not build.progress.is_open:
            build.prepare_more(self._facts(info, self._loop_id(info), at_ns))
        own.over_ns, own.copied, own.answered = 0, False, ident(info.parentID)
        self._turn(info, parts, at_ns, called=called)

    # --- turns -------------------------------------------------------------------------------------------------------

    def _turn(self, info: Info, parts: Parts, at_ns: int, *, called: bool) -> None:
        build, (model, provider) = self.build, lines.model_of(info)
        if build.prepared is not None:
            build.prepared.model, build.prepared.provider = model, provider
            build.prepared.agent_name = text(info.agent) or text(info.mode) or build.prepared.agent_name
        done_ns = 0 if lines.grows(info) else max(lines.completed_ns(info), at_ns, *map(lines.ended_ns, parts))
        turn = build.begin_turn(done_ns or at_ns, at_ns)
        turn.model, turn.asked_model, turn.provider = model, model, provider
        turn.thinking_level, turn.no_call = lines.effort_of(info), not called
        turn.stop_reason = lines.stop_of(lines.finish_of(info, parts)) if done_ns else "aborted"
        turn.usage, turn.cost_usd = lines.usage_of(info, lines.steps_of(parts)), lines.cost_of(info) if called else None
        retries = sum(part.type == "retry" for part in parts)
        if retries:
            self.counts["retries"] += retries
        self._parts(turn, parts)
        turn.answered_ns = _answered_ns(turn, info, parts, done_ns)
        if lines.error_of(info)[0] == lines.ABORTED:
            _stop_running(turn, done_ns)
        for tool in turn.tools.values():
            tool.started_ns = tool.started_ns or turn.answered_ns
            tool.ended_ns = max(tool.ended_ns, tool.started_ns) if tool.ended_ns else 0
        self._ends(turn, info, parts, done_ns)

    def _parts(self, turn: TurnFacts, parts: Parts) -> None:
        ended: list[ToolFacts] = []
        for number, part in enumerate(parts):
            if part.type != "tool":
                turn.blocks += content.answer_blocks(part)
                continue
            call_id = ident(part.callID) or f"@{self.position}.{number}"
            if call_id in turn.tools:
                call_id = f"{call_id}.{number}"
            tool = turn.tools[call_id] = content.tool_of(part, call_id)
            turn.blocks.append(content.call_block(tool))
            if tool.ended_ns:
                ended.append(tool)
        turn.results = [tool.call_id for tool in sorted(ended, key=lambda tool: tool.ended_ns)]

    def _ends(self, turn: TurnFacts, info: Info, parts: Parts, done_ns: int) -> None:
        """Tells the turn, and takes what an answer says of its loop: that it was stopped, failed, or is over."""
        build, (error, word, said) = self.build, lines.error_of(info)
        if error == lines.ABORTED:
            self.counts["interrupts"] += 1
            turn.stop_reason, turn.error_message = "aborted", said
            build.cancel(done_ns)
        elif error:
            turn.stop_reason, turn.error_message, turn.error_type = "error", said, word
            build.end(done_ns)
        elif done_ns and not turn.unanswered and lines.is_over(info, parts):
            build.end_turn()
            self.own.over_ns = done_ns
            if not turn.tools and text(info.finish):
                self._close()
        else:
            turn.final = done_ns != 0
            build.end_turn()

    def _compaction(self, info: Info, at_ns: int) -> None:
        """Takes the answer that sums up what was said: a model call beside the turns."""
        if not self._mine("call", info, "compaction"):
            return
        build, usage, (model, provider) = self.build, lines.usage_of(info), lines.model_of(info)
        self.counts["compactions"] += 1
        done_ns, cost = max(lines.completed_ns(info), at_ns), lines.cost_of(info)
        call_id, kind = ident(info.id) or f"@{self.position}", "compaction"
        build.side(call_id, usage, at_ns, done_ns, kind=kind, model=model, provider=provider, cost_usd=cost)
        build.compacted(done_ns, usage.input + usage.cache_read + usage.cache_write, 0, at_ns)

    # --- loops -------------------------------------------------------------------------------------------------------

    def _loop_id(self, info: Info) -> str:
        return f"{self.own.own_id}.{ident(info.id) or self.position}"

    def _facts(self, info: Info, loop_id: str, at_ns: int) -> LoopFacts:
        own = self.own
        source = Source(agent=NAME, version=own.version or UNSET, cwd=own.cwd or UNSET, title=own.title or UNSET)
        facts = LoopFacts(loop_id=loop_id, started_ns=at_ns, source=source, agent_name=text(info.agent))
        if own.parent:
            again = self.context.parent_call(f"{own.own_id}#{own.prompts}") if own.prompts > 1 else None
            facts.kind, facts.trigger = "SubAgent", "SubAgent"
            facts.parent_tool_call_id = again or self.context.parent_call(own.own_id)
        elif own.copied or (own.origin and not own.progress.loop_id):
            facts.kind, facts.trigger = {"Branch": Tag()}, "Branch"
            facts.parent_session_id = own.origin or None
        return facts


def _answered_ns(turn: TurnFacts, info: Info, parts: Parts, done_ns: int) -> int:
    """Returns when the model had answered: a message is complete only when its tools are, which run before that."""
    streamed_ns = lines.streamed_ns(info)
    if streamed_ns or (done_ns and not turn.tools):
        return streamed_ns or done_ns
    spoken = [lines.ended_ns(part) for part in parts if part.type in ("text", "reasoning")]
    last_ns = max([turn.request_ns, *spoken, *(tool.started_ns for tool in turn.tools.values())])
    return min(last_ns, done_ns) if done_ns else last_ns


def _stop_running(turn: TurnFacts, at_ns: int) -> None:
    """Ends the tools that ran when the user stopped the agent; those that had not begun were not executed."""
    for tool in turn.tools.values():
        if tool.started_ns and not tool.ended_ns:
            tool.is_error, tool.error_type, tool.ended_ns = True, "cancelled", max(at_ns, tool.started_ns)
            turn.results.append(tool.call_id)
