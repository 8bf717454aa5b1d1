"""Threads of our own: what each of them does first."""

from __future__ import annotations

import os
import signal
import sys
import threading

# What a thread's own fault raises, and what a profiler counts by: these stay.
_ITS_OWN = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGPROF", "SIGVTALRM")


def leave_signals_to_others() -> None:
    """Keeps the system from interrupting this thread by a signal that is meant for the process.

    Python's own handlers run in the main thread wherever one arrives. One in C runs in the thread that it interrupts: uWSGI ends its
    worker in it, all `atexit` functions included, and so would wait, in a thread of ours, for that very thread. On Linux alone,
    which tells whether this is a thread of its own: under gevent it is a greenlet of the main one.
    """
    if sys.platform.startswith("linux") and threading.get_native_id() != os.getpid():
        own = {getattr(signal, name) for name in _ITS_OWN}
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - own)
