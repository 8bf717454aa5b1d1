"""The files of collector-config/ in the real Collector: none is wrong or out of date, and what goes in comes out as they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
import urllib3
import yaml

import otel_phi
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping import semconv
from otel_phi.mapping.span import Span, StatusCode
from otel_phi.testing import Receiver
from tests import golden
from tests.e2e.backends import Programs
from tests.e2e.collector import Collector
from tests.e2e.conftest import StartCollector
from tests.e2e.jaeger import Jaeger
from tests.e2e.mlflow import Mlflow
from tests.e2e.phoenix import Phoenix
from tests.e2e.processes import free_ports, wait_for
from tests.e2e.sending import failed, live, session_of, tokens
from tests.e2e.sessions import spans_of, with_other_ids
from tests.e2e.trees import SERVICE, differences, places
from tests.test_backends_doc import DOC
from tests.test_collector_config import COLLECTOR_FILES, FOLDER, series

WITHIN_S = 90.0  # for what takes a second on an idle machine
KEPT_WITHIN_S = 300.0  # for an MLflow, which keeps the demo in 5 s there
_SECRET = "sk-abcdefghijklmnopqrstuvwxyz012345"  # of the form of a key, and nobody's


class Configured(Protocol):
    """Starts a Collector from files of collector-config/, the later laid over the earlier."""

    def __call__(self, *names: str, environment: Mapping[str, str]) -> Collector: ...


@pytest.fixture
def configured(collector: StartCollector) -> Iterator[Configured]:
    """Gives what starts a Collector from a file of ours, and finds no word of anything out of date in what it says."""
    started: list[Collector] = []

    def start(*names: str, environment: Mapping[str, str]) -> Collector:
        started.append(collector(*(FOLDER / name for name in names), environment=environment))
        return started[-1]

    yield start
    for each in started:
        assert each.out_of_date() == []


def demo(**options: Any) -> list[Span]:
    """Returns the demo's spans, as they leave."""
    return spans_of([golden.DEMO], **options)


def send(endpoint: str, source: Path = golden.DEMO, **options: Any) -> None:
    """Sends the demo: two sessions with errors, tools, a sub-agent, a compaction and a parallel group; or another file."""
    with otel_phi.Bridge(endpoint=endpoint, service_name=SERVICE, **options) as bridge:
        bridge.feed(otel_phi.read_events(source, for_spans=True))


def resources(receiver: Receiver) -> list[Resource]:
    """Returns the resources of what arrived, each once."""
    return list({group.resource.attributes: group.resource for group in receiver.groups}.values())


# --- judged by the Collector ---------------------------------------------------------------------------------------------

_LAID_OVER = [("local.yaml", "spanmetrics.yaml"), ("gateway-sampling.yaml", "spanmetrics.yaml")]


@pytest.mark.parametrize("names", [*((name,) for name in COLLECTOR_FILES), *_LAID_OVER], ids="+".join)
def test_the_collector_finds_nothing_wrong_or_out_of_date(
    backends: Programs, tmp_path: Path, names: tuple[str, ...]
) -> None:
    flags = [f"--config={FOLDER / name}" for name in names]
    every_vendor = json.dumps(list(yaml.safe_load((FOLDER / "vendors.yaml").read_text(encoding="utf-8"))["exporters"]))
    small = {"QUEUE_DIR": str(tmp_path / "queue"), "MEMORY_LIMIT_MIB": "64"}
    environment = {**os.environ, **small, "VENDORS": every_vendor}
    said = subprocess.run(
        [str(backends.otelcol), "validate", *flags],
        env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_the_collector_would_say_what_is_out_of_date(collector: StartCollector) -> None:
    old = collector({**_pipeline("spanmetrics"), "exporters": {"debug": {}}})
    assert old.out_of_date() != []


def _pipeline(connector: str) -> dict[str, Any]:
    """Returns a configuration with a connector between its two pipelines."""
    return {
        "receivers": {"otlp": {"protocols": {"http": {}, "grpc": {}}}},
        "connectors": {connector: {}},
        "service": {
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": [connector]},
                "metrics": {"receivers": [connector], "exporters": ["debug"]},
            }
        },
    }


# --- one machine -----------------------------------------------------------------------------------------------------------


def test_local_yaml_sends_to_jaeger_tempo_phoenix_a_file_and_the_terminal(
    configured: Configured, jaeger: Jaeger, tmp_path: Path
) -> None:
    sent = demo()
    file = tmp_path / "spans.jsonl"
    with Receiver(grpc=True) as tempo, Receiver() as phoenix:
        environment = {
            "JAEGER_ENDPOINT": jaeger.grpc.removeprefix("http://"),
            "TEMPO_ENDPOINT": tempo.grpc_endpoint.removeprefix("http://"),
            "PHOENIX_ENDPOINT": phoenix.endpoint,
            "SPANS_FILE": str(file),
        }
        otelcol = configured("local.yaml", environment=environment)
        send(otelcol.http)
        assert differences(jaeger, sent) == []
        assert Counter(tempo.wait_for(len(sent), WITHIN_S)) == Counter(sent)
        assert Counter(phoenix.wait_for(len(sent), WITHIN_S)) == Counter(sent)
        assert {request.path for request in phoenix.requests} == {"/v1/traces"}
    wait_for(lambda: _ids_in(file) == sorted(f"{span.span_id:016x}" for span in sent), "the spans in the file")
    said = otelcol.words()
    assert [span.name for span in sent if span.name not in said] == []


@pytest.mark.apps
def test_local_yaml_sends_to_a_real_phoenix(configured: Configured, phoenix: Phoenix, tmp_path: Path) -> None:
    source = _of_its_own(tmp_path, "local")
    with Receiver(grpc=True) as others:
        environment = {
            "JAEGER_ENDPOINT": others.grpc_endpoint.removeprefix("http://"),
            "TEMPO_ENDPOINT": others.grpc_endpoint.removeprefix("http://"),
            "PHOENIX_ENDPOINT": phoenix.http,
            "SPANS_FILE": str(tmp_path / "spans.jsonl"),
        }
        send(configured("local.yaml", environment=environment).http, source, profile="phoenix")
        _is_in_phoenix(phoenix, "default", source)


def _ids_in(file: Path) -> list[str]:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return sorted(
        span["spanId"]
        for line in lines
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    )


# --- beside the agent --------------------------------------------------------------------------------------------------------


def test_agent_yaml_keeps_on_disk_what_the_gateway_did_not_take(configured: Configured, tmp_path: Path) -> None:
    sent = demo()
    with Receiver(grpc=True) as gateway:
        gateway.answer(times=10_000, grpc_status="UNAVAILABLE")
        environment = {
            "GATEWAY_ENDPOINT": gateway.grpc_endpoint.removeprefix("http://"),
            "GATEWAY_INSECURE": "true",
            "QUEUE_DIR": str(tmp_path / "queue"),
            "DEPLOYMENT_ENVIRONMENT": "staging",
            "HOSTNAME": "the-collectors-own",
        }
        otelcol = configured("agent.yaml", environment=environment)
        send(otelcol.http)
        gateway.wait_for_requests(1, WITHIN_S)
        otelcol.kill()
        gateway.forget_script()
        otelcol.start()
        # What was on its way when it was killed may come twice: the same bytes.
        gateway.wait_for(len(sent), WITHIN_S)
        wait_for(lambda: set(gateway.spans) == set(sent), "every span at the gateway", WITHIN_S)
        (resource,) = resources(gateway)
        assert resource.get("deployment.environment.name") == "staging"
        assert resource.get("host.name") not in (None, "the-collectors-own")


def test_what_agent_yaml_has_no_room_for_waits_in_the_outbox(configured: Configured, tmp_path: Path) -> None:
    events = golden.demo()
    sent = demo()
    with Receiver(grpc=True) as gateway:
        gateway.answer(times=10_000, grpc_status="UNAVAILABLE")
        environment = {
            "GATEWAY_ENDPOINT": gateway.grpc_endpoint.removeprefix("http://"),
            "GATEWAY_INSECURE": "true",
            "QUEUE_DIR": str(tmp_path / "queue"),
            "QUEUE_BYTES": "300000",  # of 38 spans with 20 KB each
        }
        otelcol = configured("agent.yaml", environment=environment)
        hook = otel_phi.install(
            endpoint=otelcol.http,
            service_name=SERVICE,
            state_dir=tmp_path / "state",
            max_request_bytes=50_000,
            attributes={"padding": "x" * 20_000},
        )
        try:
            for event in events:
                hook(event)
            wait_for(
                lambda: hook.stats().delivery.retries > 0, "a request that the Collector has no room for", WITHIN_S
            )
            assert hook.stats().delivery.queued > 0
            gateway.forget_script()
            wait_for(lambda: places(gateway.spans) == places(sent), "every span at the gateway", WITHIN_S)
        finally:
            assert hook.shutdown(WITHIN_S)
        assert hook.stats().delivery.acknowledged == len(sent)


@pytest.mark.parametrize(("protocol", "refusal"), [("http", "503"), ("grpc", "UNAVAILABLE")])
def test_what_agent_yaml_has_no_memory_for_waits_in_the_outbox(
    configured: Configured, tmp_path: Path, protocol: Literal["http", "grpc"], refusal: str
) -> None:
    sent = demo()
    with Receiver(grpc=True) as gateway:
        environment = {
            "GATEWAY_ENDPOINT": gateway.grpc_endpoint.removeprefix("http://"),
            "GATEWAY_INSECURE": "true",
            "QUEUE_DIR": str(tmp_path / "queue"),
            "MEMORY_LIMIT_MIB": "1",
        }
        otelcol = configured("agent.yaml", environment=environment)
        wait_for(lambda: "Refusing data" in otelcol.words(), "a Collector that is short of memory", WITHIN_S)
        endpoint = otelcol.http if protocol == "http" else otelcol.grpc
        state = tmp_path / "state"
        with live(endpoint=endpoint, protocol=protocol, service_name=SERVICE, state_dir=state) as hook:
            for event in golden.demo():
                hook(event)
            wait_for(lambda: refusal in (hook.stats().delivery.trouble or ""), f"{refusal} for the sender", WITHIN_S)
            assert hook.stats().delivery.queued > 0
            assert (hook.stats().delivery.acknowledged, gateway.spans) == (0, ())
            otelcol.kill()
            otelcol.start(MEMORY_LIMIT_MIB="512")
        assert hook.stats().delivery.acknowledged == len(sent)
        wait_for(lambda: set(gateway.spans) == set(sent), "every span at the gateway", WITHIN_S)


def test_redact_yaml_lets_no_planted_secret_through(configured: Configured) -> None:
    attributes = {
        "deploy.note": f"key is {_SECRET}!",
        "db.password": "hunter2",
        "input.value": "a prompt that should not have been sent",
        "gen_ai.input.messages": '[{"role":"user"}]',
        "innocent": "stays",
    }
    # A tool's name is on spans and events, and in a span's own name: our own policy stops it before the Collector sees it.
    named = golden.DEMO.read_bytes().replace(b'"bash"', f'"bash {_SECRET}"'.encode())
    with Receiver(grpc=True) as backend:
        environment = {
            "BACKEND_ENDPOINT": backend.grpc_endpoint.removeprefix("http://"),
            "BACKEND_INSECURE": "true",
        }
        otelcol = configured("redact.yaml", environment=environment)
        with otel_phi.Bridge(
            endpoint=otelcol.http,
            service_name=SERVICE,
            attributes=attributes,
            resource_attributes={"build.token_note": _SECRET},
        ) as bridge:
            bridge.feed(named.splitlines())
        arrived = backend.wait_for(len(demo()), WITHIN_S)
        bodies = b"".join(request.body for request in backend.requests)
    for planted in (_SECRET, "hunter2", "a prompt that", '"role"'):
        assert planted.encode() not in bodies, planted
    for span in arrived:
        found = dict(span.attributes)
        assert found["innocent"] == "stays"
        assert (
            found["deploy.note"] == "key is [redacted:api_key]!"
        )  # by us already; the Collector masks what others send
        assert found[semconv.CONVERSATION_ID]
    assert places(demo()) == places(arrived)


def test_redact_yaml_lets_no_content_of_other_senders_through(configured: Configured) -> None:
    content = {
        "gen_ai.input.messages": "planted 1",
        "gen_ai.output.messages": "planted 2",
        "gen_ai.system_instructions": "planted 3",
        "gen_ai.tool.definitions": "planted 4",
        "gen_ai.tool.call.arguments": "planted 5",
        "gen_ai.tool.call.result": "planted 6",
        "input.value": "planted 7",
        "output.value": "planted 8",
        "http.request.header.Authorization": "planted 9",
        "X-API-Key": "planted 10",
    }
    event = {"exception.message": "planted 11", "exception.stacktrace": "planted 12", "note": _SECRET}
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "chat",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": _otlp(content | {"error.type": "Timeout"}),
        "events": [{"timeUnixNano": "1", "name": "exception", "attributes": _otlp({"exception.type": "E"} | event)}],
        "status": {"code": 2, "message": "planted 13"},
    }
    scope = {"name": "other", "attributes": _otlp({"note": _SECRET})}
    body = {"resourceSpans": [{"scopeSpans": [{"scope": scope, "spans": [span]}]}]}
    with Receiver(grpc=True) as backend:
        environment = {
            "BACKEND_ENDPOINT": backend.grpc_endpoint.removeprefix("http://"),
            "BACKEND_INSECURE": "true",
        }
        otelcol = configured("redact.yaml", environment=environment)
        answer = urllib3.request("POST", f"{otelcol.http}/v1/traces", json=body, timeout=WITHIN_S)
        assert answer.status == 200
        (arrived,) = backend.wait_for(1, WITHIN_S)
        bodies = b"".join(request.body for request in backend.requests)
    assert re.findall(rb"planted \d+", bodies) == []
    assert _SECRET.encode() not in bodies
    assert (arrived.status, arrived.get("error.type")) == (StatusCode.ERROR, "Timeout")
    assert dict(arrived.events[0].attributes)["exception.type"] == "E"


def _otlp(attributes: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]


# --- metrics ---------------------------------------------------------------------------------------------------------------------


def test_spanmetrics_yaml_counts_every_kind_of_span(configured: Configured) -> None:
    (port,) = free_ports(1)
    listen = f"127.0.0.1:{port}"
    otelcol = configured("spanmetrics.yaml", environment={"METRICS_LISTEN": listen, "METRICS_FLUSH_INTERVAL": "1s"})
    sent = demo()
    send(otelcol.http)
    wanted = Counter(str(dict(span.attributes)[semconv.OPERATION]) for span in sent)
    wait_for(lambda: _calls(listen) == wanted, f"{dict(wanted)} calls", WITHIN_S)
    labels = {name: found for name, found in _labels(listen).items() if name.startswith("traces_")}
    exporters_own = {"job", "collector_instance_id", "otel_scope_name", "otel_scope_version", "otel_scope_schema_url"}
    assert {name: found - exporters_own - series()[name] for name, found in labels.items()} == {
        name: set() for name in series() if name.startswith("traces_")
    }
    assert {"gen_ai_tool_name", "error_type", "phi_loop_status"} <= labels["traces_span_metrics_calls_total"]


def test_laid_over_the_sampler_spanmetrics_yaml_counts_what_is_not_kept(configured: Configured) -> None:
    (port,) = free_ports(1)
    with Receiver(grpc=True) as backend:
        environment = {
            "METRICS_LISTEN": f"127.0.0.1:{port}",
            "METRICS_FLUSH_INTERVAL": "1s",
            "DECISION_WAIT_AFTER_ROOT": "1s",
            "KEEP_PERCENT": "0.001",
            "BACKEND_ENDPOINT": backend.grpc_endpoint.removeprefix("http://"),
            "BACKEND_INSECURE": "true",
        }
        otelcol = configured("gateway-sampling.yaml", "spanmetrics.yaml", environment=environment)
        send(otelcol.http, trace_scope="loop")
        sent = demo(scope="loop")
        failed = {span.trace_id for span in sent if span.status == StatusCode.ERROR}
        kept = [span for span in sent if span.trace_id in failed]
        assert 0 < len(kept) < len(sent)
        wait_for(lambda: set(backend.spans) == set(kept), "the loops that failed", WITHIN_S)
        wanted = Counter(str(dict(span.attributes)[semconv.OPERATION]) for span in sent)
        wait_for(lambda: _calls(f"127.0.0.1:{port}") == wanted, f"{dict(wanted)} calls", WITHIN_S)


_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def _samples(listen: str) -> list[tuple[str, dict[str, str], float]]:
    text = urllib3.request("GET", f"http://{listen}/metrics", timeout=30.0).data.decode()
    found = (_SAMPLE.match(line) for line in text.splitlines())
    return [(each[1], dict(_LABEL.findall(each[2])), float(each[3])) for each in found if each]


def _calls(listen: str) -> Counter[str]:
    calls: Counter[str] = Counter()
    for name, labels, value in _samples(listen):
        if name == "traces_span_metrics_calls_total":
            calls[labels["gen_ai_operation_name"]] += int(value)
    return calls


def _labels(listen: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, labels, _ in _samples(listen):
        found.setdefault(name, set()).update(labels)
    return found


# --- vendors ---------------------------------------------------------------------------------------------------------------------

# Exporter: variables set to `{url}` of the receiver, the variables with keys, the path and the headers that must arrive.
_VENDORS: dict[str, tuple[dict[str, str], str, dict[str, str]]] = {
    "langfuse": (
        {"LANGFUSE_ENDPOINT": "{url}/api/public/otel", "LANGFUSE_AUTH": "cGs6c2s="},
        "/api/public/otel/v1/traces",
        {"authorization": "Basic cGs6c2s=", "x-langfuse-ingestion-version": "4"},
    ),
    "phoenix": (
        {"PHOENIX_ENDPOINT": "{url}", "PHOENIX_API_KEY": "k1", "PHOENIX_PROJECT": "mine"},
        "/v1/traces",
        {"authorization": "Bearer k1", "x-project-name": "mine"},
    ),
    "mlflow": (
        {"MLFLOW_ENDPOINT": "{url}", "MLFLOW_EXPERIMENT_ID": "7"},
        "/v1/traces",
        {"x-mlflow-experiment-id": "7"},
    ),
    "logfire": (
        {"LOGFIRE_ENDPOINT": "{url}", "LOGFIRE_TOKEN": "k0"},
        "/v1/traces",
        {"authorization": "k0"},
    ),
    "honeycomb": (
        {"HONEYCOMB_ENDPOINT": "{url}", "HONEYCOMB_API_KEY": "k2"},
        "/v1/traces",
        {"x-honeycomb-team": "k2"},
    ),
    "datadog": (
        {"DD_OTLP_ENDPOINT": "{url}/v1/traces", "DD_API_KEY": "k3"},
        "/v1/traces",
        {"dd-api-key": "k3", "dd-otlp-source": "llmobs"},
    ),
    "grafana_cloud": (
        {"GRAFANA_CLOUD_ENDPOINT": "{url}/otlp", "GRAFANA_CLOUD_AUTH": "MTp0"},
        "/otlp/v1/traces",
        {"authorization": "Basic MTp0"},
    ),
    "new_relic": (
        {"NEW_RELIC_ENDPOINT": "{url}", "NEW_RELIC_LICENSE_KEY": "k4"},
        "/v1/traces",
        {"api-key": "k4"},
    ),
}


def test_every_vendor_of_vendors_yaml_is_tried() -> None:
    exporters = yaml.safe_load((FOLDER / "vendors.yaml").read_text(encoding="utf-8"))["exporters"]
    assert set(exporters) == {f"otlp_http/{name}" for name in _VENDORS}


@pytest.mark.parametrize("vendor", _VENDORS)
def test_vendors_yaml_says_what_the_vendor_asks_for(configured: Configured, vendor: str) -> None:
    variables, path, headers = _VENDORS[vendor]
    with Receiver() as receiver:
        environment = {name: value.format(url=receiver.endpoint) for name, value in variables.items()}
        otelcol = configured("vendors.yaml", environment={**environment, "VENDORS": f"[otlp_http/{vendor}]"})
        send(otelcol.http, trace_scope="loop")
        sent = demo(scope="loop")
        assert Counter(receiver.wait_for(len(sent), WITHIN_S)) == Counter(sent)
        for request in receiver.requests:
            assert request.path == path
            assert {**headers, **request.headers} == request.headers
            assert request.headers["content-type"] == "application/x-protobuf"


@pytest.mark.apps
def test_vendors_yaml_sends_to_a_real_phoenix(configured: Configured, phoenix: Phoenix, tmp_path: Path) -> None:
    source = _of_its_own(tmp_path, "vendors")
    environment = {"PHOENIX_ENDPOINT": phoenix.http, "PHOENIX_PROJECT": "mine", "VENDORS": "[otlp_http/phoenix]"}
    send(configured("vendors.yaml", environment=environment).http, source, profile="phoenix")
    _is_in_phoenix(phoenix, "mine", source)


@pytest.mark.apps
def test_vendors_yaml_sends_to_a_real_mlflow(configured: Configured, mlflow: Mlflow) -> None:
    experiment = mlflow.experiment("vendors")
    environment = {
        "MLFLOW_ENDPOINT": mlflow.http,
        "MLFLOW_EXPERIMENT_ID": experiment,
        "VENDORS": "[otlp_http/mlflow]",
    }
    send(configured("vendors.yaml", environment=environment).http, profile="mlflow")
    sent = spans_of([golden.DEMO], None, "mlflow")
    wait_for(
        lambda: len(mlflow.spans(sorted(mlflow.traces(experiment)))) == len(sent), "every span", KEPT_WITHIN_S, 1.0
    )
    traces = mlflow.traces(experiment)
    assert Counter(_told(span) for span in mlflow.spans(sorted(traces))) == Counter(map(_told, sent))
    roots = {span.trace_id: span for span in sent if not span.parent_span_id}
    assert {trace: (told.name, told.state, told.session) for trace, told in traces.items()} == {
        trace: (root.name, "ERROR" if failed([root]) else "OK", session_of(root)) for trace, root in roots.items()
    }
    assert [sum(told.tokens[which] for told in traces.values()) for which in (0, 1)] == [*tokens(sent)]


def _of_its_own(folder: Path, name: str) -> Path:
    """Returns the demo with sessions of its own: Phoenix knows a session in one project only."""
    (folder / "as-it-is").mkdir()
    (folder / "as-it-is" / "demo.jsonl").write_bytes(golden.DEMO.read_bytes())
    return with_other_ids(folder / "as-it-is", folder / name) / "demo.jsonl"


def _is_in_phoenix(phoenix: Phoenix, project: str, source: Path) -> None:
    """Finds a file's spans in a project, and no other."""
    sent = spans_of([source], None, "phoenix")
    told = phoenix.wait_for(project, len(sent))
    assert Counter((span.place, span.name, span.parent, span.status[0]) for span in told) == Counter(map(_told, sent))
    assert {span.place: span.session for span in told} == {
        _told(span)[0]: None if span.get(semconv.PARALLEL_SESSION) else session_of(span) for span in sent
    }
    assert phoenix.totals(project)[2:] == tokens(sent)


def _told(span: Span) -> tuple[tuple[int, int], str, int, str]:
    """Returns place, name, parent and status of a span, in the terms of both backends."""
    return (span.trace_id, span.span_id), span.name, span.parent_span_id, span.status.name


# --- docs/backends.md --------------------------------------------------------------------------------------------------------------


def test_jaeger_answers_the_queries_of_the_page_on_backends(jaeger: Jaeger) -> None:
    sent = demo()
    send(jaeger.http, profile="jaeger")
    jaeger.wait_for(places(sent), WITHIN_S)
    found = re.search(r"```logfmt\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    queries = found[1].splitlines()
    answers = {query: jaeger.find(SERVICE, dict(tag.split("=") for tag in query.split())) for query in queries}
    assert len(answers) == 5
    assert [query for query, traces in answers.items() if not traces] == []
    assert jaeger.find(SERVICE, {"error.type": "nothing of that kind"}) == []
