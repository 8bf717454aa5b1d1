"""Forks that nobody told Python of: C code forked (uWSGI does), and the child goes on as if nothing had happened.

Such a child can hang for ever where it starts a thread: if a thread of the parent's waited for the interpreter just then, the
child waits for that thread to take it. Python has a function that puts this right, and calls it itself after `os.fork`; so does
uWSGI, where it is told to (`--py-call-osafterfork`). It runs what libraries have registered for a forked child, ours among it.

Rule 1: until it was called nothing may let the interpreter go: that too can wait for a thread that is not there.
Rule 2: it is called only where nothing can be harmed: in the one thread of a child, in its main interpreter, on Linux, which
        tells how many threads there are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_STAT_BYTES = 1_024  # /proc/self/stat has some 300
_THREADS = 17  # its 20th field; the first of those behind the command, which may hold blanks and brackets, is the third


def tell_python() -> None:
    """Tells Python that this process was forked, where it does not know and may be told."""
    with contextlib.suppress(OSError, AttributeError, IndexError, ValueError):
        if _threads() == 1 and _is_main_interpreter():
            ctypes.pythonapi.PyOS_AfterFork_Child()


def _threads() -> int:
    """Returns how many threads this process has; the calls are C's, which keep the interpreter (rule 1)."""
    libc, answer = ctypes.PyDLL(None), ctypes.create_string_buffer(_STAT_BYTES)
    descriptor = libc.open(b"/proc/self/stat", os.O_RDONLY)
    if descriptor < 0:
        return 0
    length = libc.read(descriptor, answer, _STAT_BYTES)
    libc.close(descriptor)
    return int(answer.raw[: max(length, 0)].rpartition(b")")[2].split()[_THREADS])


def _is_main_interpreter() -> bool:
    current, main = ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_Main
    current.restype = main.restype = ctypes.c_void_p
    return bool(current() == main())
