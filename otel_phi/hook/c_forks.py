"""Forks that nobody told Python of: C code forked (uWSGI does), and the child goes on as if nothing had happened.

Such a child can hang for ever where it starts a thread: if a thread of the parent's waited for the interpreter just then, the
child waits for that thread to take it. Python has a function that puts this right, and calls it itself after `os.fork`; so does
uWSGI, where it is told to (`--py-call-osafterfork`). It runs what libraries have registered for a forked child, ours among it.

Rule 1: it is called only where nothing can be harmed: in the one thread of a child, in its main interpreter, on Linux, which
        tells how many threads there are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os


def tell_python() -> None:
    """Tells Python that this process was forked, where it does not know and may be told."""
    with contextlib.suppress(OSError, AttributeError):
        if len(os.listdir("/proc/self/task")) == 1 and _is_main_interpreter():  # noqa: PTH208  # a count is all that is needed
            ctypes.pythonapi.PyOS_AfterFork_Child()


def _is_main_interpreter() -> bool:
    current, main = ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_Main
    current.restype = main.restype = ctypes.c_void_p
    return bool(current() == main())
