"""Who owns a model call or a prompt: copies (resume, fork, replay) are read once, by the first loop that claims them."""

from __future__ import annotations

import hashlib
from typing import Protocol

KEY_BYTES = 16  # 2^64 keys until two are likely to meet
OWNER_BYTES = 8  # two owners of one key meet once in 2^64 cases


class Claims(Protocol):
    """A claims is a table of keys and their owners. It outlives a fold; live doors commit it with the fold's state."""

    def claim(self, key: bytes, owner: bytes) -> bool:
        """Takes a key for an owner.

        Args:
            key: as `claim_key` makes it.
            owner: as `owner_key` makes it.

        Returns:
            Whether the key is the owner's: nobody had it, or this very owner had.
        """


class ClaimsInMemory:
    """A claims in memory is the table of a door that reads whole files and keeps nothing."""

    def __init__(self) -> None:
        self._owners: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def claim(self, key: bytes, owner: bytes) -> bool:
        """Takes a key for an owner, see `Claims`."""
        return self._owners.setdefault(key, owner) == owner


def claim_key(*parts: str | int) -> bytes:
    """Returns the key of what the parts name: a format, a kind of thing, its id."""
    return _digest(KEY_BYTES, parts)


def owner_key(session_id: str, loop_id: str, position: int) -> bytes:
    """Returns the key of an owner: a loop of a session, and where in its file it has the thing.

    The position tells a record from its copy further down the same file; a record read again has the same.
    """
    return _digest(OWNER_BYTES, (session_id, loop_id, position))


def _digest(size: int, parts: tuple[str | int, ...]) -> bytes:
    text = "".join([f"{len(part)}:{part}" if isinstance(part, str) else f"{part};" for part in parts])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
