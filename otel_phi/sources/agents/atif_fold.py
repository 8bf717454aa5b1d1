"""One ATIF trajectory to events, with those of the sub-agents within it.

Rule 1: a loop is a user's step, a turn an agent's; a system's step is neither. Copied context is no step.
Rule 2: nobody says how long anything took: a step's time is when it was recorded. Tools are as long as nothing, marked inferred; one
        without a result is detached, which is no error. Results have no mark of failure, and none is guessed.
Rule 3: what has not been told is read again when the document is given again, so that a step may still grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import UNSET

from otel_phi.sources.agents import atif_parts as parts
from otel_phi.sources.agents.adapter import Context, Reference, Settled
from otel_phi.sources.agents.atif_parts import Result, Step, Trajectory
from otel_phi.sources.agents.events import is_word
from otel_phi.sources.agents.facts import LoopFacts, ToolFacts, TurnFacts
from otel_phi.sources.agents.fold import BaseFold, FoldState
from otel_phi.sources.agents.reading import as_content, compact, decoded, ident, members, number, pieces, text
from otel_phi.wire.events import AgentEvent, AgentStart
from otel_phi.wire.messages import NULL, Usage
from otel_phi.wire.parts import Source

NAME = "atif"
MAX_DEPTH = 16  # of sub-agents within sub-agents
MAX_TEXT = 256  # of what an AgentStart keeps
_steps = msgspec.json.Decoder(Step)


class AtifState(FoldState, kw_only=True):
    """An ATIF state is the state of a trajectory.

    Attributes:
        element: the number of the first step that has not been told.
        strays: whether the sub-agents that no step names have been told.
        whole: whether all of a document of several trajectories has been told.
    """

    element: int = 0
    strays: bool = False
    whole: bool = False


class TrajectoryFold(BaseFold[AtifState]):
    """A trajectory fold is the fold of one trajectory.

    Args:
        context: the world around it.
        trajectory: the trajectory.
        state: of the fold before this one.
        within: where sub-agents are looked for besides: the document's other trajectories.
        depth: of how many sub-agents it is one.

    Attributes:
        refers: the sub-agents that its steps name and the document does not hold.
    """

    def __init__(
        self,
        context: Context,
        trajectory: Trajectory,
        state: AtifState,
        *,
        within: Sequence[Trajectory] = (),
        depth: int = 0,
    ) -> None:
        super().__init__(context, state, NAME)
        self.position = 0
        self.refers: list[Reference] = []
        self._trajectory, self._within, self._depth = trajectory, within, depth
        self._embedded = parts.embedded(trajectory)
        self._of_agent = members(trajectory.agent)
        self._id = self._own_id()
        self._due: list[AgentEvent] = []  # of sub-agents, told when the turn that started them has been
        self._sides: dict[str, list[tuple[Step, int]]] = {}
        self.build.beside = self._beside
        progress = self.own.progress
        progress.session_id = context.session or parts.without_part(ident(trajectory.session_id)) or self._id
        if parts.is_trajectory(trajectory):
            started_ns = parts.first_ns(trajectory)
            progress.untimed = not started_ns
            self.own.seen_ns = self.own.seen_ns or started_ns

    def _own_id(self) -> str:
        """Returns what tells its steps from those of the session's other trajectories."""
        context, own = self.context, parts.document_id(self._trajectory)
        if self._depth:
            return context.agent_id
        if own == context.session:  # the run's id, which its other trajectories have, too
            if context.agent_id:
                return f"{own}.{context.agent_id}"
            return f"{own}-cont-{context.part}" if context.part else own
        return own or context.agent_id or context.session or context.name

    def steps(self) -> Iterator[AgentEvent]:
        """Yields the events of the steps that have not been told."""
        steps = pieces(self._trajectory.steps)
        times = self._made_times(len(steps)) if self.own.progress.untimed else []
        for index in range(self.own.element, len(steps)):
            self.own.element = index
            step = decoded(_steps, steps[index])
            if step is None:
                self.counts["bad_lines"] += 1
                continue
            if step.is_copied_context is True:
                self.counts["copied_steps"] += 1
                continue
            self._take(step, times[index] if times else self.time(parts.zoned(step.timestamp)))
            yield from self.build.take()
        self.own.element = len(steps)

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes, see `Fold`: the trajectory's end is its last loop's."""
        if why == "end":
            self._detach()
        self.build.settle(why)
        self.build.tell(self._beside(None))
        if why == "end":
            if self.own.progress.is_open:
                self.build.end(0)  # many a run ends with a tool that says so
            if not self.own.strays:
                self.own.strays = True
                self.build.tell(self._strays())
            self.counts["other_totals"] += not self._depth and parts.has_other_totals(self._trajectory)
        return self.build.take()

    @property
    def state(self) -> bytes:
        """Returns the state, see `Fold`."""
        return self._saved if self._sides and self._saved is not None else super().state

    # --- steps ---------------------------------------------------------------------------------------------------------

    def _made_times(self, steps: int) -> list[int]:
        if self._depth:
            return [self.context.fallback_ns] * steps
        self.counts["untimed"] += 1
        began_ns, ended_ns = parts.trial_times(self.context.beside("result.json"))
        return parts.made_times(steps, began_ns, ended_ns or self.context.fallback_ns)

    def _take(self, step: Step, at_ns: int) -> None:
        extra = members(step.extra)
        if extra.get("is_sidechain") is True:
            if self.build.idle and not self._sides:
                self._unit_begins()
            self._sides.setdefault(ident(extra.get("agent_id")) or "side", []).append((step, at_ns))
            return
        self.do(step, at_ns)

    def do(self, step: Step, at_ns: int) -> None:
        """Takes a step of this agent's own."""
        self.build.pause(at_ns)
        match step.source:
            case "user":
                self._user(step, at_ns)
            case "agent":
                self._agent(step, at_ns)
            case _:
                self.skip(f"step/{text(step.source)}")
                self._observe(step, at_ns)
                self._spend(step, at_ns)
                self.build.heard(at_ns)

    def _user(self, step: Step, at_ns: int) -> None:
        self._detach()
        if self.build.prepared is None:
            self.build.end(0)
            self.build.prepare(self._facts(step, at_ns))
        self.build.said(at_ns, as_content(compact(step.message)))
        self._observe(step, at_ns)

    def _agent(self, step: Step, at_ns: int) -> None:
        build = self.build
        self._detach()
        if build.prepared is None and not build.progress.is_open:
            build.prepare_more(self._facts(step, at_ns))
        default = text(self._of_agent.get("model_name"))
        model = (text(step.model_name) or default)[:MAX_TEXT]
        provider = parts.provider_of(model, default)[:MAX_TEXT]
        if build.prepared is not None:
            build.prepared.model, build.prepared.provider = model, provider
            build.prepared.thinking_level = parts.effort_of(step)
        turn = build.begin_turn(at_ns)
        turn.answered_ns, turn.thinking_level = at_ns, parts.effort_of(step)
        turn.model, turn.provider = model, provider
        turn.usage, turn.cost_usd = parts.usage_of(step), parts.cost_of(step)
        turn.no_call = step.llm_call_count == 0 and step.llm_call_count is not False and turn.usage == Usage()
        turn.blocks += parts.answer_blocks(step)
        self._calls(turn, step, at_ns)
        turn.final = not turn.tools and not parts.results_of(step)
        self._observe(step, at_ns)

    def _spend(self, step: Step, at_ns: int) -> None:
        """Takes what a step of nobody's cost."""
        usage = parts.usage_of(step)
        if usage != Usage():
            self.build.side(f"{self._id}.{self._number(step)}", usage, 0, at_ns, kind="step")

    def _number(self, step: Step) -> int:
        return number(step.step_id) or self.own.element + 1

    def _calls(self, turn: TurnFacts, step: Step, at_ns: int) -> None:
        for call, index in parts.calls_of(step):
            call_id = ident(call.tool_call_id) or f"@{number(step.step_id)}.{index}"
            if call_id in turn.tools:
                call_id = f"{call_id}#{index}"
            name = text(call.function_name)
            turn.tools[call_id] = ToolFacts(
                call_id=call_id, name=name, started_ns=at_ns, args=compact(call.arguments), timed=False
            )
            turn.blocks.append(parts.call_block(call_id, name, turn.tools[call_id].args))

    def _observe(self, step: Step, at_ns: int) -> None:
        """Takes what a step observed: results by their call's id; those without one by their order, if there are as many as calls."""
        results, turn = parts.results_of(step), self.build.turn
        named = {ident(one.source_call_id) for one in results}
        waiting = [call_id for call_id in (turn.tools if turn else ()) if call_id not in named]
        unnamed = [one for one in results if not ident(one.source_call_id)]
        in_order = dict(zip(map(id, unnamed), waiting, strict=True)) if len(waiting) == len(unnamed) else {}
        for result in results:
            call_id = ident(result.source_call_id) or in_order.get(id(result), "")
            tool = self.build.answered(call_id, at_ns)
            if tool is not None:
                tool.content = as_content(compact(result.content))
            elif call_id or (turn is not None and turn.tools):
                self.counts["unmatched_results"] += 1
            elif result.content != NULL:
                self.build.said(
                    at_ns, as_content(compact(result.content))
                )  # the world's answer to an agent that calls no tools
            only = next(iter(turn.tools)) if turn is not None and len(turn.tools) == 1 else ""
            self._delegate(result, call_id or only, tool, at_ns)

    def _detach(self) -> None:
        """Takes that no more results come for the open turn."""
        turn = self.build.turn
        for call_id, tool in turn.tools.items() if turn is not None else ():
            if turn is not None and call_id not in turn.results:
                tool.detached, tool.ended_ns = True, turn.answered_ns
                turn.results.append(call_id)

    # --- sub-agents ----------------------------------------------------------------------------------------------------

    def _delegate(self, result: Result, call_id: str, tool: ToolFacts | None, at_ns: int) -> None:
        loop_id = self.build.next_loop_id
        for reference in parts.references_of(result):
            found = self._resolved(reference)
            if found is None:
                ids = [ident(reference.get("trajectory_id"))]
                ids += [] if parts.is_run_scoped(self._trajectory) else [ident(reference.get("session_id"))]
                names = tuple(name for name in ids if name)
                file = parts.file_of(reference.get("trajectory_path"))
                self.counts["referenced"] += 1
                self.refers.append(Reference(names=names, file=file, call_id=call_id, loop_id=loop_id))
                continue
            events = list(self._child(found, call_id, loop_id, at_ns))
            first = next((event.loop_id for event in events if isinstance(event, AgentStart)), None)
            if tool is not None:
                tool.child_loop_id = tool.child_loop_id or first
            self._due += events
        if self._due and self.build.turn is None:
            self.build.tell(self._beside(None))

    def _resolved(self, reference: dict[str, object]) -> Trajectory | None:
        """Returns the trajectory of this document that a step names."""
        wanted = ident(reference.get("trajectory_id"))
        if not wanted and not parts.is_run_scoped(self._trajectory):
            wanted = ident(reference.get("session_id"))
        near = (*self._embedded, *self._within)
        return next((one for one in near if wanted and parts.own_id(one) == wanted), None)

    def _child(self, found: Trajectory, call_id: str, loop_id: str, at_ns: int) -> Iterator[AgentEvent]:
        child_id = parts.own_id(found) or f"{self._id}.{self._place(found)}"
        if self._depth >= MAX_DEPTH or not self.claim("trajectory", child_id, f"{self._id}:{call_id}"):
            self.counts["copied_trajectories"] += 1
            return
        context = self._context_of(child_id, call_id, loop_id, at_ns)
        within = (*self._embedded, *self._within)
        fold = TrajectoryFold(context, found, AtifState(), within=within, depth=self._depth + 1)
        yield from fold.steps()
        yield from fold.settle("end")
        self.counts += fold.counts
        self.refers += fold.refers

    def _context_of(self, child_id: str, call_id: str, loop_id: str, at_ns: int) -> Context:
        return msgspec.structs.replace(
            self.context,
            agent_id=child_id,
            session=self.own.progress.session_id,
            parent_call=lambda _: call_id or None,
            parent_loop=lambda _: loop_id or None,
            previous_loop="",
            fallback_ns=at_ns,
        )

    def _place(self, found: Trajectory) -> int:
        return next((index for index, one in enumerate(self._embedded) if one is found), len(self._embedded))

    def _strays(self) -> Iterator[AgentEvent]:
        """Yields the sub-agents that no step names, under the last loop."""
        progress = self.own.progress
        for found in self._embedded:
            yield from self._child(found, "", progress.loop_id, progress.last_ns or self.context.fallback_ns)

    def _beside(self, _turn: TurnFacts | None) -> Iterable[AgentEvent]:
        """Returns what sub-agents did, those of the open turn and those whose steps stand among this agent's own."""
        due, self._due = self._due, []
        sides, self._sides = self._sides, {}
        for agent_id, steps in sides.items():
            child_id = f"{self._id}.{agent_id}"
            context = self._context_of(child_id, "", self.build.progress.loop_id, steps[0][1])
            alone = Trajectory(agent=self._trajectory.agent, trajectory_id=child_id)
            fold = TrajectoryFold(context, alone, AtifState(), depth=self._depth + 1)
            fold.own.progress.untimed = self.own.progress.untimed
            for step, at_ns in steps:
                fold.do(step, at_ns)
            due += fold.settle("end")
            self.counts += fold.counts
        return due

    # --- loops ---------------------------------------------------------------------------------------------------------

    def _facts(self, step: Step, at_ns: int) -> LoopFacts:
        context = self.context
        facts = LoopFacts(loop_id=f"{self._id}.{self._number(step)}", started_ns=at_ns, source=self._source())
        facts.agent_name = text(self._of_agent.get("name"))
        if context.agent_id:
            facts.kind, facts.trigger = "SubAgent", "SubAgent"
            facts.parent_tool_call_id = context.parent_call(context.agent_id)
            facts.parent_loop_id = context.parent_loop(context.agent_id)
        elif context.previous_loop and not self.own.progress.base_id:
            facts.kind, facts.trigger, facts.parent_loop_id = "Default", "Continuation", context.previous_loop
        return facts

    def _source(self) -> Source:
        return Source(agent=agent_name(self._trajectory), version=text(self._of_agent.get("version")) or UNSET)


def agent_name(found: Trajectory) -> str:
    """Returns the name of a trajectory's agent, the format's where that is no word."""
    name = text(members(found.agent).get("name"))
    return name if is_word(name) else NAME
