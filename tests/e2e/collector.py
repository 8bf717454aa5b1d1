"""The real OpenTelemetry Collector, 0.159, as a process on free loopback ports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3

from tests.e2e.processes import Backend, free_ports

Config = Mapping[str, Any] | Path
"""A configuration: a file, or what such a file says. Later ones are laid over earlier ones, as the Collector does it: maps are
merged, lists replaced."""

_OUT_OF_DATE = re.compile(r"deprecat|will be removed|no longer supported|is an alias", re.IGNORECASE)
_SERVES = "Everything is ready. Begin running and processing data."


class Collector(Backend):
    """Is a Collector whose `otlp` receiver and `health_check` extension listen on free ports, whatever the configurations say.

    Args:
        program: the binary.
        configs: configurations, the later over the earlier.
        folder: of its own: configuration and log are kept there.
        environment: variables the configuration names, on top of ours.

    Attributes:
        http: endpoint of OTLP/HTTP.
        grpc: endpoint of OTLP/gRPC.
    """

    def __init__(self, program: Path, configs: Sequence[Config], folder: Path, environment: Mapping[str, str]) -> None:
        http, grpc, health = free_ports(3)
        self.http, self.grpc = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}"
        self._health = f"http://127.0.0.1:{health}"
        folder.mkdir(parents=True, exist_ok=True)
        flags = _flags([*configs, _own_ports(http, grpc, health)], folder)
        super().__init__(folder.name, [program, *flags], folder / "log", self._is_ready, {**os.environ, **environment})

    def out_of_date(self) -> list[str]:
        """Returns the lines in which it says that something in its configuration is out of date."""
        return [line for line in self.words().splitlines() if _OUT_OF_DATE.search(line)]

    def _is_ready(self, said: str) -> bool:
        if _SERVES not in said:
            return False
        if "health_check" not in said:
            return True
        answer = urllib3.request("GET", self._health, timeout=30.0, headers={"connection": "close"})
        return answer.status == 200


def pipeline(exporters: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration: OTLP in, exporters out.

    Args:
        exporters: by name, as `{"otlp_grpc": {...}}`.
        **more: sections to merge in, as `extensions={...}`.
    """
    extensions = {"health_check": {}, **more.get("extensions", {})}
    receivers = {"otlp": {"protocols": {"http": {}, "grpc": {}}}, **more.get("receivers", {})}
    traces = {"receivers": list(receivers), "exporters": list(exporters)}
    return {
        "receivers": receivers,
        "exporters": dict(exporters),
        "extensions": extensions,
        "service": {"extensions": list(extensions), "pipelines": {"traces": traces}},
    }


def _flags(configs: Sequence[Config], folder: Path) -> list[str]:
    flags = []
    for number, config in enumerate(configs):
        if isinstance(config, Path):
            flags.append(f"--config={config}")
            continue
        path = folder / f"config-{number}.yaml"
        path.write_text(json.dumps(config, indent=1), encoding="utf-8")  # JSON is YAML
        flags.append(f"--config={path}")
    return flags


def _own_ports(http: int, grpc: int, health: int) -> dict[str, Any]:
    protocols = {"http": {"endpoint": f"127.0.0.1:{http}"}, "grpc": {"endpoint": f"127.0.0.1:{grpc}"}}
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health}"}},
        "service": {"telemetry": {"metrics": {"level": "none"}}},  # else they are served on a port of their own
    }
