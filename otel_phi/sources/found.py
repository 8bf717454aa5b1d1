"""What paths and folders hold: the files that are ours, what was left out, and what cannot be read.

Rule 1: one path that cannot be read among several is named, and costs itself alone; where nothing can be read, that is an error.
Rule 2: a folder is walked without following links to folders; FIFOs, sockets and devices in it are named and left out, and so is what
        leads nowhere: a loop of links, a link to nothing, a folder that may not be listed. The latter count as unreadable.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from otel_phi.errors import SourceError
from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.opened import NotRegular, refuse_irregular, why
from otel_phi.sources.reader import BadLine

OURS: tuple[Kind, ...] = ("events", "converted", "session", "agent")


class NothingHere(SourceError):  # noqa: N818
    """Says that a path holds no agent sessions, what was found instead and what to do."""


class Found:
    """Found is what some paths hold.

    Args:
        paths: files and folders; folders are searched whole.
        report: called with each path that cannot be read, as a bad line without a number.
        kind: tells what a file is; None for `kind_of`.

    Attributes:
        kinds: the files that are ours, in order of name, each with what it is.
        ignored: files of the folders that hold no events, or cannot be read.
        special: what is no file in the folders, each with what it is.
        unreadable: paths given, and files and folders within, that cannot be read.
        trouble: what is wrong with the only path that was given, "" if nothing is, or if there are several.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        report: Callable[[BadLine], None],
        kind: Callable[[Path], Kind] | None = None,
    ) -> None:
        self._report = report
        self._kind_of = kind_of if kind is None else kind
        self.kinds: dict[Path, Kind] = {}
        self.ignored: list[Path] = []
        self.special: dict[Path, str] = {}
        self.unreadable: list[Path] = []
        self.trouble = ""
        self._given = list(dict.fromkeys(paths))
        for path in self._given:
            trouble = self._look(path)
            if trouble:
                self.cannot_read_given(path, trouble)
        self.kinds = dict(sorted(self.kinds.items()))

    def cannot_read_given(self, path: Path, reason: str) -> None:
        """Notes a path that was given and gives nothing; the only one is an error of its own, said once."""
        if len(self._given) > 1:
            self.cannot_read(path, reason)
        else:
            self.trouble = f"{path}: {reason}"

    def cannot_read(self, path: Path, reason: str) -> None:
        """Notes and reports a path that cannot be read."""
        self.unreadable.append(path)
        self._report(BadLine(str(path), 0, 0, 0, reason))

    def cannot_read_within(self, path: Path, reason: str) -> None:
        """Notes and reports a file of a folder that cannot be read; of those that can it is left out."""
        self.ignored.append(path)
        self.cannot_read(path, reason)

    def _look(self, path: Path) -> str:
        """Takes in a path that was given; returns what is wrong with it, "" if nothing."""
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116  # `Path.exists` takes a loop of links for nothing
            if stat.S_ISDIR(mode):
                return self._look_within(path)
            refuse_irregular(mode)
            kind = self._kind_of(path)
        except NotRegular as error:
            return f"{error.strerror}: give what it says as -, standard input"
        except FileNotFoundError:
            return "no such file or folder; give a file of AgentEvents or a folder of event logs"
        except OSError as error:
            return f"cannot be read: {why(error)}"
        if kind not in OURS:
            return _WRONG[kind]
        self.kinds[path] = kind
        return ""

    def _look_within(self, folder: Path) -> str:
        unreadable = len(self.unreadable)
        candidates = sorted(self._files_in(folder))
        found = {path: kind for path in candidates if (kind := self._kind_within(path)) is not None}
        ours = {path: kind for path, kind in found.items() if kind in OURS}
        self.ignored += [path for path, kind in found.items() if path not in ours and kind != "inner"]
        self.kinds.update(ours)
        if ours or len(self.unreadable) > unreadable:
            return "" if ours else "nothing of it can be read"
        return _empty_folder(len(candidates))

    def _files_in(self, folder: Path) -> Iterator[Path]:
        for place, folders, names in os.walk(folder, onerror=self._could_not_list):
            folders.sort()
            for name in names:
                path = Path(place, name)
                if may_be_ours(path) and self._is_file(path):
                    yield path

    def _could_not_list(self, error: OSError) -> None:
        self.cannot_read_within(Path(os.fsdecode(error.filename)), f"cannot be listed: {why(error)}")

    def _is_file(self, path: Path) -> bool:
        try:
            refuse_irregular(path.stat().st_mode)
        except NotRegular as error:
            self.special[path] = error.strerror or ""
            return False
        except FileNotFoundError:
            if path.is_symlink():
                self.cannot_read_within(path, "a link to nothing")
            return False  # else it was removed meanwhile
        except OSError as error:
            self.cannot_read_within(path, f"cannot be read: {why(error)}")
            return False
        return True

    def _kind_within(self, path: Path) -> Kind | None:
        try:
            return self._kind_of(path)
        except FileNotFoundError:  # removed since it was listed
            return None
        except OSError as error:
            self.cannot_read_within(path, f"cannot be read: {why(error)}")
            return None


def may_be_ours(path: Path | os.DirEntry[str]) -> bool:
    """Leaves out hidden files, and what lies beside sessions: locks and half-written files, a database's journals."""
    return not (path.name.startswith(".") or path.name.endswith(_BESIDE) or ".json.tmp." in path.name)


_BESIDE = (".lock", ".db-wal", ".db-shm", ".db-journal")
_WRONG: dict[Kind, str] = {
    "inner": "this is a part of an opencode session: give the session's own file, in `session`, or the storage folder",
    "empty": "the file is empty; an agent's event log has one JSON object a line",
    "json": "this is JSON, but no AgentEvents, no saved session of phi-core and no other agent's",
    "wrapped": "these are log lines with events inside: give the events alone, one JSON object a line",
    "zstd": "this is compressed with zstd: unpack it, with `zstd -d`",
    "other": "this is no file of AgentEvents: each line should be an object with a `type`, or with `ordinal` and `event`",
}


def _empty_folder(files: int) -> str:
    if not files:
        return "the folder is empty; give one that an agent writes its sessions or event logs to"
    return (
        f"none of the folder's {files} files holds AgentEvents, event-log lines, a saved session"
        " or a session of an agent that is known"
    )
