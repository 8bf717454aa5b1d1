"""The real Jaeger as a process on free loopback ports, and what it says of traces through the API its UI uses.

The UI's API has other terms: a link is a `FOLLOWS_FROM` reference without attributes, an event a log whose field `event` is the name;
kind, status and scope are tags, times microseconds. Only there are its warnings. `trees.py` compares it with ours. The newer API gives OTLP.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from otel_phi.delivery.otlp.decode import decode_spans
from otel_phi.mapping.span import Span
from tests.delivery.read_back import read_back
from tests.e2e.processes import Backend, free_ports, wait_for

Tags = dict[str, Any]
Place = tuple[int, int]
"""Trace id and span id."""


_QUIET = {
    **os.environ,
    "OTEL_TRACES_SAMPLER": "always_off",
}  # else it sends traces of itself to whoever listens on 4317


class JaegerEvent(NamedTuple):
    """Is an event as Jaeger tells it."""

    name: str
    time_us: int
    fields: Tags


class JaegerSpan(NamedTuple):
    """Is a span as Jaeger tells it.

    Attributes:
        place: its trace and span id.
        name: its operation.
        parent: the CHILD_OF reference, None for none.
        links: the FOLLOWS_FROM references, in order.
        start_us: microseconds since the epoch.
        duration_us: microseconds.
        tags: attributes, and kind, status and scope, typed.
        events: in order.
        warnings: what Jaeger found odd.
        service: `service.name`.
        resource: the other resource attributes.
    """

    place: Place
    name: str
    parent: Place | None
    links: tuple[Place, ...]
    start_us: int
    duration_us: int
    tags: Tags
    events: tuple[JaegerEvent, ...]
    warnings: tuple[str, ...]
    service: str
    resource: Tags


class Jaeger(Backend):
    """Is a Jaeger that keeps traces in memory.

    Args:
        program: the binary.
        folder: of its own: configuration and log are kept there.
        pages: folder of its pages, None for none: its Go module has none.

    Attributes:
        http: endpoint of OTLP/HTTP.
        grpc: endpoint of OTLP/gRPC.
        ui: where a person would look.
    """

    def __init__(self, program: Path, folder: Path, pages: Path | None = None) -> None:
        ports = free_ports(4)
        self.http, self.grpc, self.ui, _ = (f"http://127.0.0.1:{port}" for port in ports)
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.yaml"
        said = _config(*ports)
        if pages is not None:
            said["extensions"]["jaeger_query"]["ui"] = {"assets_path": str(pages)}
        config.write_text(json.dumps(said, indent=1), encoding="utf-8")
        super().__init__(folder.name, [program, f"--config={config}"], folder / "log", self._is_ready, _QUIET)

    def services(self) -> list[str]:
        """Returns the services it knows, sorted."""
        return sorted(self._get("/api/services") or [])

    def operations(self, service: str) -> list[str]:
        """Returns the names of a service's spans, sorted."""
        return sorted({each["name"] for each in self._get("/api/operations", service=service)})

    def trace(self, trace_id: int) -> list[JaegerSpan]:
        """Returns the spans of a trace as the UI gets them, by start; none where it is not known."""
        found = self._get(f"/api/traces/{trace_id:032x}")
        return [] if not found else _spans(found[0])

    def otlp(self, trace_id: int) -> list[Span]:
        """Returns the spans of a trace as the newer API gives them, to the nanosecond and with the attributes of links."""
        answer = self._ask(f"/api/v3/traces/{trace_id:032x}")
        assert answer.status == 200, f"Jaeger says {answer.status}: {answer.data!r}"
        result = json.dumps(json.loads(answer.data)["result"]).encode()
        return decode_spans(read_back(result).SerializeToString())

    def find(self, service: str, tags: Mapping[str, str], limit: int = 100) -> list[list[JaegerSpan]]:
        """Returns the traces that a search by tags finds."""
        words = {"service": service, "tags": json.dumps(dict(tags)), "limit": str(limit), "lookback": "custom"}
        # Jaeger wants the whole trace inside the window; the golden sessions ran at any time up to now.
        found = self._get("/api/traces", start="0", end=str(4 * 10**15), **words)
        return [_spans(each) for each in found or []]

    def wait_for(self, places: Iterable[Place], within_s: float = 90.0) -> dict[int, list[JaegerSpan]]:
        """Returns these spans' traces, as soon as every span is there.

        Raises:
            AssertionError: some were not within `within_s` seconds; they are named.
        """
        wanted = set(places)
        found: dict[int, list[JaegerSpan]] = {}

        def look() -> bool:
            for trace_id in sorted({trace for trace, _ in _missing(wanted, found)}):
                found[trace_id] = self.trace(trace_id)
            return not _missing(wanted, found)

        try:
            wait_for(look, f"{len(wanted)} spans in {self.name}", within_s)
        except AssertionError as error:
            missing = [f"{trace:032x}/{span:016x}" for trace, span in sorted(_missing(wanted, found))]
            raise AssertionError(f"{error}; {len(missing)} missing: {', '.join(missing[:10])}") from None
        return found

    def _get(self, path: str, **query: str) -> Any:
        answer = self._ask(path, **query)
        said = json.loads(answer.data)
        if answer.status == 404:
            return None
        assert answer.status == 200, f"Jaeger says {answer.status}: {said}"
        return said["data"]

    def _ask(self, path: str, **query: str) -> urllib3.BaseHTTPResponse:
        return urllib3.request("GET", self.ui + path, fields=query, timeout=30.0, headers={"connection": "close"})

    def _is_ready(self, said: str) -> bool:
        return "Everything is ready." in said and self.services() == []


def exporter_to(jaeger: Jaeger, **settings: Any) -> dict[str, Any]:
    """Returns a Collector's exporter to this Jaeger, for `pipeline`."""
    return {"otlp_grpc/jaeger": {"endpoint": jaeger.grpc, "tls": {"insecure": True}, **settings}}


def _missing(wanted: set[Place], found: Mapping[int, list[JaegerSpan]]) -> set[Place]:
    return wanted - {span.place for spans in found.values() for span in spans}


def _spans(trace: Mapping[str, Any]) -> list[JaegerSpan]:
    return sorted((_span(span, trace["processes"]) for span in trace["spans"]), key=lambda span: span.start_us)


def _span(said: Mapping[str, Any], processes: Mapping[str, Any]) -> JaegerSpan:
    references = [(each["refType"], (int(each["traceID"], 16), int(each["spanID"], 16))) for each in said["references"]]
    parents = [place for kind, place in references if kind == "CHILD_OF"]
    assert len(parents) <= 1, "a span has one parent"
    process = processes[said["processID"]]
    return JaegerSpan(
        place=(int(said["traceID"], 16), int(said["spanID"], 16)),
        name=said["operationName"],
        parent=parents[0] if parents else None,
        links=tuple(place for kind, place in references if kind == "FOLLOWS_FROM"),
        start_us=said["startTime"],
        duration_us=said["duration"],
        tags=_tags(said["tags"]),
        events=tuple(_event(log) for log in said["logs"]),
        warnings=tuple(said["warnings"] or ()),
        service=process["serviceName"],
        resource=_tags(process["tags"]),
    )


def _event(log: Mapping[str, Any]) -> JaegerEvent:
    fields = _tags(log["fields"])
    return JaegerEvent(fields.pop("event"), log["timestamp"], fields)


def _tags(said: Iterable[Mapping[str, Any]]) -> Tags:
    """Returns tags by key, each value as the type Jaeger says it is: JSON has 32.0 as 32, and large integers as text."""
    kinds = {"int64": int, "float64": float, "bool": bool, "string": str}
    return {tag["key"]: kinds[tag["type"]](tag["value"]) for tag in said}


def _config(http: int, grpc: int, ui: int, query_grpc: int) -> dict[str, Any]:
    protocols = {"http": {"endpoint": f"127.0.0.1:{http}"}, "grpc": {"endpoint": f"127.0.0.1:{grpc}"}}
    listen = {"http": {"endpoint": f"127.0.0.1:{ui}"}, "grpc": {"endpoint": f"127.0.0.1:{query_grpc}"}}
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 100_000}}}},
            "jaeger_query": {"storage": {"traces": "memory"}, "enable_tracing": False, **listen},
        },
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
    }
