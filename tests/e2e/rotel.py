"""Rotel, a Collector written by others in another language, as a process: OTLP in by HTTP and gRPC, OTLP out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Literal

import urllib3

from tests.e2e.backends import CannotBuild
from tests.e2e.processes import Backend, free_ports

OutBy = Literal["http", "grpc"]


class Rotel(Backend):
    """Is a Rotel that passes traces on.

    Args:
        program: the binary.
        to: endpoint of OTLP it sends to.
        by: the protocol it sends by.
        folder: of its own: its log is kept there.

    Attributes:
        http: endpoint of OTLP/HTTP.
        grpc: endpoint of OTLP/gRPC.
    """

    def __init__(self, program: Path, to: str, by: OutBy, folder: Path) -> None:
        http, grpc = free_ports(2)
        self.http, self.grpc = f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}"
        listen = ["--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"]
        send = ["--exporter", "otlp", "--otlp-exporter-endpoint", to, "--otlp-exporter-protocol", by]
        super().__init__(folder.name, [program, "start", *listen, *send], folder / "log", self._is_ready)

    def _is_ready(self, said: str) -> bool:
        if "Starting Rotel" not in said:
            return False
        try:
            answer = urllib3.request("GET", self.http, timeout=30.0, retries=False, headers={"connection": "close"})
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 404


def program_of(python: Path) -> Path:
    """Returns Rotel's binary in its environment.

    Raises:
        CannotBuild: it does not run here: it wants the shared library of one version of Python.
    """
    (program,) = python.parent.parent.glob("lib/python*/site-packages/rotel/rotel-agent")
    tried = subprocess.run(
        [program, "--version"], env=os.environ, capture_output=True, text=True, timeout=60.0, check=False
    )
    if tried.returncode:
        raise CannotBuild(f"Rotel does not run on this machine ({tried.stderr.strip()[-200:]})")
    return program
