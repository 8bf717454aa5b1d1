"""A process that loads an application for workers which C code forks of it has no thread of ours: one at work leaves its locks held in them."""

from __future__ import annotations

import sys
import threading
import types
from pathlib import Path

import pytest

import otel_phi
from otel_phi.hook.c_forks import is_about_to_fork
from otel_phi.testing import Receiver
from tests.streams import whole_loop


class Server(types.ModuleType):
    """Stands for uWSGI's own module, whose first process is worker 0."""

    worker = 0

    def worker_id(self) -> int:
        return self.worker


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server("uwsgi")
    monkeypatch.setitem(sys.modules, "uwsgi", made)
    return made


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "otel-phi"]


def test_there_is_none_while_it_loads_and_one_with_the_first_event_of_a_worker(server: Server, tmp_path: Path) -> None:
    with Receiver() as receiver:
        hook = otel_phi.install(endpoint=receiver.endpoint, service_name="test", state_dir=tmp_path)
        try:
            assert is_about_to_fork()
            first, *others = whole_loop(0)
            hook(first)
            assert threads() == []
            server.worker = 1  # one that is not forked at all, without a master
            for event in others:
                hook(event)
            assert threads() == ["otel-phi"]
            assert len(receiver.wait_for(2)) >= 2
        finally:
            hook.shutdown()


def test_what_is_told_while_it_loads_is_kept(server: Server, tmp_path: Path) -> None:
    hook = otel_phi.install(exporter="none", state_dir=tmp_path)
    for event in whole_loop(0):
        hook(event)
    assert hook.stats().recorded == len(whole_loop(0))
    hook.shutdown()
    assert threads() == []


@pytest.mark.parametrize("module", [types.ModuleType("uwsgi"), None])
def test_another_module_of_that_name_is_none(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    assert not is_about_to_fork()
