"""MLflow as a process on a free loopback port, and what it says of an experiment through the API its pages use."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3

from otel_phi.delivery.otlp.decode import decode_spans
from otel_phi.mapping.span import Span
from tests.e2e.processes import Backend, free_ports

_SERVES_WITHIN_S = 400.0  # 24 s where nobody else wants the cores: it imports much, and makes its database
_ANSWERS_WITHIN_S = 120.0
_READ = "/api/3.0/mlflow/traces"


class MlflowTrace(NamedTuple):
    """Is a row of MLflow's trace list.

    Attributes:
        name: the trace's name, None for none.
        state: OK, ERROR or IN_PROGRESS.
        duration_ms: of the trace.
        session: what its session page groups by.
        user: of the trace, None for none.
        tokens: input and output tokens, cached ones read and written; zeros where it counts none.
        content: what it shows of request and response, None for none.
    """

    name: str | None
    state: str
    duration_ms: int
    session: str | None
    user: str | None
    tokens: tuple[int, int, int, int]
    content: tuple[str | None, str | None]


class Mlflow(Backend):
    """Is an MLflow with a database of its own.

    Args:
        python: of its environment.
        folder: of its own: database and log are kept there.

    Attributes:
        http: endpoint of OTLP/HTTP, API and pages.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        (port,) = free_ports(1)
        self.http = f"http://127.0.0.1:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        store = [
            "--backend-store-uri",
            f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ]
        super().__init__(
            "mlflow",
            [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store],
            folder / "log",
            self._is_ready,
            # Without its jobs (evaluation, archives) it starts one process more, not eight of 230 MB each.
            {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            _SERVES_WITHIN_S,
        )

    def experiment(self, name: str) -> str:
        """Makes an experiment; returns its id."""
        return str(self._post("/api/2.0/mlflow/experiments/create", {"name": name})["experiment_id"])

    def traces(self, experiment: str, condition: str | None = None) -> dict[int, MlflowTrace]:
        """Returns the trace list of an experiment, by trace id.

        Args:
            experiment: its id.
            condition: a filter, as typed above the list.
        """
        found: dict[int, MlflowTrace] = {}
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
        wanted: dict[str, Any] = {"locations": [place], "max_results": 500}
        while True:
            page = self._post(f"{_READ}/search", wanted | ({"filter": condition} if condition else {}))
            found |= {_id(each["trace_id"]): _trace(each) for each in page.get("traces", [])}
            if not page.get("next_page_token"):
                return found
            wanted["page_token"] = page["next_page_token"]

    def spans(self, trace_ids: list[int]) -> list[Span]:
        """Returns the spans of some traces."""
        found: list[Span] = []
        for begin in range(0, len(trace_ids), 20):  # they stand in the URL
            asked = urlencode([("trace_ids", f"tr-{trace_id:032x}") for trace_id in trace_ids[begin : begin + 20]])
            answer = self._ask("GET", f"{_READ}/batchGet?{asked}")
            found += [span for trace in answer["traces"] for span in _spans(trace["spans"])]
        return found

    def attributes(self, trace_ids: list[int], key: str) -> list[Any]:
        """Returns what the spans of some traces say under a key, as values: MLflow keeps JSON as lists and objects."""
        asked = urlencode([("trace_ids", f"tr-{trace_id:032x}") for trace_id in trace_ids])
        answer = self._ask("GET", f"{_READ}/batchGet?{asked}")
        every = [one for trace in answer["traces"] for span in trace["spans"] for one in span.get("attributes", ())]
        return [_any_value(one["value"]) for one in every if one["key"] == key]

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"connection": "close"}
        answer = urllib3.request(method, self.http + path, timeout=_ANSWERS_WITHIN_S, headers=headers, **more)
        assert answer.status == 200, f"MLflow says {answer.status}: {answer.data!r}"
        return json.loads(answer.data)

    def _is_ready(self, said: str) -> bool:
        if "Application startup complete" not in said:
            return False
        # Its first request takes 10 s and more: asked here, no test's export waits for it.
        self.traces("0")
        return True


def _any_value(said: Mapping[str, Any]) -> Any:
    """Returns a value that is told as OTLP's `AnyValue` in JSON."""
    for name, value in said.items():
        match name.replace("_", "").lower():
            case "arrayvalue":
                return [_any_value(one) for one in value.get("values", ())]
            case "kvlistvalue":
                return {one["key"]: _any_value(one["value"]) for one in value.get("values", ())}
            case "intvalue":
                return int(value)
            case _:
                return value
    return None


def _id(said: str) -> int:
    return int(said.removeprefix("tr-"), 16)


def _trace(said: Mapping[str, Any]) -> MlflowTrace:
    metadata, tags = said.get("trace_metadata", {}), said.get("tags", {})
    used = json.loads(metadata.get("mlflow.trace.tokenUsage", "{}"))
    keys = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    first, second, third, fourth = (used.get(key, 0) for key in keys)
    return MlflowTrace(
        name=tags.get("mlflow.traceName"),
        state=said["state"],
        duration_ms=round(float(said.get("execution_duration", "0s").removesuffix("s")) * 1000),
        session=metadata.get("mlflow.trace.session"),
        user=metadata.get("mlflow.trace.user"),
        tokens=(first, second, third, fourth),
        content=(said.get("request_preview"), said.get("response_preview")),
    )


def _spans(said: list[dict[str, Any]]) -> list[Span]:
    """Returns spans that are told as OTLP's protobuf in JSON."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    json_format.ParseDict({"resource_spans": [{"scope_spans": [{"spans": said}]}]}, request)
    return decode_spans(request.SerializeToString())
