"""An app for celery's prefork workers, its broker a folder."""

from __future__ import annotations

import importlib
import os
from typing import Any

import otel_phi
from tests.front.servers import work

celery: Any = importlib.import_module("celery")
signals: Any = importlib.import_module("celery.signals")
folder = os.environ["BROKER"]
app = celery.Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": f"{folder}-control",
    },
    worker_hijack_root_logger=False,
)


def begin(**_: Any) -> None:
    """Installs the hook in each worker process."""
    otel_phi.install(service_name="test")


signals.worker_process_init.connect(begin)


@app.task(name="answer")  # type: ignore[untyped-decorator]
def answer(session: str) -> str:
    """Runs a loop."""
    return work.answer(session)
