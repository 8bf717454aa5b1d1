"""OTLP/JSON read by protobuf's own JSON mapping, not by us."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def read_back(line: bytes | bytearray) -> ExportTraceServiceRequest:
    """Reads a line as protobuf's own JSON mapping does, once hex ids are base64, the one place where OTLP differs."""

    def with_base64(node: Any) -> Any:
        if isinstance(node, list):
            return [with_base64(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: base64.b64encode(bytes.fromhex(value)).decode() if key.endswith("Id") else with_base64(value)
            for key, value in node.items()
        }

    return json_format.ParseDict(with_base64(json.loads(line)), ExportTraceServiceRequest())
