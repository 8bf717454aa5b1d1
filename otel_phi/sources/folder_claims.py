"""The claims of files that are read once: who owns what, and which file lost how many calls to which. Kept in flat memory.

    slot: key (16) · owner (8) · number of the file, from 1 (4); a slot of zeros is free

Rule: a claim costs 28 bytes and the room that keeps the table quick; a `dict` takes seven times that, and a gigabyte of sessions has
      three hundred thousand.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from otel_phi.sources.agents.claims import KEY_BYTES, OWNER_BYTES

_FILE_BYTES = 4
_SLOT_BYTES = KEY_BYTES + OWNER_BYTES + _FILE_BYTES
_FREE = bytes(_FILE_BYTES)
_FIRST_SLOTS = 1 << 10
_FULL = 0.7  # of the slots; from there on a search looks at more than two


class FolderClaims:
    """A folder claims is the claims table of files that are read once; it knows which file owns what.

    Attributes:
        lost_to: how often a file's claims were refused, by the file that had them first.
    """

    def __init__(self) -> None:
        self._slots = bytearray(_FIRST_SLOTS * _SLOT_BYTES)
        self._count, self._mask = 0, _FIRST_SLOTS - 1
        self._files: list[Path] = []
        self.lost_to: Counter[tuple[Path, Path]] = Counter()

    def __len__(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes that the table takes."""
        return len(self._slots)

    def of(self, path: Path) -> FileClaims:
        """Returns the table as a file sees it."""
        self._files.append(path)
        return FileClaims(self, len(self._files))

    def claim(self, key: bytes, owner: bytes, number: int) -> bool:
        """Takes a key for an owner in a file; says whether it is the owner's."""
        at = self._place(key)
        held = self._slots[at + KEY_BYTES : at + _SLOT_BYTES]
        if held.endswith(_FREE):
            self._slots[at : at + _SLOT_BYTES] = key + owner + number.to_bytes(_FILE_BYTES, "big")
            self._count += 1
            if self._count > self._mask * _FULL:
                self._grow()
            return True
        if held[:OWNER_BYTES] == owner:
            return True
        holder, loser = (self._files[each - 1] for each in (int.from_bytes(held[OWNER_BYTES:], "big"), number))
        if holder != loser:
            self.lost_to[loser, holder] += 1
        return False

    def _place(self, key: bytes | bytearray) -> int:
        """Returns where a key's slot begins: its own, else the free one that it would have."""
        slots, number = self._slots, int.from_bytes(key[:8], "big")
        while True:
            at = (number & self._mask) * _SLOT_BYTES
            if slots[at : at + KEY_BYTES] == key or slots[at + _SLOT_BYTES - _FILE_BYTES : at + _SLOT_BYTES] == _FREE:
                return at
            number += 1

    def _grow(self) -> None:
        before, self._mask = self._slots, self._mask * 2 + 1
        self._slots = bytearray(len(before) * 2)
        for begin in range(0, len(before), _SLOT_BYTES):
            slot = before[begin : begin + _SLOT_BYTES]
            if not slot.endswith(_FREE):
                at = self._place(slot[:KEY_BYTES])
                self._slots[at : at + _SLOT_BYTES] = slot


class FileClaims:
    """A file claims is the table as one file sees it: `Claims` as a fold asks for it."""

    def __init__(self, table: FolderClaims, number: int) -> None:
        self._table, self._number = table, number

    def claim(self, key: bytes, owner: bytes) -> bool:
        """Takes a key for an owner, see `Claims`."""
        return self._table.claim(key, owner, self._number)
