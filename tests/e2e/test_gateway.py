"""Scale-out as gateway.yaml and gateway-sampling.yaml say: one load-balancing gateway, two samplers, 200 loops in loop scope.

A loop is judged when its span has arrived, or `decision_wait` after its first span. What comes later follows the decision.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import pytest

import otel_phi
from otel_phi.events import AgentEvent, Usage
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests.e2e.collector import Collector
from tests.e2e.conftest import StartCollector
from tests.e2e.processes import wait_for
from tests.e2e.trees import SERVICE
from tests.streams import answer, end, request, result, said, start, tool, tool_end, turn, turn_end
from tests.test_collector_config import FOLDER

WITHIN_S = 120.0  # for what takes 15 s on an idle machine, most of it waiting for decisions
# Seconds where the files have minutes. No test depends on their length: it waits for the decisions themselves.
QUICK = {"DECISION_WAIT": "6s", "DECISION_WAIT_AFTER_ROOT": "2s"}
DECIDED = re.compile(r'Sampling policy evaluation completed.*"sampled": (\d+), "notSampled": (\d+)')
LATE = re.compile(r'Trace ID is in the (sampled|non-sampled) cache.*"id": "([0-9a-f]{32})"')


class Story(NamedTuple):
    """Is a loop's events: those in time, and those after it was judged."""

    kind: str
    in_time: list[AgentEvent]
    late: list[AgentEvent]

    def spans(self) -> list[Span]:
        """Returns its spans as they leave."""
        return spans([*self.in_time, *self.late])


def spans(events: Iterable[AgentEvent]) -> list[Span]:
    """Returns the spans of loops, each a trace, as they leave."""
    return list(otel_phi.spans(events, MappingOptions(service_name=SERVICE, trace_scope="loop")))


def turns(
    loop: str, ms: int, index: int = 0, *, usage: Usage | None = None, error: str | None = None
) -> list[AgentEvent]:
    """Returns a turn of one second with a tool, which fails where an error is given."""
    call = f"c{index}"
    return [
        turn(ms, index, loop),
        request(ms + 1, index, loop),
        said(ms + 500, loop, usage=usage or Usage(10, 5)),
        tool(call, loop=loop),
        tool_end(call, loop=loop, error=error),
        result(ms + 800, call, loop=loop),
        turn_end(ms + 1_000, index, loop),
    ]


def failed_turn(loop: str, ms: int, index: int) -> list[AgentEvent]:
    """Returns a turn in which the provider fails."""
    last = answer(ms + 900, index, loop, stop_reason="error", error_message="API error: 500")
    return [turn(ms, index, loop), request(ms + 1, index, loop), turn_end(ms + 1_000, index, loop, message=last)]


def story(kind: str, number: int) -> Story:
    """Returns a loop of a kind, in a session of its own."""
    session = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))
    loop = f"{session}.mock.1"
    opened: list[AgentEvent] = [start(0, loop, session=session)]
    match kind:
        case "failed":
            return Story(kind, [*opened, *failed_turn(loop, 1, 0), end(1_100, loop)], [])
        case "failed tool":
            return Story(kind, [*opened, *turns(loop, 1, error="no such file"), end(1_100, loop)], [])
        case "costly":
            usage = Usage(250_000, 100) if number % 2 else Usage(100, 25_000)  # by what it read, or by what it wrote
            return Story(kind, [*opened, *turns(loop, 1, usage=usage), end(1_100, loop)], [])
        case "slow":
            return Story(kind, [*opened, *turns(loop, 1), *turns(loop, 400_000, 1), end(402_000, loop)], [])
        case "dull":
            return Story(kind, [*opened, *turns(loop, 1), end(1_100, loop)], [])
        case _:  # fails after it was judged
            return Story(kind, [*opened, *turns(loop, 1)], [*failed_turn(loop, 2_000, 1), end(3_100, loop)])


KINDS = {"failed": 20, "failed tool": 20, "costly": 20, "slow": 20, "dull": 80, "late": 40}
KEPT_FOR_A_REASON = ("failed", "failed tool", "costly", "slow")
STORIES = [story(kind, number) for kind, count in KINDS.items() for number in range(count)]


class Gateways(NamedTuple):
    """Is the pair and what stands behind each sampler."""

    gateway: Collector
    samplers: tuple[Collector, Collector]
    backends: tuple[Receiver, Receiver]

    def decided(self) -> Counter[str]:
        """Returns how many traces were judged, by outcome, as the samplers say."""
        found = [match for sampler in self.samplers for match in DECIDED.finditer(sampler.words())]
        return Counter({"kept": sum(int(each[1]) for each in found), "dropped": sum(int(each[2]) for each in found)})

    def late(self) -> Counter[tuple[str, str]]:
        """Returns how often spans came for a trace already judged: by cache and trace id."""
        return Counter((match[1], match[2]) for sampler in self.samplers for match in LATE.finditer(sampler.words()))


@pytest.fixture
def gateways(collector: StartCollector) -> Iterator[Gateways]:
    """Gives a load-balanced pair of samplers, each with a backend of its own."""
    talkative = {
        "service": {"telemetry": {"logs": {"level": "debug", "sampling": {"enabled": False}}}}
    }  # else decisions are told by metrics alone
    with ExitStack() as stack:
        backends = (stack.enter_context(Receiver(grpc=True)), stack.enter_context(Receiver(grpc=True)))
        first, second = (
            collector(
                FOLDER / "gateway-sampling.yaml",
                talkative,
                environment={
                    **QUICK,
                    "BACKEND_ENDPOINT": backend.grpc_endpoint.removeprefix("http://"),
                    "BACKEND_INSECURE": "true",
                },
                name=f"sampler-{number}",
            )
            for number, backend in enumerate(backends)
        )
        addresses = ", ".join(sampler.grpc.removeprefix("http://") for sampler in (first, second))
        gateway = collector(FOLDER / "gateway.yaml", environment={"SAMPLERS": f"[{addresses}]"}, name="gateway")
        yield Gateways(gateway, (first, second), backends)


def by_trace(found: Iterable[Span]) -> Mapping[int, set[Span]]:
    """Returns spans by their trace."""
    traces = defaultdict(set)
    for span in found:
        traces[span.trace_id].add(span)
    return traces


def test_errors_and_costs_are_kept_no_trace_is_split_and_late_spans_follow_the_decision(gateways: Gateways) -> None:
    sent = {each.spans()[0].trace_id: each for each in STORIES}
    assert len(sent) == 200
    with otel_phi.Bridge(endpoint=gateways.gateway.http, service_name=SERVICE, trace_scope="loop") as bridge:
        bridge.feed(event for each in STORIES for event in each.in_time)
        bridge.flush()
        wait_for(lambda: gateways.decided().total() == 200, "a decision on each of 200 loops", WITHIN_S)
        bridge.feed(event for each in STORIES for event in each.late)
        bridge.flush()
    wait_for(lambda: len(late_ids(gateways)) == KINDS["late"], "the late spans of 40 loops at the samplers", WITHIN_S)
    kept = gateways.decided()["kept"]
    wait_for(lambda: whole(gateways, sent) == kept, f"{kept} traces whole at the backends", WITHIN_S)

    # Split would be: spans of one trace behind both samplers, or fewer than it has.
    behind = [by_trace(backend.spans) for backend in gateways.backends]
    assert all(behind)
    assert set(behind[0]) & set(behind[1]) == set()
    arrived = {**behind[0], **behind[1]}
    assert {trace: spans for trace, spans in arrived.items() if spans != set(sent[trace].spans())} == {}

    found = Counter(sent[trace].kind for trace in arrived)
    assert {kind: found[kind] for kind in KEPT_FOR_A_REASON} == {kind: KINDS[kind] for kind in KEPT_FOR_A_REASON}
    # A tenth of the rest, by a hash of the trace id: the same ones on every run. The error came too late to be judged:
    # a late loop is whole or not there at all, and most are not, though each of them failed.
    assert 0 < found["dull"] < KINDS["dull"] / 4
    assert 0 < found["late"] < KINDS["late"] / 4
    dropped = {trace for cache, trace in gateways.late() if cache == "non-sampled"}
    assert {int(trace, 16) for trace in dropped} == {t for t, each in sent.items() if each.kind == "late"} - set(
        arrived
    )


def late_ids(gateways: Gateways) -> set[str]:
    """Returns the traces for which spans came after they were judged."""
    return {trace for _, trace in gateways.late()}


def whole(gateways: Gateways, sent: Mapping[int, Story]) -> int:
    """Returns how many traces the backends have in full."""
    arrived = by_trace(span for backend in gateways.backends for span in backend.spans)
    return sum(len(spans) == len(sent[trace].spans()) for trace, spans in arrived.items())
