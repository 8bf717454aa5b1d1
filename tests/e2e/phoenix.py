"""Arize Phoenix as a process on free loopback ports, and what it says of a project through the API its pages use."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from tests.e2e.processes import Backend, free_ports, wait_for

_SERVES_WITHIN_S = 400.0  # 18 s where nobody else wants the cores: it imports much, and makes its database
_ANSWERS_WITHIN_S = 120.0
_KEPT_WITHIN_S = 400.0  # it keeps 57 spans/s where nobody else wants the cores; the tests send 330

_SPANS = """query ($name: String!, $after: String) { getProjectByName(name: $name) { spans(first: 500, after: $after) {
  pageInfo { hasNextPage endCursor }
  edges { node {
    name spanKind statusCode statusMessage startTime endTime latencyMs parentId attributes
    tokenCountPrompt tokenCountCompletion tokenPromptDetails { cacheRead cacheWrite }
    input { value } output { value } events { name timestamp }
    context { traceId spanId } trace { latencyMs session { sessionId } } } } } } }"""
_SESSIONS = """query ($name: String!) { getProjectByName(name: $name) { sessions(first: 1000) { edges { node {
  sessionId numTraces numTracesWithError tokenUsage { prompt completion } firstInput { value } lastOutput { value } } } } } }"""
_TOTALS = """query ($name: String!) { getProjectByName(name: $name) {
  recordCount traceCount tokenCountPrompt tokenCountCompletion } }"""
_FOUND = """query ($name: String!, $condition: String!) { getProjectByName(name: $name) {
  spans(first: 1000, filterCondition: $condition) { edges { node { context { traceId spanId } } } } } }"""


class PhoenixSpan(NamedTuple):
    """Is a span as Phoenix tells it.

    Attributes:
        place: its trace and span id.
        name: its name.
        kind: OpenInference's, lower case.
        status: UNSET, OK or ERROR, and the message.
        parent: the id of its parent, 0 for none.
        times_us: start and end, microseconds since the epoch: Phoenix has no finer ones.
        latency_ms: of the span.
        trace_ms: latency of its trace.
        session: the session its trace belongs to.
        tokens: prompt and completion tokens, None where it counts none.
        cached: cached prompt tokens read and written, None for none.
        content: input and output, as its pages show them.
        events: names and microseconds, in order.
        attributes: nested at the dots of their names.
    """

    place: tuple[int, int]
    name: str
    kind: str
    status: tuple[str, str]
    parent: int
    times_us: tuple[int, int]
    latency_ms: float
    trace_ms: float
    session: str | None
    tokens: tuple[int | None, int | None]
    cached: tuple[int | None, int | None]
    content: tuple[str | None, str | None]
    events: tuple[tuple[str, int], ...]
    attributes: dict[str, Any]


class PhoenixSession(NamedTuple):
    """Is a session as Phoenix tells it: its traces, those of them in which a span failed, its tokens, first input and last output."""

    traces: int
    with_error: int
    tokens: tuple[int, int]
    content: tuple[str | None, str | None]


class Phoenix(Backend):
    """Is a Phoenix with a database of its own.

    Args:
        python: of its environment.
        folder: of its own: database and log are kept there.

    Attributes:
        http: endpoint of OTLP/HTTP, API and pages.
        grpc: endpoint of OTLP/gRPC; Phoenix serves it on every address of the machine.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        http, grpc = free_ports(2)
        self.http, self.grpc = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}"
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            "phoenix",
            [python, "-m", "phoenix.server.main", "serve"],
            folder / "log",
            self._is_ready,
            {**os.environ, **_environment(folder, http, grpc)},
            _SERVES_WITHIN_S,
        )

    def wait_for(self, project: str, count: int) -> list[PhoenixSpan]:
        """Returns the spans of a project as soon as there are so many: it answers first and keeps later.

        Raises:
            AssertionError: they were not within `_KEPT_WITHIN_S` seconds.
        """
        what = f"{count} spans in Phoenix' project {project}"
        wait_for(lambda: self.totals(project)[0] >= count, what, _KEPT_WITHIN_S, every_s=1.0)
        return self.spans(project)

    def spans(self, project: str) -> list[PhoenixSpan]:
        """Returns all spans of a project, none where it is not known."""
        found: list[PhoenixSpan] = []
        after = None
        while page := self._ask(_SPANS, name=project, after=after):
            found += [_span(edge["node"]) for edge in page["spans"]["edges"]]
            after = page["spans"]["pageInfo"]["endCursor"]
            if not page["spans"]["pageInfo"]["hasNextPage"]:
                break
        return found

    def sessions(self, project: str) -> dict[str, PhoenixSession]:
        """Returns the session page of a project, by session id."""
        nodes = [edge["node"] for edge in self._ask(_SESSIONS, name=project)["sessions"]["edges"]]
        return {
            node["sessionId"]: PhoenixSession(
                node["numTraces"],
                node["numTracesWithError"],
                (int(node["tokenUsage"]["prompt"]), int(node["tokenUsage"]["completion"])),
                (_value(node["firstInput"]), _value(node["lastOutput"])),
            )
            for node in nodes
        }

    def totals(self, project: str) -> tuple[int, int, int, int]:
        """Returns how many spans and traces a project has, and its prompt and completion tokens."""
        found = self._ask(_TOTALS, name=project)
        keys = ("recordCount", "traceCount", "tokenCountPrompt", "tokenCountCompletion")
        spans, traces, prompt, completion = (int(found[key]) for key in keys) if found else (0, 0, 0, 0)
        return spans, traces, prompt, completion

    def find(self, project: str, condition: str) -> set[tuple[int, int]]:
        """Returns the places of the spans that a filter of its trace list finds."""
        edges = self._ask(_FOUND, name=project, condition=condition)["spans"]["edges"]
        return {_place(edge["node"]) for edge in edges}

    def _ask(self, query: str, **variables: object) -> dict[str, Any]:
        answer = urllib3.request(
            "POST",
            f"{self.http}/graphql",
            json={"query": query, "variables": variables},
            timeout=_ANSWERS_WITHIN_S,
            headers={"connection": "close"},
        )
        said = json.loads(answer.data)
        assert "errors" not in said, said
        project: dict[str, Any] | None = said["data"]["getProjectByName"]
        return project or {}

    def _is_ready(self, said: str) -> bool:
        if "Application startup complete" not in said:
            return False
        answer = urllib3.request("GET", f"{self.http}/healthz", timeout=30.0, headers={"connection": "close"})
        return answer.status == 200


def _environment(folder: Path, http: int, grpc: int) -> dict[str, str]:
    return {
        "PHOENIX_WORKING_DIR": str(folder / "data"),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(http),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
        "PYTHONUNBUFFERED": "1",
    }


def _span(node: Mapping[str, Any]) -> PhoenixSpan:
    cached = node["tokenPromptDetails"]
    session = node["trace"]["session"]
    return PhoenixSpan(
        place=_place(node),
        name=node["name"],
        kind=node["spanKind"],
        status=(node["statusCode"], node["statusMessage"]),
        parent=int(node["parentId"] or "0", 16),
        times_us=(_microseconds(node["startTime"]), _microseconds(node["endTime"])),
        latency_ms=node["latencyMs"],
        trace_ms=node["trace"]["latencyMs"],
        session=session["sessionId"] if session else None,
        tokens=(node["tokenCountPrompt"], node["tokenCountCompletion"]),
        cached=(cached["cacheRead"], cached["cacheWrite"]),
        content=(_value(node["input"]), _value(node["output"])),
        events=tuple((event["name"], _microseconds(event["timestamp"])) for event in node["events"]),
        attributes=json.loads(node["attributes"]),
    )


def _place(node: Mapping[str, Any]) -> tuple[int, int]:
    return int(node["context"]["traceId"], 16), int(node["context"]["spanId"], 16)


def _value(content: Mapping[str, Any] | None) -> str | None:
    return None if content is None else content["value"]


def _microseconds(text: str) -> int:
    since = dt.datetime.fromisoformat(text) - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return since // dt.timedelta(microseconds=1)
