"""Claude Code's transcripts: `projects/*/<session>.jsonl` and its sub-agents' files.

Rule 1: a line is one content block; the lines of one `message.id` are one turn, tool results among them. The turn is over with another
        message, a prompt, or a fact that ends the loop.
Rule 2: a user's line is a prompt unless `is_prompt` says no; several in a row are one. Its `uuid` is claimed as answers are: a replayed
        prompt begins nothing.
Rule 3: `turn_duration` and a Stop hook's summary end the loop at once; else a pause does, see `LoopBuilder.pause`.
Rule 4: output tokens are the largest number on a message's lines, a lower bound where none has a stop reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET

from otel_phi.sources.agents.adapter import Context, Settled
from otel_phi.sources.agents.claude_lines import (
    INTERRUPTED,
    Block,
    Line,
    Message,
    api_error,
    blank,
    blocks_of,
    call_for,
    content_of,
    first_words,
    in_phis_form,
    is_command,
    is_prompt,
    message_of,
    provider_of,
    stop_of,
    tool_duration_ns,
    tool_error,
    usage_of,
)
from otel_phi.sources.agents.facts import LoopFacts, ToolFacts, TurnFacts
from otel_phi.sources.agents.fold import BaseFold, FoldState
from otel_phi.sources.agents.reading import (
    MAX_ERROR_TEXT,
    anything,
    decoded,
    ident,
    members,
    number,
    text,
    version_of,
)
from otel_phi.wire.events import AgentEvent
from otel_phi.wire.parts import Source, Tag, Vcs

NAME = "claude-code"
# Up to this version no line has a stop reason, whether the answer is over or not.
_NO_STOP_REASONS = (2, 1, 39)
_SIDE_FILES = "acompact"  # agent ids of compactions begin so
_TITLES = ("ai-title", "custom-title", "summary")
MAX_PROMPT = 1 << 20  # of a sub-agent's prompt, by which its call is found
MAX_TITLE = 256  # a title is a line
_lines = msgspec.json.Decoder(Line)


class ClaudeState(FoldState, kw_only=True):
    """A claude state is the state of a transcript.

    Attributes:
        agent_id: of the sub-agent whose file this is, "" for a main file.
        begun: whether a line told the session.
        copied: whether lines of another file were met: what follows is a branch of it.
        origin: the session they were copied from, "" where no line says.
        cut_call: the message whose turn was told because of a pause; more of it may come. Else "".
        cut_output: the output tokens told of it.
    """

    agent_id: str = ""
    begun: bool = False
    copied: bool = False
    origin: str = ""
    cut_call: str = ""
    cut_output: int = 0


_states = msgspec.json.Decoder(ClaudeState)


class ClaudeFold(BaseFold[ClaudeState]):
    """A claude fold is the fold of one transcript."""

    def __init__(self, context: Context, state: bytes = b"") -> None:
        super().__init__(context, _states.decode(state) if state else ClaudeState(), NAME)
        self._call = ""  # the message of the open turn
        self._output = 0
        self._earlier_output: int | None = None  # of it, in a turn before
        self._spoke = False
        self._sides: list[
            tuple[int, Line, bytes]
        ] = []  # lines of sub-agents, which the oldest versions wrote into the same file
        self.build.beside = self._beside

    @property
    def state(self) -> bytes:
        """Returns the state, see `Fold`."""
        return self._saved if self._sides and self._saved is not None else super().state

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes, see `Fold`."""
        beside = list(self._beside(None)) if self.build.turn is None else []
        if why == "silence" and self.build.answer_ns:
            self._cut()
        return [*beside, *super().settle(why)]

    def take(self, data: bytes) -> None:
        """Takes a line."""
        line = decoded(_lines, data)
        if line is None:
            self.counts["bad_lines"] += 1
            return
        kind = text(line.type)
        if kind not in ("assistant", "user", "system"):
            if kind in _TITLES:
                self.own.title = text(line.aiTitle or line.customTitle or line.title or line.summary)[:MAX_TITLE]
            self.skip(kind)
            return
        self._begin(line)
        if line.isSidechain is True and not self.own.agent_id:
            self._aside(line, data)
            return
        if self._sides and self.build.turn is None:
            self.build.tell(self._beside(None))
        at_ns = self.time(line.timestamp)
        if self.build.pause(at_ns):
            self._cut()
        match kind:
            case "assistant":
                self._assistant(line, message_of(line), at_ns)
            case "user":
                self._user(line, message_of(line), at_ns)
            case _:
                self._system(line, at_ns)

    def _cut(self) -> None:
        """Takes that a pause ended the loop: more of its last message may come, as another loop's."""
        self.own.cut_call, self.own.cut_output = self._call, self._output

    def _begin(self, line: Line) -> None:
        own = self.own
        if not own.begun:
            own.begun = True
            own.progress.session_id = ident(line.sessionId) or self.context.name
            own.agent_id = (ident(line.agentId) or self.context.name) if line.isSidechain is True else ""
        origin = ident(members(line.forkedFrom).get("sessionId")) or ident(line.session_id)
        if origin and origin != own.progress.session_id:
            own.origin = origin

    # --- sub-agents in the same file -----------------------------------------------------------------------------------

    def _aside(self, line: Line, data: bytes) -> None:
        if self.build.idle and not self._sides:
            self._unit_begins()
        self._sides.append((self.position, line, data))

    def _beside(self, turn: TurnFacts | None) -> Iterator[AgentEvent]:
        """Yields the loops of the sub-agents whose lines stand among a turn's: a chain of lines is one of them."""
        sides, self._sides = self._sides, []
        roots: dict[str, str] = {}
        chains: dict[str, list[tuple[int, Line, bytes]]] = {}
        for side in sides:
            uuid = ident(side[1].uuid) or str(side[0])
            root = roots.setdefault(uuid, roots.get(ident(side[1].parentUuid), uuid))
            chains.setdefault(root, []).append(side)
        for root, chain in chains.items():
            call_id = None if turn is None else call_for(turn, first_words(message_of(chain[0][1]).content, MAX_PROMPT))
            fold = ClaudeFold(msgspec.structs.replace(self.context, parent_call=lambda _, call_id=call_id: call_id))
            fold.own.begun, fold.own.agent_id = True, root
            fold.own.progress.session_id = self.own.progress.session_id
            for position, _, data in chain:
                yield from fold.record(position, data)
            yield from fold.settle("end")
            self.counts += fold.counts

    # --- answers -----------------------------------------------------------------------------------------------------

    def _assistant(self, line: Line, message: Message, at_ns: int) -> None:
        if line.isApiErrorMessage is True or message.model == "<synthetic>":
            self._failed(line, message, at_ns)
            return
        key = ident(message.id) or ident(line.uuid) or f"@{self.position}"
        turn = self.build.turn
        if turn is None or key != self._call:
            more = self.own.cut_call != "" and key == self.own.cut_call
            if not more and not self.claim("call", key, self.build.next_loop_id or self._loop_id(line)):
                self.counts["copied_calls"] += 1
                self.own.copied = True
                if self.own.agent_id:
                    self.build.discard()  # a question aside begins with its session's messages, under other ids
                return
            turn = self._begin_turn(line, message, at_ns)
            self._call, self._output, self._spoke = key, 0, False
            self._earlier_output = self.own.cut_output if more else None
            self.own.cut_call = ""
        self._more(turn, line, message, at_ns)

    def _begin_turn(self, line: Line, message: Message, at_ns: int) -> TurnFacts:
        build, model = self.build, text(message.model)
        if build.prepared is None and not build.progress.is_open:
            build.prepare_more(self._facts(line, self._loop_id(line), at_ns))
        if build.prepared is not None:
            build.prepared.model, build.prepared.provider = model, provider_of(model)
        turn = build.begin_turn(at_ns)
        turn.model, turn.provider, turn.thinking_level = model, provider_of(model), text(line.effort)
        self.own.copied = False
        return turn

    def _more(self, turn: TurnFacts, line: Line, message: Message, at_ns: int) -> None:
        turn.answered_ns = max(turn.answered_ns, at_ns)
        turn.stop_reason = stop_of(message.stop_reason) or turn.stop_reason
        self._output = max(self._output, number(members(message.usage).get("output_tokens")))
        turn.usage = usage_of(message, self._output, self._earlier_output, partial=not turn.stop_reason)
        for raw, block in blocks_of(message.content):
            shown = in_phis_form(raw, block)
            if shown is not None:
                turn.blocks.append(shown)
            call_id = text(block.id)
            if block.type == "tool_use" and call_id not in turn.tools:
                name = text(block.name)
                turn.tools[call_id] = ToolFacts(call_id=call_id, name=name, started_ns=at_ns, args=block.input)
            self._spoke = self._spoke or (block.type == "text" and not blank(block))
        # A newer version writes a stop reason on a message's last line: without one the answer goes on.
        turn.final = self._spoke and (turn.stop_reason != "" or version_of(line.version) <= _NO_STOP_REASONS)

    def _failed(self, line: Line, message: Message, at_ns: int) -> None:
        """Takes an attempt that came to nothing, or what Claude Code says in the model's place."""
        if line.isApiErrorMessage is not True:
            self.skip("synthetic")
            return
        key = ident(line.uuid) or f"@{self.position}"
        if not self.claim("error", key, self.build.next_loop_id or self._loop_id(line)):
            return
        self.counts["api_errors"] += 1
        self.build.fail(at_ns, api_error(line, first_words(message.content, MAX_ERROR_TEXT)))

    # --- what the user, the tools and the agent say --------------------------------------------------------------------

    def _user(self, line: Line, message: Message, at_ns: int) -> None:
        found = [(block, raw) for raw, block in blocks_of(message.content) if block.type == "tool_result"]
        if found:
            for block, _ in found:
                self._result(line, block, at_ns)
            return
        words = first_words(message.content, MAX_ERROR_TEXT)
        if words.startswith(INTERRUPTED):
            self.counts["interrupts"] += 1
            self.build.cancel(at_ns)
        elif line.isMeta is True or line.isCompactSummary is True or not is_prompt(words):
            self.build.heard(at_ns)
        else:
            self._prompt(line, message, words, at_ns)

    def _prompt(self, line: Line, message: Message, words: str, at_ns: int) -> None:
        build, loop_id = self.build, self._loop_id(line)
        weak = is_command(words)
        in_row = build.prepared is not None
        if in_row and build.prepared is not None and build.prepared.weak and not weak:
            build.discard()
            in_row = False
        owner = build.next_loop_id if in_row else loop_id
        if not self.claim("prompt", ident(line.uuid) or f"@{self.position}", owner):
            self.counts["copied_prompts"] += 1
            self.own.copied = True
            return
        if not in_row:
            facts = self._facts(line, loop_id, at_ns)
            facts.weak = weak
            build.prepare(facts)
            self.own.copied = False
        build.said(at_ns, content_of(message.content))

    def _result(self, line: Line, block: Block, at_ns: int) -> None:
        tool = self.build.answered(text(block.tool_use_id), at_ns)
        if tool is None:
            self.counts["late_results"] += 1
            return
        details = members(anything(line.toolUseResult))
        length_ns = tool_duration_ns(details)
        if 0 < length_ns < at_ns - tool.started_ns:
            tool.started_ns = at_ns - length_ns  # what is before it was waiting for permission
        tool.content = content_of(block.content)
        tool.is_error = block.is_error is True
        if tool.is_error:
            tool.error_type = tool_error(first_words(block.content, MAX_ERROR_TEXT))
        agent_id = text(details.get("agentId"))
        if agent_id and ident(line.promptId):
            tool.child_loop_id = f"{self.own.progress.session_id}.{ident(line.promptId)}.{agent_id}"

    def _system(self, line: Line, at_ns: int) -> None:
        match line.subtype:
            case "compact_boundary":
                numbers = members(line.compactMetadata)
                self.counts["compactions"] += 1
                self.build.compacted(at_ns, number(numbers.get("preTokens")), number(numbers.get("postTokens")))
            case "turn_duration":
                self.build.end(at_ns)
            case "stop_hook_summary" if not line.hookErrors:  # a hook that fails keeps the agent at work
                self.build.end(at_ns)
            case _:
                self.skip(f"system/{text(line.subtype)}")

    # --- loops -------------------------------------------------------------------------------------------------------

    def _loop_id(self, line: Line) -> str:
        """Returns the id of the loop that begins with a line."""
        own = self.own
        prompt_id = ident(line.promptId)
        loop_id = f"{own.progress.session_id}.{prompt_id}" + (f".{own.agent_id}" if own.agent_id else "")
        if prompt_id and loop_id != own.progress.base_id:
            return loop_id
        loop_id = f"{own.progress.session_id}.{ident(line.uuid) or self.position}"
        return loop_id + (f".{own.agent_id}" if own.agent_id else "")

    def _facts(self, line: Line, loop_id: str, at_ns: int) -> LoopFacts:
        own = self.own
        facts = LoopFacts(loop_id=loop_id, started_ns=at_ns, source=self._source(line))
        if own.agent_id:
            facts.parent_tool_call_id = self.context.parent_call(own.agent_id)
            facts.parent_loop_id = f"{own.progress.session_id}.{ident(line.promptId)}" if ident(line.promptId) else None
            facts.kind, facts.trigger, facts.agent_name = "SubAgent", "SubAgent", text(line.attributionAgent)
            if own.agent_id.startswith(_SIDE_FILES):
                facts.kind, facts.trigger = "Compaction", "Continuation"
        elif own.copied:
            facts.kind, facts.trigger = {"Branch": Tag()}, "Branch"
            facts.parent_session_id = own.origin or None
        return facts

    def _source(self, line: Line) -> Source:
        branch = text(line.gitBranch)
        return Source(
            agent=NAME,
            version=text(line.version) or UNSET,
            entrypoint=text(line.entrypoint) or text(line.userType) or UNSET,
            cwd=text(line.cwd) or UNSET,
            title=self.own.title or UNSET,
            vcs=Vcs(branch=branch) if branch else UNSET,
        )
