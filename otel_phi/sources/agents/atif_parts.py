"""Parts of ATIF trajectories, decoded leniently, and what of them means what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.sources.agents.reading import (
    anything,
    compact,
    decoded,
    every,
    ident,
    instant,
    is_text,
    members,
    number,
    pieces,
    text,
    text_block,
    used,
)
from otel_phi.wire.messages import NULL, Usage

MAX_EFFORT = 32  # a word, or a number
MADE_STEP_NS = (
    1_000_000  # between steps whose times are made: enough for their order, too little to be taken for a duration
)
_CONTINUED = re.compile(r"-cont-(\d{1,6})$")
_CONTINUED_FILE = re.compile(r"\.cont-(\d{1,6})\.json$")
_HEAD = 256  # before the first step stands only white space
_HAS_STEPS = re.compile(rb"\[\s*[^\s\]]")
_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]{5,18}")
_VERSION = re.compile(r"ATIF-v(\d+)\.(\d+)")
_RUN_SCOPED = (1, 7)  # from this version a session id is a run's, which several trajectories share


class Trajectory(msgspec.Struct):
    """A trajectory is what one agent did in one run, or up to where another file continues it."""

    schema_version: Any = None
    session_id: Any = None
    trajectory_id: Any = None
    agent: Any = None
    steps: Raw = NULL
    final_metrics: Any = None
    continued_trajectory_ref: Any = None
    subagent_trajectories: Raw = NULL


class Step(msgspec.Struct):
    """A step is something that was said or done, with the tools and what came of them."""

    step_id: Any = None
    timestamp: Any = None
    source: Any = None
    model_name: Any = None
    reasoning_effort: Any = None
    reasoning_content: Any = None
    is_copied_context: Any = None
    llm_call_count: Any = None
    message: Raw = NULL
    tool_calls: Raw = NULL
    observation: Raw = NULL
    metrics: Raw = NULL
    extra: Any = None


class Call(msgspec.Struct):
    """A call is a tool call."""

    tool_call_id: Any = None
    function_name: Any = None
    arguments: Raw = NULL


class Result(msgspec.Struct):
    """A result is what a tool, or the world, said."""

    source_call_id: Any = None
    subagent_trajectory_ref: Any = None
    content: Raw = NULL


class _Observation(msgspec.Struct):
    results: Raw = NULL


class _Metrics(msgspec.Struct):
    prompt_tokens: Any = None
    completion_tokens: Any = None
    cached_tokens: Any = None
    cost_usd: Any = None
    extra: Any = None


class _Timed(msgspec.Struct):
    timestamp: Any = None
    is_copied_context: Any = None


_trajectories = msgspec.json.Decoder(Trajectory)
_values = msgspec.json.Decoder(dict[str, Raw])
_calls = msgspec.json.Decoder(Call)
_results = msgspec.json.Decoder(Result)
_observations = msgspec.json.Decoder(_Observation)
_metrics = msgspec.json.Decoder(_Metrics)
_times = msgspec.json.Decoder(_Timed)
_steps = msgspec.json.Decoder(Step)


# --- documents -------------------------------------------------------------------------------------------------------------


def trajectories(data: bytes | Raw) -> list[Trajectory]:
    """Returns the trajectories of a document: of one, of an object or a list of them, or of lines; none of what has none."""
    whole = decoded(_trajectories, data)
    if whole is not None and is_trajectory(whole):
        return [whole]
    if whole is not None:
        return _those_of((decoded(_values, data) or {}).values())
    return _those_of(pieces(data) or bytes(data).split(b"\n"))


def _those_of(parts: Iterable[bytes | Raw]) -> list[Trajectory]:
    found = (decoded(_trajectories, part) for part in parts)
    return [one for one in found if one is not None and is_trajectory(one)]


def is_trajectory(found: Trajectory) -> bool:
    """Says whether an object is a trajectory: one has steps."""
    return _HAS_STEPS.match(memoryview(found.steps)[:_HEAD]) is not None


def embedded(found: Trajectory) -> list[Trajectory]:
    """Returns the sub-agents' trajectories within one."""
    return _those_of(pieces(found.subagent_trajectories))


def own_id(found: Trajectory) -> str:
    """Returns by what others refer to a trajectory, "" where that is nothing."""
    return ident(found.trajectory_id) or ("" if is_run_scoped(found) else ident(found.session_id))


def is_run_scoped(found: Trajectory) -> bool:
    """Says whether the session id is that of a run, which other trajectories may share."""
    version = _VERSION.match(text(found.schema_version))
    if version is None:
        return bool(ident(found.trajectory_id))
    return (int(version[1]), int(version[2])) >= _RUN_SCOPED


def document_id(found: Trajectory) -> str:
    """Returns what tells a trajectory's steps from others', "" for one without an id."""
    session_id, part = ident(found.session_id), part_of(found)
    plain = session_id if not part or _CONTINUED.search(session_id) else f"{session_id}-cont-{part}"
    return ident(found.trajectory_id) or plain


def part_of(found: Trajectory, path: str = "") -> int:
    """Returns which file of a run a trajectory is: 0 for the first, 1 for its continuation."""
    given = number(members(members(found.agent).get("extra")).get("continuation_index"))
    named = _CONTINUED.search(text(found.session_id)) or _CONTINUED_FILE.search(path)
    return given or (int(named[1]) if named else 0)


def parent_session(found: Trajectory) -> str:
    """Returns the session of the agent that started the one of a file, where the file says so itself; else ""."""
    return without_part(ident(members(members(found.agent).get("extra")).get("parent_session_id")))


def without_part(session_id: str) -> str:
    """Returns the session id of a run whose files continue each other."""
    return _CONTINUED.sub("", session_id)


def first_ns(found: Trajectory) -> int:
    """Returns the first time that a trajectory tells of a step of its own, 0 for none at all."""
    steps = (decoded(_times, raw) or _Timed() for raw in pieces(found.steps))
    own = (zoned(step.timestamp) for step in steps if step.is_copied_context is not True)
    return next((at_ns for at in own if (at_ns := instant(at))), 0)


def zoned(time: Any) -> Any:
    """Returns a time with its zone; one without is taken for UTC, as Harbor's own are."""
    return f"{time}Z" if isinstance(time, str) and _NO_ZONE.fullmatch(time) else time


def trial_times(result: bytes) -> tuple[int, int]:
    """Returns when a trial's agent began and ended, as its `result.json` says; 0 for unknown."""
    found = members(anything(result)) if result else {}
    times = members(found.get("agent_execution")) or found
    return instant(zoned(times.get("started_at"))), instant(zoned(times.get("finished_at")))


def made_times(steps: int, began_ns: int, ended_ns: int) -> list[int]:
    """Returns times for steps without: from the first to the last moment evenly, or in order up to the last one."""
    if 0 < began_ns < ended_ns and steps > 1:
        return [began_ns + (ended_ns - began_ns) * index // (steps - 1) for index in range(steps)]
    last_ns = ended_ns - ended_ns % MADE_STEP_NS  # messages have times of whole milliseconds
    return [max(last_ns - MADE_STEP_NS * (steps - 1 - index), 1) for index in range(steps)]


def has_other_totals(found: Trajectory) -> bool:
    """Says whether a trajectory's own totals are not what its steps add up to: input and output tokens."""
    given = members(found.final_metrics)
    usages = [usage_of(step) for step in steps_of(found)] if given else []
    sums = {
        "total_prompt_tokens": sum(usage.input for usage in usages),
        "total_completion_tokens": sum(usage.output for usage in usages),
    }
    return any(given.get(key) is not None and number(given[key]) != total for key, total in sums.items())


def steps_of(found: Trajectory) -> Iterator[Step]:
    """Yields a trajectory's own steps, as far as they can be read."""
    for raw in pieces(found.steps):
        step = decoded(_steps, raw)
        if step is not None and step.is_copied_context is not True:
            yield step


# --- steps -----------------------------------------------------------------------------------------------------------------


def calls_of(step: Step) -> Iterator[tuple[Call, int]]:
    """Yields a step's tool calls with their numbers."""
    for index, raw in enumerate(pieces(step.tool_calls)):
        found = decoded(_calls, raw)
        if found is not None:
            yield found, index


def results_of(step: Step) -> list[Result]:
    """Returns what a step observed."""
    found = decoded(_observations, step.observation) or _Observation()
    return every(_results, pieces(found.results))


def file_of(path: Any) -> str:
    """Returns the name of a file, whatever folder a trajectory says it is in."""
    return text(path).replace("\\", "/").rpartition("/")[2]


def references_of(result: Result) -> list[dict[str, Any]]:
    """Returns the sub-agents that a result names."""
    given = result.subagent_trajectory_ref
    return [members(one) for one in (given if isinstance(given, list) else [given]) if isinstance(one, dict)]


def usage_of(step: Step) -> Usage:
    """Returns a step's tokens; input includes cached ones."""
    found = decoded(_metrics, step.metrics) or _Metrics()
    output, extra = number(found.completion_tokens), members(found.extra)
    return used(
        Usage(
            input=number(found.prompt_tokens),
            output=output,
            reasoning=min(number(extra.get("reasoning_tokens")), output),
            cache_read=number(found.cached_tokens),
            cache_write=number(extra.get("cache_creation_input_tokens")),
            cached="in",
        )
    )


def cost_of(step: Step) -> float | None:
    """Returns what a step cost, None where it does not say."""
    cost = (decoded(_metrics, step.metrics) or _Metrics()).cost_usd
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and cost >= 0 else None


def effort_of(step: Step) -> str:
    """Returns how much the model was to think: a word or a number."""
    given = step.reasoning_effort
    return f"{given:g}" if isinstance(given, int | float) and not isinstance(given, bool) else text(given)[:MAX_EFFORT]


def provider_of(model: str, default: str) -> str:
    """Returns who serves a model, where its name, or the agent's own name for the same model, says so."""
    named = model if "/" in model else default if default.endswith(f"/{model}") else ""
    return named.partition("/")[0] if "/" in named else ""


def answer_blocks(step: Step) -> list[bytes]:
    """Returns what an answer says, without its tool calls, as content blocks in phi's form."""
    thought = text(step.reasoning_content)
    found = [msgspec.json.encode({"type": "thinking", "thinking": thought})] if thought else []
    if is_text(step.message):
        words = text(anything(step.message))
        return found + ([text_block(words)] if words else [])
    return found + [bytes(compact(raw)) for raw in pieces(step.message)]


def call_block(call_id: str, name: str, args: Raw) -> bytes:
    """Returns a tool call in phi's form."""
    return msgspec.json.encode({"type": "toolCall", "id": call_id, "name": name, "arguments": args})
