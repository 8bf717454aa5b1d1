"""Flushes: who waits until all that was appended before is settled, and what the live thread answers.

an agent's thread   ask ─▶ queue ───▶ waits on a lock of C
the live thread           take ─▶ waiting ─▶ target ─▶ answer, once everything up to it is settled
"""

from __future__ import annotations

import _thread
import queue
import threading

from otel_phi.delivery.journal.facts import Position


class Flush:
    """A flush is asked for by whoever waits until all that was appended before is settled, and what dead processes left.

    A lock of C stands for it: an interrupt of the waiter leaves none of Python's held, which the live thread would wait for.

    Attributes:
        target: the end of what was appended before; None until that is read.
        abandoned: whether nobody waits any more.
        answer: whether all is settled; None until that is known.
    """

    __slots__ = ("_unanswered", "abandoned", "answer", "target")

    def __init__(self) -> None:
        self._unanswered = _thread.allocate_lock()
        self._unanswered.acquire()
        self.target: Position | None = None
        self.abandoned = False
        self.answer: bool | None = None

    def wait(self, timeout_s: float) -> bool:
        """Waits so long; true if all is settled."""
        if self.answer is None:
            self._unanswered.acquire(timeout=min(max(timeout_s, 0.0), threading.TIMEOUT_MAX))
        return self.answer is True

    def give(self, *, answer: bool) -> None:
        """Answers, once."""
        self.answer = answer
        self._unanswered.release()


class Flushes:
    """Flushes are asked for by any thread and answered by the live one."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Flush] = queue.SimpleQueue()
        self._waiting: list[Flush] = []

    def ask(self) -> Flush:
        """Asks for a flush, from any thread."""
        flush = Flush()
        self._asked.put(flush)
        return flush

    def take(self) -> bool:
        """Takes in what was asked for, before the journal is read again; tells whether there was something."""
        found = False
        while not self._asked.empty():
            self._waiting.append(self._asked.get())
            found = True
        return found

    def answer(self, position: Position | None, settled: Position, *, others_done: bool) -> None:
        """Answers those whose target is settled.

        Args:
            position: the end of what was read, if that is all there was; None where more waits to be read.
            settled: the end of what is settled with every exporter.
            others_done: whether nothing of a dead process is left.
        """
        for flush in list(self._waiting):
            if flush.target is None:
                flush.target = position
            if flush.target is not None and settled >= flush.target and others_done:
                flush.give(answer=True)
            if flush.abandoned or flush.answer:
                self._waiting.remove(flush)

    def give_up(self, *, answer: bool) -> None:
        """Answers all there are: the live thread ends."""
        self.take()
        for flush in self._waiting:
            flush.give(answer=answer)
