"""How processes end and divide: at exit, under multiprocessing, by SIGTERM, by fork.

What was given to the hook is in its journal whatever happens; this is so that it need not wait there for another process.

Rule 1: at exit, within 2 s, after the agent's own non-daemon threads have ended.
Rule 2: a multiprocessing child skips `atexit` (Python before 3.14 does): its finalizers, the last of them, stand in.
Rule 3: SIGTERM is touched only where it would kill us, and then it kills us, 2 s later at most. The shutdown has a thread of its
        own: the interrupted one may hold any lock of the agent's.
Rule 4: a forked child begins with nothing open; the parent is not touched.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from otel_phi.hook.recording import Recording
from otel_phi.late_imports import importing

AT_EXIT_S = 2.0  # DESIGN 7
AT_SIGTERM_S = 2.0  # Kubernetes grants 30, Docker 10, a shell's user less
_LAST = -100  # of multiprocessing's finalizers: those of negative priority run after the process's own children ended


class _Watch:
    """Remembers what is registered; none of it can or need be taken back."""

    def __init__(self) -> None:
        self.find: Callable[[], Recording | None] = lambda: None
        self.registered = False
        self.multiprocessing = False


_watch = _Watch()


def watch(find: Callable[[], Recording | None], *, flush_on_sigterm: bool) -> None:
    """Registers for every end of this process; `find` returns the hook there is then."""
    _watch.find = find
    if not _watch.registered:
        _watch.registered = True
        atexit.register(shut_down)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
    _watch_multiprocessing()
    if flush_on_sigterm and threading.current_thread() is threading.main_thread():
        _watch_sigterm()


def shut_down() -> None:
    """Shuts the hook down, if there is one."""
    hook = _watch.find()
    if hook is not None:
        hook.shutdown(AT_EXIT_S)


def _before_fork() -> None:
    importing.acquire()  # a child keeps a module that another thread was importing half imported for ever
    hook = _watch.find()
    if hook is not None:
        hook.before_fork()


def _in_parent() -> None:
    importing.release()
    hook = _watch.find()
    if hook is not None:
        hook.after_fork_in_parent()


def _in_child() -> None:
    # Free, whoever held it: where C code forked nobody waited for an import, and this alone is called.
    importing._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001  # as Python's own modules do with theirs
    hook = _watch.find()
    if hook is not None:
        hook.after_fork()
    _watch_multiprocessing()


# --- multiprocessing -----------------------------------------------------------------------------------------------------


def _watch_multiprocessing() -> None:
    """Sees to it that a child shuts its hook down: this process if it is one, and those it forks."""
    found: Any = sys.modules.get("multiprocessing.util")  # never imported for this: who uses it has it
    if found is None or _watch.multiprocessing:
        return
    _watch.multiprocessing = True
    found.register_after_fork(_watch, _arm)
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        _arm(_watch)


def _arm(_: _Watch) -> None:
    found: Any = sys.modules["multiprocessing.util"]
    found.Finalize(None, shut_down, exitpriority=_LAST)


# --- SIGTERM -------------------------------------------------------------------------------------------------------------


def _watch_sigterm() -> None:
    # The first process of a container is not killed by the default action: then neither by us.
    if os.name == "posix" and os.getpid() != 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, _: FrameType | None) -> None:
    done = _thread.allocate_lock()
    done.acquire()
    signal.signal(number, signal.SIG_DFL)  # here: only the main thread may; a second one kills at once

    def flush() -> None:
        try:
            shut_down()
        finally:
            done.release()
            os.kill(os.getpid(), number)

    try:
        _thread.start_new_thread(flush, ())
    except RuntimeError:  # no thread can be had
        os.kill(os.getpid(), number)
    done.acquire(timeout=AT_SIGTERM_S)
    os.kill(os.getpid(), number)
