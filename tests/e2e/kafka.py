"""The real Kafka 3.9.1: one broker on free loopback ports, its own controller (KRaft), as a process."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from tests.e2e.processes import WITH_US, Backend, free_ports

_FORMAT_WITHIN_S = 120.0  # a second on an idle machine


class Kafka(Backend):
    """Is a Kafka whose settings are its defaults, but for what one broker alone needs.

    Args:
        jars: folder of its jars.
        folder: of its own: data, configuration and log are kept there.
        **settings: lines for `server.properties`, dots in their names written as `__`.

    Attributes:
        address: `host:port` of the broker.
    """

    def __init__(self, jars: Path, folder: Path, **settings: object) -> None:
        broker, controller = free_ports(2)
        self.address = f"127.0.0.1:{broker}"
        self._java = ["java", "-Xmx512m", "-cp", f"{jars}/*"]
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        lines = {**_settings(broker, controller, folder), **{key.replace("__", "."): v for key, v in settings.items()}}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), encoding="ascii")
        program = [*self._java, "kafka.Kafka", str(self._properties)]
        super().__init__(folder.name, program, folder / "log", lambda said: "Kafka Server started" in said)
        self._format()

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [
            *WITH_US,
            *self._java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster,
            "-c",
            str(self._properties),
        ]
        said = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_WITHIN_S, check=False)
        assert said.returncode == 0, said.stdout + said.stderr


def _settings(broker: int, controller: int, folder: Path) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": folder / "data",
        # One broker cannot keep the three copies of offsets that are the default.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,  # the default waits 3 s for more consumers
    }
