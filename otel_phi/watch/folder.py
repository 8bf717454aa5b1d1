"""The folder: which files are there, which have changed, and what cannot be looked into.

Rule 1: a folder that is not there, or cannot be listed, says nothing of the files in it: a network disk comes back.
Rule 2: links to folders are not followed. Of a file and links to it, the file counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from otel_phi.sources.agent_order import head_of
from otel_phi.sources.agents.registry import adapter_of
from otel_phi.sources.found import NothingHere, may_be_ours
from otel_phi.sources.kinds import kind_of
from otel_phi.sources.reader import BadLine
from otel_phi.sources.tail import WRITE_AHEAD, Look, look_at
from otel_phi.watch.agent_feeds import LINES, feed_name

_HEAD_BYTES = 1 << 16  # as `kind_of` reads
# Documents of which one names others as its parts; opencode's database and folders are no file of any format, seen from here.
NOT_FOLLOWED = ("atif",)
_NOT_FOLLOWED = "sessions of an agent that is not followed yet; otel-phi export sends them"


class Folder:
    """A folder is the set of paths that are watched.

    Args:
        paths: files and folders; they need not be there yet, but the folder above them must.

    Attributes:
        given: the paths, absolute.
        roots: those, and the folders beside files that belong to them.
        on_unreadable: called with each file that cannot be read, once until it can; its line is 0. And with the first of an agent's that is not followed.

    Raises:
        NothingHere: neither a path nor the folder above it is there.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.given = tuple(Path(os.path.abspath(path)) for path in paths)  # noqa: PTH100  # links stay what they are
        # A session's sub-agents lie in the folder of its name.
        beside = [root.with_suffix("") / "subagents" for root in self.given if root.suffix == ".jsonl"]
        self.roots = tuple(dict.fromkeys([*self.given, *beside]))
        self.on_unreadable: Callable[[BadLine], None] | None = None
        self._other: dict[Path, Look] = {}
        self._unreadable: set[Path] = set()
        self._passed_over = False
        self._unseen: set[Path] = set()
        self._paths: dict[tuple[str, str], Path] = {}  # of each folder and name: all are looked at again and again
        self._links: set[Path] = set()
        for root in self.given:
            if not root.exists() and not root.parent.is_dir():
                raise NothingHere(
                    f"{root}: neither this nor the folder above it exists; give the folder the agent writes to"
                )

    @property
    def there(self) -> dict[Path, tuple[int, int]]:
        """Those of the paths that exist, each with what tells it from another one made in its place."""
        found = {}
        for root in self.roots:
            try:
                seen = root.stat()
            except OSError:
                continue
            found[root] = (seen.st_dev, seen.st_ino) if root.is_dir() else (0, 0)
        return found

    @property
    def left_out(self) -> int:
        """How many files hold nothing that is followed."""
        return len(self._other)

    @property
    def lone_files(self) -> set[Path]:
        """The paths that are files: one that is replaced is seen by a look alone."""
        return {root for root in self.given if not root.is_dir()}

    def holds(self, path: Path) -> bool:
        """Says whether a path is one of those watched, or within."""
        return any(path == root or root in path.parents for root in self.roots)

    def all(self) -> Iterator[tuple[Path, Look]]:
        """Yields the files that are there, in order of name, links last; each is looked at when it is asked for."""
        self._unseen = set()
        known: dict[Path, None] = {}
        for path in (path for root in self.roots for path in self._within(root)):
            if path not in known:
                known[path] = None
                if path not in self._links:
                    yield from self._looked((path,))
        yield from self._looked([path for path in known if path in self._links])
        self._other = {path: look for path, look in self._other.items() if path in known}
        self._unreadable &= known.keys()
        self._links &= known.keys()
        if len(self._paths) > len(known):
            self._paths = {key: path for key, path in self._paths.items() if path in known}

    def changed(self, paths: Iterable[Path]) -> list[tuple[Path, Look]]:
        """Returns those of some paths that are files and watched, and the files in those that are folders."""
        found: set[Path] = set()
        for path in {_file_of(path) for path in paths}:
            if self.holds(path) and (path in self.roots or not (path.is_symlink() and path.is_dir())):
                found |= set(self._within(path))
        looks = list(self._looked(sorted(path for path in found if may_be_ours(path))))
        return sorted(looks, key=lambda each: each[0] in self._links) if self._links else looks

    def unseen(self, path: Path) -> bool:
        """Says whether nobody knows if a file is there, since its folder could not be looked into."""
        return bool(self._unseen) and not self._unseen.isdisjoint(path.parents)

    def kind(self, path: Path, look: Look) -> str | None:
        """Says what a file is: `events`, `session`, `agent` or `document`; None where it is nothing of ours.

        Raises:
            OSError: it cannot be read.
        """
        if self._other.get(path) == look:
            return None
        kind = kind_of(path)
        self._unreadable.discard(path)
        found = _agent_kind(path) if kind == "agent" else kind
        if found in ("events", "session", "agent", "document"):
            self._other.pop(path, None)
            return found
        self._other[path] = look
        if kind == "agent":
            self._pass_over(path)
        return None

    def _pass_over(self, path: Path) -> None:
        """Says once that sessions in a database, or in many files each, are not followed."""
        if self.on_unreadable is not None and not self._passed_over:
            self._passed_over = True
            self.on_unreadable(BadLine(str(path), 1, 0, 0, _NOT_FOLLOWED))

    def cannot_read(self, path: Path, error: OSError) -> None:
        """Says once of a file that it cannot be read; one that was removed between two looks needs no word."""
        if isinstance(error, FileNotFoundError) or path in self._unreadable:
            return
        self._unreadable.add(path)
        if self.on_unreadable is not None:
            reason = f"cannot be read: {error.strerror or error}; it is tried again"
            self.on_unreadable(BadLine(str(path), 0, 0, 0, reason))

    def _looked(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Look]]:
        for path in paths:
            look = look_at(path)
            if look is not None:
                yield path, look
            elif self._hidden(path):
                self._unseen.add(path.parent)

    @staticmethod
    def _hidden(path: Path) -> bool:
        """Says whether a file may be there, but its folder does not let it be looked at."""
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return False

    def _within(self, root: Path) -> Iterator[Path]:
        if not root.is_dir():
            if root.is_file():
                self._note_link(root, root.is_symlink())
                yield root
            elif root in self.given:
                self._unseen.add(root)
            return
        yield from self._listed(str(root))

    def _listed(self, folder: str) -> Iterator[Path]:
        """Yields the files of a folder, and then of those in it."""
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda each: each.name)
        except OSError as error:
            self._could_not_list(error)
            return
        inner = []
        for entry in entries:
            if self._is_folder(entry):
                if not entry.is_symlink():
                    inner.append(entry.path)
            elif may_be_ours(entry):
                path = self._paths.get((folder, entry.name))
                if path is None:
                    path = self._paths[folder, entry.name] = Path(entry.path)
                self._note_link(path, entry.is_symlink())
                yield path
        for each in inner:
            yield from self._listed(each)

    def _note_link(self, path: Path, is_link: bool) -> None:
        if is_link:
            self._links.add(path)
        elif self._links:
            self._links.discard(path)

    @staticmethod
    def _is_folder(entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError:
            return False  # as `os.walk` has it

    def _could_not_list(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self._unseen.add(Path(os.fsdecode(error.filename)))


def _file_of(path: Path) -> Path:
    """Returns the database that a write-ahead log belongs to, any other path as it is."""
    return path.with_name(path.name.removesuffix(WRITE_AHEAD)) if path.name.endswith(WRITE_AHEAD) else path


def _agent_kind(path: Path) -> str | None:
    """Says whether a file of another agent's is appended to, or written anew."""
    adapter = adapter_of(head_of(path, _HEAD_BYTES), str(path))
    if adapter is None or adapter.name in NOT_FOLLOWED:
        return None
    return "agent" if feed_name(adapter, path) == LINES else "document"
