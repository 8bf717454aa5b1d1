"""Metrics of a live agent: a real OTLP receiver gets them, once, from the process that wrote the facts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import otel_phi
from otel_phi.events import AgentEvent, ConfigSnapshot, RequestPayload, SideCall, TurnRequest, Usage
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.metrics import instruments as i
from otel_phi.metrics.agent import AgentMetrics
from otel_phi.metrics.series import MAX_SERIES, OTHER, Series, word
from otel_phi.pipeline import Pipeline
from otel_phi.testing import Receiver
from tests import golden
from tests.hook.conftest import Install
from tests.hook.stories import as_bytes, as_dict, session
from tests.hook.waiting import until
from tests.laws import role
from tests.metrics.received import metrics_of, received, requests, resource_of
from tests.streams import (
    LOOP,
    SESSION,
    answer,
    at,
    end,
    result,
    said,
    start,
    tool,
    tool_end,
    turn,
    turn_end,
    whole_loop,
)

TOOLS = [
    {"name": name, "description": "what a person wrote", "parameters": {"type": "object"}}
    for name in ("bash", "mcp__web__get")
]


def request(ms: float, index: int = 0, loop: str = LOOP, tools: object = TOOLS) -> TurnRequest:
    payload = RequestPayload(model_id="mock", tools=msgspec.Raw(msgspec.json.encode(tools)))
    return TurnRequest(loop_id=loop, turn_index=index, timestamp=at(ms), payload=payload)


def story(loop: str = LOOP, session_id: str = SESSION, **config: Any) -> list[AgentEvent]:
    """Returns a loop of two turns: tools that were offered and one that was made up, caches, an error."""
    snapshot = ConfigSnapshot(model="mock", provider="OpenAI", base_url="https://api.example.com/v1", **config)
    called = [("c1", "bash"), ("c2", "mcp__web__get"), ("c3", "made_up_by_a_model")]
    return [
        start(0, loop, session=session_id, config_snapshot=snapshot),
        turn(1, 0, loop),
        request(2, 0, loop),
        said(502, loop, model="mock-2026", usage=Usage(100, 20, 8, 30, 5, 120)),
        *[event for call, name in called for event in (tool(call, name, loop), tool_end(call, name, loop))],
        *[result(600 + 100 * number, call, loop=loop) for number, (call, _) in enumerate(called)],
        turn_end(900, 0, loop),
        turn(901, 1, loop),
        request(902, 1, loop),
        turn_end(
            2_000,
            1,
            loop,
            message=answer(1_902, 1, loop, stop_reason="error", error_message="Rate limited", usage=Usage()),
            usage=Usage(),
        ),
        end(3_000, loop),
    ]


def live(install: Install, events: Iterable[Any], **options: Any) -> otel_phi.Hook:
    """Records events, and ends; metrics leave at the end."""
    hook = install(metrics=True, **options)
    for event in events:
        hook(event)
    assert hook.shutdown(10.0)
    return hook


@pytest.mark.parametrize("form", [lambda event: event, as_dict, as_bytes], ids=["events", "dicts", "bytes"])
def test_a_receiver_gets_what_an_agent_did(form: Callable[[Any], Any], install: Install, receiver: Receiver) -> None:
    live(install, map(form, story()), agent_name="planner")
    found = received(receiver)
    calls = found[i.OPERATION_DURATION]
    assert (calls.unit, calls.count) == ("s", 2)
    assert calls.total == pytest.approx(0.5 + 1.0)
    assert {"gen_ai.operation.name", "gen_ai.provider.name"} <= {key for one in calls.points for key, _ in one}
    assert calls.values(s.PROVIDER) == {"openai"}
    assert calls.values(s.SERVER_ADDRESS) == {"api.example.com"}
    assert calls.values(s.SERVER_PORT) == {443}
    assert calls.values(s.ERROR_TYPE) == {"rate_limited"}
    assert calls.values(s.RESPONSE_MODEL) >= {"mock-2026"}
    tokens = found[i.TOKEN_USAGE]
    assert (tokens.at(gen_ai__token__type="input"), tokens.at(gen_ai__token__type="output")) == (100, 20)
    assert {name: found[name].total for name in (i.CACHE_READ, i.CACHE_WRITE, i.REASONING)} == {
        i.CACHE_READ: 30,
        i.CACHE_WRITE: 5,
        i.REASONING: 8,
    }
    loops = found[i.AGENT_DURATION]
    assert (loops.total, loops.values(s.AGENT_NAME), loops.values(s.ERROR_TYPE)) == (3.0, {"planner"}, {"rate_limited"})
    assert loops.values(s.PROVIDER) == set()
    assert (found[i.INFERENCE_CALLS].total, found[i.TOOL_CALLS].total) == (2, 3)
    tools = found[i.TOOL_DURATION]
    assert (tools.count, tools.values(s.TOOL_NAME)) == (3, {"bash", "mcp__web__get", OTHER})
    assert tools.values(s.TOOL_TYPE) == {"extension"}
    assert found[i.SESSIONS].total == 1


def test_names_units_kinds_and_buckets_are_those_of_the_table(install: Install, receiver: Receiver) -> None:
    (prices := Path(os.environ["OTEL_PHI_TEST_DIR"]) / "prices.toml").write_text(
        '[[price]]\nmodel = "*"\ninput = 1\noutput = 2\n'
    )
    live(install, story(), prices=prices)
    found = received(receiver)
    assert set(found) == set(i.BY_NAME)
    for name, metric in found.items():
        one = i.BY_NAME[name]
        assert metric.unit == one.unit
        assert (metric.kind, metric.monotonic) == {
            "histogram": ("histogram", False),
            "counter": ("sum", True),
            "observable_counter": ("sum", True),
            "observable_gauge": ("gauge", False),
        }[one.kind]
        assert {point.bounds for point in metric.points.values()} == {one.buckets}
    assert found[i.COST].total == pytest.approx((100 + 40) / 1e6)
    assert found[i.TOKEN_USAGE].points
    seconds = i.BY_NAME[i.OPERATION_DURATION].buckets
    assert (seconds[0], seconds[-1], len(seconds)) == (0.01, 81.92, 14)
    tokens = i.BY_NAME[i.TOKEN_USAGE].buckets
    assert (tokens[0], tokens[1], tokens[-1], len(tokens)) == (1, 4, 67_108_864, 14)
    loops = i.BY_NAME[i.AGENT_DURATION].buckets
    assert (loops[0], loops[1]) == (0.1, 0.2)
    assert loops[-1] == pytest.approx(409.6)
    assert i.BY_NAME[i.TOOL_CALLS].buckets == i.BY_NAME[i.INFERENCE_CALLS].buckets == (1, 2, 4, 8, 16, 32, 64, 128)


def test_metrics_say_what_the_spans_say(install: Install, receiver: Receiver) -> None:
    live(install, golden.demo())
    found, spans = received(receiver), receiver.spans

    def seconds(kind: str) -> list[float]:
        return [(span.end_ns - span.start_ns) / 1e9 for span in spans if role(span) == kind]

    for name, kind in ((i.OPERATION_DURATION, "chat"), (i.AGENT_DURATION, "loop"), (i.TOOL_DURATION, "tool")):
        assert found[name].count == len(seconds(kind))
        assert found[name].total == pytest.approx(sum(seconds(kind)), abs=1e-5)
    assert found[i.TOKEN_USAGE].total == sum(
        _number(span, s.USAGE_INPUT) + _number(span, s.USAGE_OUTPUT) for span in spans
    )
    assert found[i.TOOL_CALLS].total == sum(_number(span, s.LOOP_TOOLS) for span in spans)
    assert found[i.SESSIONS].total == len([span for span in spans if role(span) == "root"])


def _number(span: Span, key: str) -> int:
    value = span.get(key)
    return value if isinstance(value, int) else 0


def test_our_health_says_what_became_of_spans_and_how_long_requests_took(install: Install, receiver: Receiver) -> None:
    receiver.answer(status=503)
    hook = live(install, story(), sampler=1.0)
    found = received(receiver)
    assert found[i.SPANS].at(outcome="acknowledged") == hook.stats().delivery.acknowledged > 0
    assert found[i.DELIVERY_DURATION].count == hook.stats().delivery.posts
    assert found[i.DELIVERY_DURATION].values(i.OUTCOME) == {"accepted", "retry"}
    assert found[i.OUTBOX_BYTES].total > 0


def test_what_is_sampled_out_is_counted_all_the_same(install: Install, receiver: Receiver) -> None:
    live(install, story(), sampler="always_off")
    found = received(receiver)
    assert receiver.spans == ()
    assert (found[i.AGENT_DURATION].count, found[i.SPANS].at(outcome="sampled_out")) == (1, 9)


def test_side_calls_are_calls(install: Install, receiver: Receiver) -> None:
    call = SideCall(
        id="t", session_id=SESSION, start=at(1), end=at(251), model="small", provider="xai", usage=Usage(7, 3)
    )
    live(install, [call])
    found = received(receiver)
    assert found[i.OPERATION_DURATION].total == pytest.approx(0.25)
    assert found[i.TOKEN_USAGE].at(gen_ai__provider__name="x_ai") == 10


def test_a_tool_that_never_ran_took_no_time(install: Install, receiver: Receiver) -> None:
    skipped = [tool("c1"), tool_end("c1", error="Skipped due to queued user message."), result(9, "c1")]
    live(install, [start(0), turn(1), request(2), said(5), *skipped, turn_end(10), end(11)])
    assert i.TOOL_DURATION not in received(receiver)


# --- resource ------------------------------------------------------------------------------------------------------------


def test_the_resource_is_the_spans_with_an_instance_that_they_have_not(install: Install, receiver: Receiver) -> None:
    live(install, story(), resource_attributes={"team": "t"})
    resource = resource_of(requests(receiver)[-1])
    assert len(str(resource.pop("service.instance.id"))) == 36
    spans = dict(receiver.groups[0].resource.attributes)
    assert "service.instance.id" not in spans
    assert resource == spans
    assert spans["team"] == "t"


def test_an_instance_that_was_given_stays_on_both(install: Install, receiver: Receiver) -> None:
    live(install, story(), resource_attributes={"service.instance.id": "mine"})
    assert resource_of(requests(receiver)[-1])["service.instance.id"] == "mine"
    assert dict(receiver.groups[0].resource.attributes)["service.instance.id"] == "mine"


# --- whose provider, and when ----------------------------------------------------------------------------------------------


def test_nothing_is_recorded_unless_it_is_asked_for(install: Install, receiver: Receiver) -> None:
    hook = install()
    for event in story():
        hook(event)
    assert hook.shutdown(10.0)
    assert (len(receiver.spans), receiver.metric_requests) == (9, [])


def test_a_provider_of_ones_own_gets_them_and_nothing_is_sent_by_us(install: Install, receiver: Receiver) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    hook = install(metrics=provider)
    for event in story():
        hook(event)
    assert hook.shutdown(10.0)
    data: Any = reader.get_metrics_data()
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "otel_phi"
    assert {metric.name for metric in scope.metrics} >= {i.AGENT_DURATION, i.TOOL_DURATION, i.TOKEN_USAGE}
    (tokens,) = [metric for metric in scope.metrics if metric.name == i.TOKEN_USAGE]
    assert tokens.data.data_points[0].explicit_bounds == i.BY_NAME[i.TOKEN_USAGE].buckets
    assert receiver.metric_requests == []
    provider.shutdown()


_APPLICATION = """
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
import otel_phi
from tests.metrics.test_metrics import story
hook = otel_phi.install(metrics=True, service_name="test")
for event in story():
    hook(event)
assert hook.shutdown(10.0)
names = {m.name for r in reader.get_metrics_data().resource_metrics for c in r.scope_metrics for m in c.metrics}
print("gen_ai.invoke_agent.duration" in names)
"""


def test_the_applications_own_provider_is_found(receiver: Receiver, tmp_path: Path) -> None:
    done = _python(_APPLICATION, receiver, tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")
    assert receiver.metric_requests == []


def _python(code: str, receiver: Receiver, tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_PHI_STATE_DIR": str(tmp_path / "state"),
        **more,
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=golden.PROJECT, timeout=60
    )


_KILLED = """
import os, signal
import otel_phi
from tests.metrics.test_metrics import story
hook = otel_phi.install(metrics=True, service_name="test", endpoint="http://127.0.0.1:9", destination_name="d")
for event in story():
    hook(event)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_adopts_a_dead_processs_journal_counts_nothing_of_it(
    receiver: Receiver, tmp_path: Path, install: Install
) -> None:
    """What it had counted it may have sent; nobody can tell. Its last interval is lost, and the docs say so."""
    code = _KILLED.replace("http://127.0.0.1:9", receiver.endpoint)
    receiver.answer(status=503, times=1_000)
    assert _python(code, receiver, tmp_path).returncode == -9
    receiver.forget_script()
    mine = whole_loop(0, "mine.1", session="mine")
    hook = install(metrics=True, destination_name="d")
    for event in mine:
        hook(event)
    assert hook.flush(20.0)
    assert hook.shutdown(10.0)
    assert hook.stats().delivery.adopted > 0
    found = received(receiver)
    assert (found[i.SESSIONS].total, found[i.AGENT_DURATION].count) == (1, 1)
    assert i.TOOL_DURATION not in found


_FORKING = """
import os
import otel_phi
from tests.metrics.test_metrics import story
hook = otel_phi.install(metrics=True, service_name="test")
for event in story():
    hook(event)
assert hook.flush(10.0)
child = os.fork()
if child == 0:
    for event in story("other.1", "other"):
        hook(event)
    os._exit(0 if hook.shutdown(10.0) else 1)
assert os.waitpid(child, 0)[1] == 0
assert hook.shutdown(10.0)
"""


def test_a_forked_child_counts_its_own_and_never_its_parents(receiver: Receiver, tmp_path: Path) -> None:
    done = _python(_FORKING, receiver, tmp_path, OTEL_METRIC_EXPORT_INTERVAL="100")
    assert (done.returncode, done.stderr) == (0, "")
    latest = {str(resource_of(each)["service.instance.id"]): metrics_of(each) for each in requests(receiver)}
    assert [found[i.AGENT_DURATION].count for found in latest.values()] == [1, 1]


def test_metrics_leave_while_the_agent_goes_on(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    hook = install(metrics=True)
    for event in story():
        hook(event)
    assert hook.flush(10.0)
    seen = len(receiver.wait_for_metrics(1))
    assert receiver.wait_for_metrics(seen + 2)
    assert received(receiver)[i.AGENT_DURATION].count == 1


def test_reading_goes_on_while_spans_wait(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that takes no spans for an hour must not keep metrics from what has happened."""
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    receiver.answer(status=503, times=10_000)
    hook = install(metrics=True)
    for number in range(20):
        for event in story(f"s{number}.1", f"s{number}"):
            hook(event)
    until(lambda: bool(receiver.metric_requests) and _loops(receiver) == 20)
    assert receiver.spans == ()
    receiver.forget_script()
    assert hook.flush(30.0)


def _loops(receiver: Receiver) -> int:
    metric = received(receiver).get(i.AGENT_DURATION)
    return 0 if metric is None else metric.count


def test_over_grpc_too(tmp_path: Path) -> None:
    with Receiver(grpc=True) as receiver:
        hook = otel_phi.install(
            endpoint=receiver.grpc_endpoint, protocol="grpc", metrics=True, state_dir=tmp_path, flush_on_sigterm=False
        )
        for event in story():
            hook(event)
        assert hook.shutdown(10.0)
        assert received(receiver)[i.AGENT_DURATION].count == 1


def test_headers_and_endpoint_are_the_spans_or_those_of_their_own(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as other:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{other.endpoint}/v1/metrics")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-own=1")
        live(install, story(), endpoint=None, headers={"x-all": "2"})
        (sent,) = other.metric_requests
        assert (sent.headers["x-own"], sent.headers["x-all"]) == ("1", "2")
        assert receiver.metric_requests == []


def test_a_collector_that_never_answers_metrics_holds_up_neither_spans_nor_the_end(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}/v1/metrics"
        )
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
        hook = install(metrics=True, endpoint=None)
        for event in story():
            hook(event)
        assert hook.flush(10.0)
        assert len(receiver.spans) == 9
        hook.shutdown(1.0)


# --- offline -----------------------------------------------------------------------------------------------------------------


def test_an_import_counts_only_what_it_is_asked_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PHI_METRICS", "true")
    with otel_phi.Bridge(endpoint=receiver.endpoint) as bridge:
        bridge.feed(story())
    assert receiver.metric_requests == []
    with otel_phi.Bridge(endpoint=receiver.endpoint, metrics=True) as bridge:
        bridge.feed(story())
    found = received(receiver)
    assert (found[i.AGENT_DURATION].count, found[i.TOOL_DURATION].values(s.TOOL_NAME)) == (
        1,
        {"bash", "mcp__web__get", OTHER},
    )
    assert found[i.SPANS].at(outcome="acknowledged") == 9


# --- what may stand on a metric, and how much ----------------------------------------------------------------------------------

WILD = [
    "/home/ada/models/llama.gguf",
    "~/models/x",
    "./x",
    "C:\\models\\x",
    "file:///x",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x",
    "0190a1b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b",
    "worker-9f86d081884c7d65",
    "user-1234567890",
    "what a person wrote",
    "",
    "ä",
    "x" * 129,
]


@pytest.mark.parametrize("text", WILD)
def test_no_id_path_or_text_is_a_word(text: str) -> None:
    assert word(text) == OTHER


@pytest.mark.parametrize(
    "text",
    [
        "claude-sonnet-4-5-20250929",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "meta-llama/Llama-3.3-70B-Instruct",
        "accounts/fireworks/models/llama-v3p1-8b-instruct",
        "gpt-4o-2024-08-06",
        "rate_limited",
        "api.example.com",
    ],
)
def test_models_errors_and_hosts_are_words(text: str) -> None:
    assert word(text) == text


class Recorded:
    """Keeps the attribute sets that each metric was recorded with."""

    def __init__(self) -> None:
        self.sets: dict[str, set[frozenset[tuple[str, object]]]] = {}

    def records(self, name: str) -> Callable[[Any, dict[str, Any]], None]:
        def record(_: float, attributes: dict[str, Any]) -> None:
            self.sets.setdefault(name, set()).add(frozenset(attributes.items()))

        return record


def counted(streams: Iterable[list[AgentEvent]]) -> Recorded:
    kept = Recorded()
    metrics = AgentMetrics(kept.records, MappingOptions())
    pipeline = Pipeline(MappingOptions(), on_notice=metrics.record)
    for events in streams:
        pipeline.feed_block(events)
    return kept


def wild_sessions() -> Iterator[list[AgentEvent]]:
    """Yields a thousand sessions, each with a model, a host, an agent, tools and an error of its own."""
    for number in range(1_000):
        loop = f"s{number}.1"
        config = ConfigSnapshot(model=f"m{number}", provider=f"p{number}", base_url=f"https://h{number}.example.com")
        called = f"tool{number}"
        yield [
            start(0, loop, session=f"s{number}", agent_name=f"agent{number}", config_snapshot=config),
            turn(1, 0, loop),
            request(2, 0, loop, [{"name": called}] if number % 2 else TOOLS),
            said(
                5,
                loop,
                model=f"m{number}",
                usage=Usage(5, 6, 1, 2, 3, 11),
                stop_reason="error",
                error_type=f"E{number}",
            ),
            tool("c", called, loop),
            tool_end("c", called, loop),
            turn_end(9, 0, loop),
            end(10, loop),
        ]


def test_the_series_of_a_thousand_wild_sessions_are_bounded() -> None:
    kept = counted(wild_sessions())
    assert {name: len(sets) for name, sets in kept.sets.items() if len(sets) > MAX_SERIES + 1} == {}
    overflow = frozenset({("otel.metric.overflow", True)})
    assert overflow in kept.sets[i.OPERATION_DURATION]


def test_the_series_of_a_thousand_like_sessions_are_those_of_one() -> None:
    many = counted(story(f"s{number}.1", f"s{number}") for number in range(1_000))
    one = counted([story()])
    assert many.sets == one.sets
    assert sum(map(len, one.sets.values())) < 25


def test_nothing_that_tells_sessions_apart_is_on_a_metric() -> None:
    kept = counted([story(f"{session('x')}.1", session("x"))])
    values = {str(value) for sets in kept.sets.values() for one in sets for _, value in one}
    assert not {
        value for value in values if session("x") in value or "person" in value or value == "made_up_by_a_model"
    }


def test_series_remember_no_more_than_their_bound() -> None:
    series = Series()
    found = [series.of((("a", f"w{number}"), ("b", None))) for number in range(2 * MAX_SERIES)]
    assert found[0] == {"a": "w0"}
    assert found[-1] == {"otel.metric.overflow": True}
    assert series.of((("a", "w0"),)) == {"a": "w0"}
