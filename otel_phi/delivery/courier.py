"""The courier: a thread that takes spans from where they wait to the sender, and settles them when they arrived.

Rule 1: it never blocks for long, whatever the destination does: the sender's own thread waits, the courier goes on.
Rule 2: it works in slices, and breathes between them: the agent waits for one slice at most, for the lock or the GIL.
Rule 3: whatever goes wrong in a round costs that round.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from otel_phi.delivery import unsaid
from otel_phi.delivery.sending.batch import Settled
from otel_phi.delivery.sending.sender import Sender
from otel_phi.delivery.shelves import BREATH_S, Shelves
from otel_phi.delivery.store import Store
from otel_phi.delivery.upkeep import Upkeep
from otel_phi.errors import OtelPhiError

logger = logging.getLogger("otel_phi")

_IDLE_S = 1.0  # between looks at the folder and the clock while nothing is to do
_PAUSE_S = 1.0  # after a round that failed
_GLANCE_S = 0.02  # between looks of whoever waits for a flush
# After a request the next one gathers for a moment, unless much waits or someone waits for it: a request costs a
# millisecond of Python, and an agent at work should not share the interpreter with one for every turn.
_LINGER_S = 0.1
_MUCH = 200
_SLICES = 50  # of one kind of work a round, so that the rest of it comes round
_MAKE_AGAIN_S = 5.0  # between attempts to open a destination that could not be opened
_GRACE = 0.7  # of the time to close: for a request under way; the rest is for the files

MakeSender = Callable[[Callable[[Settled], None]], Sender]


class Courier:
    """Carries the spans of one store.

    Args:
        store: where they wait.
        shelves: what they are taken from.
        upkeep: what is to be done now and then.
        make_sender: makes a sender that never gives up and tells what it settled.
        release: closes the destination, in the end.

    Attributes:
        sender: None until it could be made.
        trouble: why it could not, None while all is well.
    """

    def __init__(
        self, store: Store, shelves: Shelves, upkeep: Upkeep, make_sender: MakeSender, release: Callable[[], None]
    ) -> None:
        self.sender: Sender | None = None
        self.trouble: str | None = None
        self._make_at = 0.0
        self._store, self._shelves, self._upkeep = store, shelves, upkeep
        self._make_sender, self._release = make_sender, release
        self._starting = threading.Lock()
        self._awake = threading.Event()
        self._urgent = threading.Event()
        self._linger_until = 0.0
        self._thread: threading.Thread | None = None
        self._closing_by: float | None = None
        self._closed = threading.Event()
        self._waiting = 0
        self._verdicts: deque[Settled] = deque()
        self._stumbled = False
        self._settling = False

    @property
    def started(self) -> bool:
        """Tells whether the thread was ever started."""
        return self._thread is not None

    def wake(self) -> None:
        """Says that there may be something to do; starts the thread, if it does not run."""
        if self._thread is None:
            self._start()
        if not self._awake.is_set():  # ten times cheaper; it is cleared before a round looks
            self._awake.set()
        if self._store.spill:  # what is in memory alone does not wait
            self._urgent.set()

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that is there now is settled, also what dead processes left; False if it is not in time."""
        until = time.monotonic() + timeout_s
        store = self._store
        spilled, scans = store.spill.next_number, self._upkeep.scans
        self._upkeep.hurry()
        self._waiting += 1
        self.wake()
        self._urgent.set()
        try:
            if not self._until(
                lambda: self._upkeep.scans > scans and store.spill.first() >= spilled and not self._settling, until
            ):
                return False
            written = store.outbox.next_number if store.outbox else 0
            return self._until(lambda: self._all_settled(written), until)
        finally:
            self._waiting -= 1

    def close(self, timeout_s: float) -> None:
        """Ends the thread, which closes everything; what it cannot close in time it closes later, or never."""
        if self._closing_by is None:
            self._closing_by = time.monotonic() + timeout_s
        self._awake.set()
        self._urgent.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        elif not self._closed.is_set():
            self._shelves.tidy()
            self._finish()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and self._closing_by is None:
                # A daemon: a disk or destination that hangs must not hold the interpreter at exit.
                thread = threading.Thread(target=self._work, name="otel-phi-courier", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is ending: the spans stay where they are
                    thread.start()
                    self._thread = thread

    def _work(self) -> None:
        time.sleep(BREATH_S)  # the agent waits for the thread it started: it goes on first
        while self._closing_by is None:
            self._awake.clear()
            try:
                busy = self._round(self._started_sender())
            except BaseException:  # a SystemExit of somebody's code must not end this thread
                if not self._stumbled:
                    logger.exception("live delivery stumbled; it goes on")
                self._stumbled = True
                busy = False
                time.sleep(_PAUSE_S)
            if not busy:
                self._awake.wait(_GLANCE_S if self._waiting else _IDLE_S)
            self._linger()
        try:
            self._finish()
        except Exception:
            logger.exception("live delivery could not be closed")

    def _started_sender(self) -> Sender | None:
        """Returns the sender, made at the first use: after a fork a certificate may be gone, and come back."""
        if self.sender is None and time.monotonic() >= self._make_at:
            self._make_at = time.monotonic() + _MAKE_AGAIN_S
            try:
                sender = self._make_sender(self._settled)
                sender.start()
            except Exception as error:  # noqa: BLE001  # whatever opening a destination leads to, spans are kept
                if self.trouble is None:
                    unsaid.warn("nothing can be sent: %s; spans are kept, it is tried again", _reason(error))
                self.trouble = _reason(error)
            else:
                self.sender, self.trouble = sender, None
        return self.sender

    def _linger(self) -> None:
        """Lets spans gather after a request; what wakes us otherwise does not matter for so long."""
        rest_s = self._linger_until - time.monotonic()
        if rest_s > 0 and self._shelves.waiting < _MUCH:
            self._urgent.clear()
            if not self._waiting and self._closing_by is None and not self._store.spill:
                self._urgent.wait(rest_s)

    def _round(self, sender: Sender | None) -> bool:
        busy = self._settle_all()
        busy |= self._in_slices(self._store.move_spill)
        self._in_slices(self._store.fold)
        busy |= self._in_slices(self._shelves.claim)
        self._keep_up(sender.progress().trouble if sender else self.trouble)
        if sender is not None and sender.has_room():
            batch = self._shelves.gather()
            if batch is not None:
                self._linger_until = time.monotonic() + _LINGER_S
                return sender.offer(batch) or busy
            if self._waiting and sender.rest():
                busy |= self._settle_all()
        return busy

    def _keep_up(self, trouble: str | None) -> None:
        """Does what is due; whatever goes wrong with a folder, what is there is sent."""
        try:
            with self._shelves.gate:
                self._upkeep.run(trouble)
        except Exception:
            if not self._stumbled:
                logger.exception("the outbox folder could not be looked after; spans are sent all the same")
            self._stumbled = True
        unsaid.speak()

    def _in_slices(self, step: Callable[[], bool]) -> bool:
        """Takes a step again and again while there is something to do, and tells whether there was."""
        for done in range(_SLICES):
            if not self._slice(step):
                return done > 0
            time.sleep(BREATH_S)
        return True

    def _slice(self, step: Callable[[], bool]) -> bool:
        with self._shelves.gate:
            return step()

    def _settled(self, settled: Settled) -> None:
        """Takes the sender's word; called by its thread."""
        self._verdicts.append(settled)
        self._awake.set()

    def _settle_all(self) -> bool:
        busy = self._settling = bool(self._verdicts)
        while self._verdicts:
            self._shelves.settle(self._verdicts.popleft())
        self._settling = False
        return busy

    def _finish(self) -> None:
        """Closes sender, files and destination, in the order in which their loss would cost most."""
        left = max((self._closing_by or 0.0) - time.monotonic(), 0.0)
        trouble = self.trouble
        if self.sender is not None:
            trouble = self.sender.progress().trouble
            self.sender.close(grace_s=left * _GRACE)
        self._settle_all()
        while self._slice(self._store.move_spill):
            pass
        self._upkeep.tell(trouble)
        unsaid.speak()
        with self._shelves.gate:
            self._shelves.write_off()
            self._shelves.close()
        self._closed.set()
        unsaid.speak()
        self._release()

    # --- waiting -----------------------------------------------------------------------------------------------------

    def _all_settled(self, written: int) -> bool:
        store = self._store
        if store.outbox is not None and store.outbox.first() < written:
            return False
        if self._upkeep.more or self._shelves.adopted:
            return False
        # After the files: a late claim takes a root from one into the table.
        if store.outbox is not None and store.known is not None and store.known.waiting(store.outbox.name):
            return False
        return not self._settling  # looked at last: off the disk, but not yet counted

    def _until(self, done: Callable[[], bool], until: float) -> bool:
        while not done():
            if time.monotonic() >= until or self._thread is None or self._closed.is_set():
                return False
            time.sleep(_GLANCE_S / 4)
        return True


def _reason(error: Exception) -> str:
    """Returns a fault in words: ours hold no secrets, of others only the type is told."""
    return str(error) if isinstance(error, OtelPhiError) else type(error).__name__
