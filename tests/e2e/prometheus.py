"""The real Prometheus, Debian's package, as a process on a free loopback port; it scrapes one Collector, as collector-config/prometheus.yaml says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.e2e.backends import CannotBuild
from tests.e2e.processes import Backend, free_ports
from tests.test_collector_config import read

Labels = frozenset[tuple[str, str]]
SCRAPE_S = 1  # in place of the file's 15


class Prometheus(Backend):
    """Is a Prometheus with a database of its own.

    Args:
        program: the binary.
        target: `host:port` of what it scrapes.
        folder: of its own: data, configuration and log are kept there.
    """

    def __init__(self, program: Path, target: str, folder: Path) -> None:
        (port,) = free_ports(1)
        self.http = f"http://127.0.0.1:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        config = read("prometheus.yaml")
        config["global"]["scrape_interval"] = f"{SCRAPE_S}s"
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        flags = [
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__(folder.name, [program, *flags], folder / "log", self._is_ready)

    def now(self, query: str) -> dict[Labels, float]:
        """Returns what a query finds now, by labels."""
        return {_labels(each): float(each["value"][1]) for each in self._ask("query", query=query)}

    def over(self, query: str, start_s: float, end_s: float, step_s: float) -> dict[Labels, list[float]]:
        """Returns what a query finds at each step from one time to another, in seconds since the epoch, by labels."""
        asked = {"query": query, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s}"}
        return {
            _labels(each): [float(value) for _, value in each["values"]] for each in self._ask("query_range", **asked)
        }

    def _ask(self, what: str, **words: str) -> list[dict[str, Any]]:
        answer = urllib3.request(
            "GET", f"{self.http}/api/v1/{what}", fields=words, timeout=60.0, headers={"connection": "close"}
        )
        said = json.loads(answer.data)
        assert said["status"] == "success", said
        found: list[dict[str, Any]] = said["data"]["result"]
        return found

    def _is_ready(self, said: str) -> bool:
        if "Server is ready to receive web requests" not in said:
            return False
        answer = urllib3.request("GET", f"{self.http}/-/ready", timeout=30.0, headers={"connection": "close"})
        return answer.status == 200


def installed() -> Path:
    """Returns the path of Prometheus.

    Raises:
        CannotBuild: there is none.
    """
    found = shutil.which("prometheus")
    if found is None:
        raise CannotBuild("no prometheus on PATH (Debian: apt-get install prometheus)")
    return Path(found)


def _labels(said: dict[str, Any]) -> Labels:
    return frozenset(said["metric"].items())
