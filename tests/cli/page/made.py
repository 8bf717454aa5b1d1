"""Sessions as a week of some agents' work leaves them: made, always the same, and of any number."""

from __future__ import annotations

import random
import uuid
from collections.abc import Generator, Iterator

from otel_phi.events import AgentEvent, AssistantMessage, ConfigSnapshot, ToolExecutionEnd, ToolExecutionStart, Usage
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from tests.streams import EPOCH_MS, at, end, request, start, turn, turn_end

_AGENTS = ("fixer", "reviewer", "release-notes", "triage")
_MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5")
_PRICES = {"claude-sonnet-4-5": (3.0, 15.0), "claude-haiku-4-5": (1.0, 5.0), "gpt-5": (1.25, 10.0)}  # dollars a million
_TOOLS = (("read_file", 30, 0.01), ("bash", 900, 0.09), ("edit_file", 45, 0.06), ("search", 160, 0.02), ("fetch", 700, 0.04))  # fmt: skip
_BETWEEN_MS = 41 * 60_000  # sessions begin so far apart, about
_TURN_SPANS = 3.3  # of a turn as they are made here: the turn, its model call, tools


def made_spans(sessions: int = 40, count: int = 2_000) -> Iterator[Span]:
    """Yields about `count` spans of `sessions` sessions."""
    yield from spans(made_events(sessions, count), MappingOptions())


def made_events(sessions: int, count: int) -> Iterator[AgentEvent]:
    """Yields the events behind them."""
    chance = random.Random(11)
    turns = max(1, round((count - 3 * sessions) / sessions / _TURN_SPANS))
    for number in range(sessions):
        yield from _session(chance, number, max(1, round(turns * chance.uniform(0.5, 1.5))))


def _session(chance: random.Random, number: int, turns: int) -> Iterator[AgentEvent]:
    session = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    agent, model = chance.choice(_AGENTS), chance.choice(_MODELS)
    loop, now = f"{session}.{agent}.1", number * _BETWEEN_MS * chance.uniform(0.95, 1.05)
    config = ConfigSnapshot(model=model, provider="anthropic" if model.startswith("claude") else "openai")
    yield start(now, loop, session=session, agent_name=agent, config_snapshot=config)
    context = chance.randint(4_000, 9_000)
    for index in range(turns):
        fails, last = chance.random() < 0.006, index == turns - 1
        yield turn(now, index, loop, by="User" if index == 0 else "Continuation")
        yield request(now + 1, index, loop, model_id=model)
        now += chance.uniform(900, 9_000)
        message = _answer(chance, model, context, now, fails=fails, last=last)
        context += chance.randint(200, 1_800)
        if not fails and not last:
            for call in range(chance.choice((0, 1, 1, 2, 3))):
                now += yield from _tool(chance, f"{number}-{index}-{call}", loop, now)
        yield turn_end(now, None, loop, message=message, usage=message.usage)
        now += chance.uniform(1, 20) if chance.random() < 0.93 else chance.uniform(20_000, 400_000)
    yield end(now, loop)


def _answer(
    chance: random.Random, model: str, context: int, now: float, *, fails: bool, last: bool
) -> AssistantMessage:
    usage = Usage(input=context, output=chance.randint(40, 900), cache_read=0, total_tokens=0) if not fails else Usage()
    given, made = _PRICES[model]
    return AssistantMessage(
        model=model,
        provider="anthropic",
        timestamp=round(EPOCH_MS + now),
        usage=usage,
        stop_reason="error" if fails else "stop" if last else "toolUse",
        error_message="API error: 529 overloaded" if fails else None,
        cost_usd=(usage.input * given + usage.output * made) / 1e6,
    )


def _tool(chance: random.Random, call: str, loop: str, now: float) -> Generator[AgentEvent, None, float]:
    """Yields the events of a tool; returns how long it took."""
    name, usual, fails = chance.choice(_TOOLS)
    lasts = usual * chance.lognormvariate(0, 0.7)
    yield ToolExecutionStart(loop_id=loop, tool_call_id=call, tool_name=name, timestamp=at(now))
    failed = chance.random() < fails
    yield ToolExecutionEnd(
        loop_id=loop, tool_call_id=call, tool_name=name, is_error=failed, error_type="timeout" if failed and name == "bash" else "tool_error" if failed else "", timestamp=at(now + lasts)
    )  # fmt: skip
    return lasts
