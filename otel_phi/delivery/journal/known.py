"""What the processes of this machine know together: which sessions have their root, and when which loop started."""

from __future__ import annotations

from pathlib import Path

MAX_BYTES = 32 << 20
KEPT_DAYS = 30


class Known:
    """Is the table, one SQLite file in the state folder. Used by the sender's thread alone.

    Nothing raises: where the table cannot be used the answers come from this process's memory, and that is said once.

    Args:
        state_dir: the state folder.

    Attributes:
        broken: why there is no table, "" while there is one.
    """

    broken: str

    def __init__(self, state_dir: Path) -> None:
        raise NotImplementedError

    def claim_root(self, destination: str, session_key: str, owner: str) -> bool:
        """Claims a session's root; True for the first owner, and for the same owner again."""
        raise NotImplementedError

    def loop(self, loop_id: str) -> tuple[str, int] | None:
        """Returns session id and start (ns) of a loop, None where nobody knows it."""
        raise NotImplementedError

    def remember(self, loop_id: str, session_id: str, started_ns: int) -> None:
        """Remembers a loop; of several that share an id, the latest."""
        raise NotImplementedError

    def sweep(self) -> None:
        """Forgets what is older than a month, and the oldest where the table is too large. About once an hour."""
        raise NotImplementedError

    def before_fork(self) -> None:
        """Closes the connection: SQLite's locks must not be believed held by a child. Any use opens it again."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the file. Repeatable."""
        raise NotImplementedError
