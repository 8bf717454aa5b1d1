"""Programs without a server: `python -m tests.front.servers.programs NAME COUNT`."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
from typing import Any

import otel_phi
from tests.front.servers.work import answer


def with_gevent(count: int) -> None:
    """Runs loops in greenlets."""
    importlib.import_module("gevent.monkey").patch_all()
    gevent: Any = importlib.import_module("gevent")
    otel_phi.install(service_name="test")

    def one(number: int) -> None:
        with otel_phi.loop(session=f"chat-{number}") as loop:
            gevent.sleep(0.001)
            assert otel_phi.current_loop() is loop
            with loop.tool("weather"):
                gevent.sleep(0.001)

    gevent.joinall([gevent.spawn(one, number) for number in range(count)], raise_error=True)


def installing(session: str) -> str:
    """Is a spawned child's function."""
    otel_phi.install(service_name="test")
    return answer(session)


def with_pool(count: int, method: str, function: Any) -> None:
    """Runs loops in the children of a pool."""
    otel_phi.install(service_name="test")
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.map(function, [f"chat-{number}" for number in range(count)])
        pool.close()
        pool.join()


def with_lambda(count: int) -> None:
    """Is frozen after each request: what it does after the last one is nothing."""
    hook = otel_phi.install(service_name="test")
    for number in range(count):
        answer(f"chat-{number}")
        assert hook.flush(timeout_s=20.0)
    sys.stdout.flush()
    importlib.import_module("os")._exit(0)


def within_a_fork(count: int) -> None:
    """Forks within a tool, while another thread is at work on the same loop: the child opens loops below it."""
    import os
    import threading

    hook = otel_phi.install(service_name="test")
    over = threading.Event()
    with otel_phi.loop(session="chat-parent") as loop, loop.tool("fork", "c1"):

        def busy() -> None:
            while not over.wait(0.002):
                with loop.tool("busy"):
                    pass

        thread = threading.Thread(target=busy)
        thread.start()
        for number in range(count):
            child = os.fork()
            if child == 0:
                with loop.tool("not the child's"), loop.model_call():
                    pass
                answer(f"chat-{number}")
                os._exit(0 if hook.flush(20.0) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        over.set()
        thread.join()
    assert hook.flush(20.0)


if __name__ == "__main__":
    name, times = sys.argv[1], int(sys.argv[2])
    match name:
        case "gevent":
            with_gevent(times)
        case "fork":
            with_pool(times, "fork", answer)
        case "spawn":
            with_pool(times, "spawn", installing)
        case "lambda":
            with_lambda(times)
        case "within":
            within_a_fork(times)
