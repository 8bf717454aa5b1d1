"""What lies ready in the outbox for one destination, beside journals: dead letters to be sent again, files of the old format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from otel_phi.clock import monotonic
from otel_phi.config import Config
from otel_phi.delivery.journal.destination import Sealed
from otel_phi.delivery.journal.facts import Head
from otel_phi.delivery.journal.outbox import Outbox
from otel_phi.hook import old_outbox, retry_file
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.ready_spans import ReadySource

SCAN_S = 5.0  # a person who asked for another try waits that long
MAX_HELD = 8  # as of journals: descriptors are the agent's


class Leftovers:
    """Leftovers are looked for now and then. For the live thread, but for `hurry`.

    Args:
        outbox: the outbox, None where there is none.
        head: what this process's journal says of destination and credentials.
        ours: tells whose letters are this process's to send.
        config: where to.
        complaints: gets what is to be said.
        any_credentials: take also what was meant for the same destination with other headers.

    Attributes:
        done: whether all there was when `hurry` was called has been found.
    """

    def __init__(
        self,
        outbox: Outbox | None,
        head: Head,
        ours: Callable[[Sealed], bool],
        config: Config,
        complaints: Complaints,
        *,
        any_credentials: bool = False,
    ) -> None:
        self._outbox, self._head, self._ours, self._config = outbox, head, ours, config
        self._complaints = complaints
        self._endpoint = config.display_endpoint if any_credentials else None
        self._due = 0.0
        self.done = outbox is None

    def hurry(self) -> None:
        """Makes the next look a thorough one."""
        self.done, self._due = self._outbox is None, 0.0

    def look(self, held: int, take: Callable[[ReadySource], None]) -> None:
        """Hands on what is found, if it is time to look.

        Args:
            held: how many sources are held now.
            take: takes a source, to be sent.
        """
        now = monotonic()
        if self._outbox is None or now < self._due or held >= MAX_HELD:
            return
        self._due = now + SCAN_S
        for source in self._found(self._outbox):
            take(source)
            held += 1
            if held >= MAX_HELD:
                self._due = 0.0
                return
        self.done = True

    def _found(self, outbox: Outbox) -> Iterator[ReadySource]:
        parent = outbox.folder / self._head.destination.name
        for path in sorted(parent.glob(f"*/{retry_file.PREFIX}*")):
            if path.suffix != retry_file.LOCK_SUFFIX and (claimed := retry_file.claim(path, self._ours)) is not None:
                yield claimed
        files = old_outbox.old_files(outbox.folder)
        if not files and not (outbox.folder / old_outbox.KNOWN).exists():
            return
        name = old_outbox.old_name(self._config, outbox.folder.parent)
        for path in files:
            if (old := old_outbox.claim(path, name, self._endpoint, self._letters(outbox), self._say)) is not None:
                yield old
        roots = old_outbox.claim_roots(outbox.folder, name, self._letters(outbox))
        if roots is not None:
            yield roots

    def _letters(self, outbox: Outbox) -> old_outbox.Letters:
        destination = self._head.destination
        return old_outbox.Letters(outbox.folder / destination.name, destination.shown, self._head)

    def _say(self, text: str) -> None:
        self._complaints.add(text, text)
