"""The folder: which files are there, which have changed, and what became of those that are there no more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from otel_phi.sources.kinds import Kind, kind_of
from otel_phi.sources.stored import NothingHere, may_be_ours
from otel_phi.sources.tail import Look, look_at


class Folder:
    """Is the set of paths that are watched.

    Args:
        paths: files and folders; they need not be there yet, but the folder above them must.

    Raises:
        NothingHere: neither a path nor the folder above it is there.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.roots = tuple(Path(os.path.abspath(path)) for path in paths)  # noqa: PTH100  # links stay what they are
        self._other: dict[Path, Look] = {}
        for root in self.roots:
            if not root.exists() and not root.parent.is_dir():
                raise NothingHere(
                    f"{root}: neither this nor the folder above it exists; give the folder the agent writes to"
                )

    @property
    def there(self) -> tuple[Path, ...]:
        """Those of the paths that exist."""
        return tuple(root for root in self.roots if root.exists())

    @property
    def lone_files(self) -> set[Path]:
        """The paths that are files: one that is replaced is told by a look alone."""
        return {root for root in self.roots if not root.is_dir()}

    def holds(self, path: Path) -> bool:
        """Says whether a path is one of those watched, or within."""
        return any(path == root or root in path.parents for root in self.roots)

    def all(self) -> Iterator[tuple[Path, Look]]:
        """Yields the files that are there, in order of name."""
        for root in self.roots:
            for path in _within(root):
                if (look := look_at(path)) is not None:
                    yield path, look

    def changed(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Look]]:
        """Yields those of some paths that are files and watched."""
        for path in sorted(set(paths)):
            if self.holds(path) and may_be_ours(path) and (look := look_at(path)) is not None:
                yield path, look

    def kind(self, path: Path, look: Look) -> Kind | None:
        """Says what a file is; None where it cannot be read, or was looked at before and is nothing of ours."""
        if self._other.get(path) == look:
            return None
        try:
            kind = kind_of(path)
        except OSError:
            return None
        if kind in ("events", "session"):
            self._other.pop(path, None)
            return kind
        self._other[path] = look
        return None


def _within(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        if root.is_file():
            yield root
        return
    for folder, inner, names in os.walk(root):
        inner.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if may_be_ours(path):
                yield path
