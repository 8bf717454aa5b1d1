"""collector-config/: what can be held without a backend. The Collector itself judges its files in tests/e2e/test_configs.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import promql_parser
import pytest
import yaml

from otel_phi.mapping import semconv
from otel_phi.metrics import instruments

FOLDER = Path(__file__).parents[1] / "collector-config"
COLLECTOR_FILES = [
    "local.yaml",
    "agent.yaml",
    "gateway.yaml",
    "gateway-sampling.yaml",
    "kafka-produce.yaml",
    "kafka-consume.yaml",
    "redact.yaml",
    "spanmetrics.yaml",
    "vendors.yaml",
]
DASHBOARD = FOLDER / "grafana" / "dashboards" / "agents.json"
ATTRIBUTES = {row.key for row in semconv.TABLE}
_OURS = re.compile(r"\b(?:gen_ai|phi|session|error|openinference)\.[a-z_]+(?:\.[a-z_]+)*")
# What every span carries besides its attributes; `service.name` is the resource's.
INTRINSIC = {"service_name", "span_name", "span_kind", "status_code", "le"}


def read(name: str) -> Any:
    """Returns what a YAML file says."""
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def files() -> list[str]:
    """Returns the paths of all files of the folder, but its README."""
    found = (path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
    return sorted(path for path in found if path != "README.md")


def test_the_readme_lists_every_file_and_no_other() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!http|\.\.)([^)]+)\)", text)
    assert sorted(linked) == files()


def test_every_file_of_the_collector_is_one_that_the_collector_judges() -> None:
    with_receivers = [name for name in files() if name.endswith(".yaml") and "receivers" in read(name)]
    assert sorted(COLLECTOR_FILES) == with_receivers


def test_local_yaml_tells_how_to_start_the_jaeger_it_sends_to() -> None:
    text = (FOLDER / "local.yaml").read_text(encoding="utf-8")
    endpoint = read("local.yaml")["exporters"]["otlp_grpc/jaeger"]["endpoint"]
    port = re.sub(r".*localhost:(\d+)}", r"\1", endpoint)
    image = read("compose.yaml")["services"]["jaeger"]["image"]
    assert re.search(rf"docker run --rm -p 16686:16686 -p {port}:4317 {re.escape(image)}$", text, re.MULTILINE)


@pytest.mark.parametrize("name", COLLECTOR_FILES)
def test_a_collector_file_names_attributes_that_spans_carry(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    content = {found for found in _OURS.findall(text) if name == "redact.yaml"}  # deletes what others might send
    assert {found for found in _OURS.findall(text) if found not in ATTRIBUTES} - content == set()


@pytest.mark.parametrize("name", COLLECTOR_FILES)
def test_a_pipeline_with_a_memory_limiter_has_it_first(name: str) -> None:
    for pipeline in read(name)["service"]["pipelines"].values():
        assert pipeline.get("processors", ["memory_limiter"])[0] == "memory_limiter"


def test_redact_yaml_masks_names_and_values_by_the_same_forms() -> None:
    processors = read("redact.yaml")["processors"]
    statements = processors["transform/content"]["trace_statements"][0]["statements"]
    (forms,) = (
        found[1] for each in statements if (found := re.fullmatch(r'replace_pattern\(name, "(.+)", ".+"\)', each))
    )
    assert forms.replace("\\\\", "\\") == "|".join(processors["redaction"]["blocked_values"])


def test_tempo_yaml_opens_and_finds_what_it_takes() -> None:
    tempo = read("tempo.yaml")
    kept = tempo["overrides"]["defaults"]["global"]["max_bytes_per_trace"]
    sizes = {
        tempo["server"]["grpc_server_max_recv_msg_size"],
        tempo["server"]["grpc_server_max_send_msg_size"],
        tempo["querier"]["frontend_worker"]["grpc_client_config"]["max_send_msg_size"],
    }
    # Measured: 50 MB of spans came back whole with 128 MiB on all three.
    assert (sizes, kept) == ({128 * 2**20}, 50_000_000)
    assert tempo["live_store"]["wal"]["ingestion_time_range_slack"] == "8760h"
    assert tempo["storage"]["trace"]["blocklist_poll"] == "20s"


# --- metrics and dashboard -----------------------------------------------------------------------------------------------


def series() -> dict[str, set[str]]:
    """Returns the metrics that spanmetrics.yaml makes, as Prometheus names them, and the labels of each."""
    connector = read("spanmetrics.yaml")["connectors"]["span_metrics"]
    labels = {dimension["name"].replace(".", "_") for dimension in connector["dimensions"]} | INTRINSIC
    prefix = connector["namespace"].replace(".", "_")
    made = ("calls_total", "duration_seconds_bucket", "duration_seconds_sum", "duration_seconds_count")
    return {**{f"{prefix}_{name}": labels for name in made}, **recorded()}


# What stands on a metric that an agent records; Prometheus adds whose it is, since it scrapes another's word for it.
_RECORDED_LABELS = {
    *(key.replace(".", "_") for key in (semconv.OPERATION, semconv.PROVIDER, semconv.REQUEST_MODEL)),
    *(key.replace(".", "_") for key in (semconv.RESPONSE_MODEL, semconv.TOOL_NAME, semconv.TOOL_TYPE)),
    *(key.replace(".", "_") for key in (semconv.AGENT_NAME, semconv.ERROR_TYPE, instruments.TOKEN_TYPE)),
    instruments.OUTCOME,
    "exported_job",
    "exported_instance",
    "le",
}


def recorded() -> dict[str, set[str]]:
    """Returns the metrics that agents record, as the Collector names them for Prometheus."""
    found = set[str]()
    for one in instruments.TABLE:
        name = one.name.replace(".", "_") + ("_seconds" if one.unit == "s" else "")
        if one.kind == "histogram":
            found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            found.add(name if one.kind == "observable_gauge" else f"{name}_total")
    return dict.fromkeys(found, _RECORDED_LABELS)


def targets() -> Iterator[tuple[str, Any]]:
    """Yields each panel's title with each of its queries."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target


def promql() -> list[tuple[str, str]]:
    """Returns the Prometheus queries, Grafana's variables filled in, that of the dashboard's variable too."""
    found = [(title, target["expr"]) for title, target in targets() if target["datasource"]["type"] == "prometheus"]
    variable = json.loads(DASHBOARD.read_text(encoding="utf-8"))["templating"]["list"][0]["query"]["query"]
    selector = re.fullmatch(r"label_values\((.+), (\w+)\)", variable)
    assert selector is not None
    found.append(("variable", f"sum by ({selector[2]}) ({selector[1]})"))
    words = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}
    for word, value in words.items():
        found = [(title, expr.replace(word, value)) for title, expr in found]
    return found


def traceql() -> list[tuple[str, str]]:
    """Returns the queries that Tempo answers."""
    return [(title, target["query"]) for title, target in targets() if target["datasource"]["type"] == "tempo"]


def names(expr: promql_parser.Expr) -> tuple[set[str], set[str], set[str]]:
    """Returns the metrics of a PromQL expression, its labels, and the operations it selects."""
    metrics, labels, operations = set[str](), set[str](), set[str]()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            metrics.add(node.name or "")
            for matcher in node.matchers.matchers:
                labels.add(matcher.name)
                if matcher.name == "gen_ai_operation_name" and matcher.value:
                    operations.add(matcher.value)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels.update(node.modifier.labels)

    promql_parser.walk(expr, visit)
    return metrics, labels, operations


def operations() -> set[str]:
    """Returns every `gen_ai.operation.name` that the mapping table has."""
    (row,) = (row for row in semconv.TABLE if row.key == semconv.OPERATION)
    return set(re.findall(r"`([a-z_]+)`", row.source))


def test_span_metrics_are_told_apart_by_attributes_that_spans_carry_and_never_by_an_id() -> None:
    connector = read("spanmetrics.yaml")["connectors"]["span_metrics"]
    dimensions = {dimension["name"] for dimension in connector["dimensions"]}
    assert dimensions <= ATTRIBUTES
    assert {name for name in dimensions if name.endswith("id")} == set()


@pytest.mark.parametrize(("title", "query"), promql())
def test_a_query_of_the_dashboard_names_metrics_and_labels_that_span_metrics_makes(title: str, query: str) -> None:
    metrics, labels, selected = names(promql_parser.parse(query))
    assert metrics
    assert metrics <= set(series())
    assert labels <= set.union(*series().values())
    assert selected <= operations()


@pytest.mark.parametrize(("title", "query"), traceql())
def test_a_trace_query_of_the_dashboard_names_attributes_that_spans_carry(title: str, query: str) -> None:
    scoped = re.findall(r"\b(?:span|event|link)\.([a-z_.]+)", query)
    assert scoped
    assert set(scoped) <= ATTRIBUTES
    assert set(re.findall(r"\bresource\.([a-z_.]+)", query)) <= {"service.name"}
    assert set(re.findall(r'operation\.name = "([a-z_]+)"', query)) <= operations()


def test_the_dashboard_shows_sessions_turns_tokens_tool_errors_and_latency() -> None:
    queries = " ".join(query for _, query in promql() + traceql())
    for wanted in (
        'gen_ai_operation_name="invoke_workflow"',
        'gen_ai_operation_name="agent_step"',
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        'gen_ai_operation_name="execute_tool", status_code="STATUS_CODE_ERROR"',
        "duration_seconds_bucket",
    ):
        assert wanted in queries, wanted


def test_the_dashboard_asks_sources_that_are_provisioned() -> None:
    provisioned = {
        source["uid"]: source["type"]
        for source in read("grafana/provisioning/datasources/otel-phi.yaml")["datasources"]
    }
    text = DASHBOARD.read_text(encoding="utf-8")
    used = re.findall(r'"type": "(tempo|prometheus)",\s+"uid": "(\w+)"', text)
    assert used
    assert {(uid, kind) for kind, uid in used} <= set(provisioned.items())


def test_the_dashboards_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24  # Grafana's grid


# --- compose --------------------------------------------------------------------------------------------------------------

IMAGES = {  # as their projects' own compose files have them (reference/BACKENDS 4.7)
    "otelcol": "otel/opentelemetry-collector-contrib:0.159.0",
    "jaeger": "cr.jaegertracing.io/jaegertracing/jaeger:2.20.0",
    "tempo": "grafana/tempo:3.0.3",
    "grafana": "grafana/grafana:13.0.1",
    "phoenix": "arizephoenix/phoenix:version-20.26.1",
    "prometheus": "prom/prometheus:latest",
}
LISTENING = {  # ports inside the containers: read from our files below, or the programs' own defaults
    "jaeger": {4317, 16686},
    "prometheus": {9090},
    "grafana": {3000},
    "phoenix": {6006},
}


def services() -> dict[str, Any]:
    """Returns the services of compose.yaml."""
    found: dict[str, Any] = read("compose.yaml")["services"]
    return found


def listening() -> dict[str, set[int]]:
    """Returns the ports each service listens on in its container."""
    otelcol = read("local.yaml")["receivers"]["otlp"]["protocols"]
    tempo = read("tempo.yaml")
    receivers = tempo["distributor"]["receivers"]["otlp"]["protocols"]
    metrics = services()["otelcol"]["environment"]["METRICS_LISTEN"]
    return {
        **LISTENING,
        "otelcol": {_port(protocol["endpoint"]) for protocol in otelcol.values()} | {_port(metrics)},
        "tempo": {_port(protocol["endpoint"]) for protocol in receivers.values()}
        | {tempo["server"]["http_listen_port"]},
    }


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def addresses() -> list[tuple[str, int]]:
    """Returns every `service:port` that a file of the compose project names."""
    text = "\n".join(
        (FOLDER / name).read_text(encoding="utf-8")
        for name in ("compose.yaml", "prometheus.yaml", "grafana/provisioning/datasources/otel-phi.yaml")
    )
    service = (
        rf"(?:(?<=//)|(?<![\w/]))({'|'.join(IMAGES)}):(\d+)\b(?!\.)"  # an image has a folder before it, or a version
    )
    return [(name, int(port)) for name, port in re.findall(service, text)]


def test_compose_yaml_is_what_the_compose_specification_asks_for() -> None:
    project = compose_spec.PyCompose.from_yaml((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    project.validate()
    assert sorted(project.service_names()) == sorted(IMAGES)


def test_compose_yaml_names_the_images_that_were_looked_up() -> None:
    assert {name: service["image"] for name, service in services().items()} == IMAGES


def test_every_file_that_compose_mounts_is_there_and_every_volume_declared() -> None:
    mounts = [volume.split(":")[0] for service in services().values() for volume in service.get("volumes", [])]
    declared = set(read("compose.yaml")["volumes"])
    assert mounts
    assert [mount for mount in mounts if mount not in declared and not (FOLDER / mount).exists()] == []


def test_every_config_that_a_command_names_is_mounted_where_it_says() -> None:
    for service in services().values():
        targets = [volume.split(":")[1] for volume in service.get("volumes", [])]
        for flag in service.get("command", []):
            if path := re.search(r"=(/etc/\S+)$", flag):
                assert path[1] in targets


def test_the_ports_of_the_compose_project_agree() -> None:
    found = addresses()
    assert {name for name, _ in found} >= {"jaeger", "tempo", "phoenix", "otelcol", "prometheus"}
    assert [(name, port) for name, port in found if port not in listening()[name]] == []
    for name, service in services().items():
        for host, outer, inner in (port.split(":") for port in service["ports"]):
            assert (host, outer) == ("127.0.0.1", inner)
            assert int(inner) in listening()[name]


def test_compose_sets_variables_that_the_collectors_files_read() -> None:
    text = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("local.yaml", "spanmetrics.yaml"))
    assert set(services()["otelcol"]["environment"]) <= set(re.findall(r"\$\{env:(\w+)", text))


def test_grafana_finds_the_dashboard_where_compose_mounts_it() -> None:
    (provider,) = read("grafana/provisioning/dashboards/otel-phi.yaml")["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in services()["grafana"]["volumes"]
