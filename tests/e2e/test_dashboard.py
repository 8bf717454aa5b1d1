"""Each Prometheus query of the Grafana dashboard, asked of a real Prometheus as Grafana asks it: right after one import, and under flow."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import otel_phi
from otel_phi.events import AgentEvent
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span, StatusCode
from tests import golden
from tests.e2e.collector import Collector
from tests.e2e.conftest import StartCollector, or_skip
from tests.e2e.processes import Backend, free_ports, wait_for
from tests.e2e.prometheus import SCRAPE_S, Labels, Prometheus, installed
from tests.e2e.trees import SERVICE
from tests.streams import answer, end, request, start, turn, turn_end
from tests.test_collector_config import DASHBOARD, FOLDER

pytestmark = pytest.mark.apps  # Prometheus is installed by hand, as the applications are by pip

WITHIN_S = 90.0  # for what takes 3 s on an idle machine
_RANGE_S = 600  # what the dashboard shows, longer than any test
_COUNTS = (
    *("Sessions opened", "Loops", "Turns", "Model calls", "Tool executions"),
    *("Sessions begun", "Loops recorded", "Model calls recorded"),  # of the metrics
)
PRICES = '[[price]]\nmodel = "*"\ninput = 3\noutput = 15\n'
_BARS = ("Loops by how they ended", "Turns by agent", "Tool errors by kind", "Model errors by kind")


_SUMS = (
    *("Tokens", "Tokens by model and kind", "Cost", "Cost by model", "Spans that did not arrive"),
    *("Spans by what became of them", "Journals"),
)


class Query(NamedTuple):
    """Is a query of a panel, Grafana's variables filled in, and whether it is asked for one time alone."""

    title: str
    promql: str
    instant: bool


def queries() -> list[Query]:
    """Returns the dashboard's queries to Prometheus, filled in as for a step and a range of ours."""
    words = {
        "$service": ".*",
        "$__rate_interval": f"{4 * SCRAPE_S}s",
        "$__interval": f"{SCRAPE_S}s",
        "$__range": f"{_RANGE_S}s",
    }
    found = []
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            if target["datasource"]["type"] == "prometheus":
                promql = target["expr"]
                for word, value in words.items():
                    promql = promql.replace(word, value)
                found.append(Query(panel["title"], promql, target.get("instant", False)))
    return found


QUERIES = queries()


class Observed:
    """Is a Collector with spanmetrics.yaml, a Prometheus that scrapes it, and the spans that were sent there."""

    def __init__(self, otelcol: Collector, prometheus: Prometheus, prices: Path) -> None:
        self.otelcol, self._prometheus, self._prices = otelcol, prometheus, prices
        self._since_s = time.time()
        self.sent: list[Span] = []

    def send(self, *streams: Iterable[AgentEvent]) -> None:
        """Sends streams, and waits until the panels that count show them all, and every earlier one."""
        with otel_phi.Bridge(
            endpoint=self.otelcol.http, service_name=SERVICE, metrics=True, prices=self._prices
        ) as bridge:
            for events in streams:
                bridge.feed(events)
        for events in streams:
            self.sent += otel_phi.spans(events, MappingOptions(service_name=SERVICE))
        wait_for(lambda: self.counts() == counted(self.sent), f"{counted(self.sent)}", WITHIN_S, every_s=0.5)

    def counts(self) -> dict[str, float]:
        """Returns what the panels that count show now."""
        return {
            each.title: sum(self._prometheus.now(each.promql).values()) for each in QUERIES if each.title in _COUNTS
        }

    def shown(self, query: Query) -> dict[Labels, list[float]]:
        """Returns what a panel shows of everything since the start."""
        if query.instant:
            return {labels: [value] for labels, value in self._prometheus.now(query.promql).items()}
        return self._prometheus.over(query.promql, self._since_s - 1, time.time() + 1, SCRAPE_S)


@pytest.fixture
def observed(collector: StartCollector, running: list[Backend], tmp_path: Path) -> Observed:
    """Gives both, nothing sent yet; skips where there is no Prometheus."""
    program = or_skip("Prometheus", installed)
    (port,) = free_ports(1)
    environment = {"METRICS_LISTEN": f"127.0.0.1:{port}", "METRICS_FLUSH_INTERVAL": "1s"}
    otelcol = collector(FOLDER / "spanmetrics.yaml", environment=environment)
    prometheus = Prometheus(program, f"127.0.0.1:{port}", tmp_path / "prometheus")
    running.append(prometheus)
    prometheus.start()
    (prices := tmp_path / "prices.toml").write_text(PRICES, encoding="utf-8")
    return Observed(otelcol, prometheus, prices)


def test_after_one_import_no_panel_is_empty_and_counts_are_whole(observed: Observed) -> None:
    observed.send(golden.demo(), failed_call("a"))
    shown = {query: observed.shown(query) for query in QUERIES}
    assert [query.title for query, found in shown.items() if not found] == []
    assert [query.title for query, found in shown.items() if any(map(_odd, found.values()))] == []
    bars = {
        query.title: round(sum(map(sum, found.values())), 6) for query, found in shown.items() if query.title in _BARS
    }
    failed = [span for span in observed.sent if span.status is StatusCode.ERROR]
    loops, turns = counted(observed.sent)["Loops"], counted(observed.sent)["Turns"]
    assert bars == {
        "Loops by how they ended": loops,
        "Turns by agent": turns,
        "Tool errors by kind": operations(failed)["execute_tool"],
        "Model errors by kind": operations(failed)["chat"],
    }
    sums = {query.title: sum(map(sum, found.values())) for query, found in shown.items() if query.title in _SUMS}
    assert sums == {
        "Tokens": tokens(observed.sent),
        "Tokens by model and kind": tokens(observed.sent),
        "Cost": pytest.approx(cost(observed.sent), rel=1e-9),
        "Cost by model": pytest.approx(cost(observed.sent), rel=1e-9),
        "Spans that did not arrive": 0,
        "Spans by what became of them": len(observed.sent),
        "Journals": pytest.approx(0),
    }
    (share,) = (found for query, found in shown.items() if query.title == "Loops that failed")
    assert list(share.values()) == [[operations(failed)["invoke_agent"] / loops]]


def test_under_flow_and_after_the_collector_was_killed_counts_stay_whole(observed: Observed) -> None:
    observed.send(failed_call("a"))
    observed.send(golden.demo(), failed_call("b"))
    observed.send(failed_call("c"))
    observed.otelcol.kill()  # its counters are gone, and scrapes fail
    time.sleep(3 * SCRAPE_S)
    observed.otelcol.start()
    observed.send(failed_call("d"))
    assert [query.title for query in QUERIES if not observed.shown(query)] == []


def failed_call(name: str) -> list[AgentEvent]:
    """Returns a session of one loop whose only model call fails."""
    loop = f"{name}.mock.1"
    failed = answer(900, 0, loop, stop_reason="error", error_message="API error: 500")
    return [
        start(0, loop, session=name),
        turn(1, 0, loop),
        request(2, 0, loop),
        turn_end(1_000, 0, loop, message=failed),
        end(1_100, loop),
    ]


def operations(spans: Iterable[Span]) -> Counter[str]:
    """Returns how many spans there are of each operation, sessions' roots told from parallel groups."""
    return Counter("group" if span.name.endswith("phi.parallel") else str(span.get(s.OPERATION)) for span in spans)


def counted(spans: Iterable[Span]) -> dict[str, float]:
    """Returns what the panels that count should show."""
    found = operations(spans)
    kinds = (
        "invoke_workflow",
        "invoke_agent",
        "agent_step",
        "chat",
        "execute_tool",
        "invoke_workflow",
        "invoke_agent",
        "chat",
    )
    return {title: found[kind] for title, kind in zip(_COUNTS, kinds, strict=True)}


def tokens(spans: Iterable[Span]) -> int:
    """Returns the tokens of all model calls."""
    found = [dict(span.attributes) for span in spans]
    return sum(int(str(one.get(key, 0))) for one in found for key in (s.USAGE_INPUT, s.USAGE_OUTPUT))


def cost(spans: Iterable[Span]) -> float:
    """Returns what they cost by `PRICES`."""
    found = [dict(span.attributes) for span in spans]
    return (
        sum(3 * int(str(one.get(s.USAGE_INPUT, 0))) + 15 * int(str(one.get(s.USAGE_OUTPUT, 0))) for one in found) / 1e6
    )


def _odd(values: list[Any]) -> bool:
    """Says whether values hold none at all, or one that is no number."""
    return not values or any(value != value or value < 0 for value in values)
