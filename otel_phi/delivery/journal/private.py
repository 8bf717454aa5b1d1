"""Private places: folders, files and names that belong to this user alone.

Rule 1: a folder that others may write to, or own, is refused, never mended: whoever made it may have put files there.
Rule 2: a state folder that is not this user's own (a volume of a container, say) gets a private folder inside.
Rule 3: a name never tells a secret. Headers are hashed with a key that stays in the state folder: without it a token
cannot be guessed from a file's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

_KEY_FILE = "key"
_KEY_BYTES = 32
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag
_PROCESS_KEY = secrets.token_bytes(_KEY_BYTES)


class FolderError(OSError):
    """Says why a folder is not private."""


def where_state_is(state_dir: Path) -> Path:
    """Returns the folder that `state_folder` would return, for whoever only reads: nothing is made or changed."""
    try:
        found = state_dir.stat()
    except OSError:
        return state_dir
    return state_dir if _is_own(found) else state_dir / str(os.geteuid())


def _is_own(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & stat.S_IWOTH)


def state_folder(state_dir: Path) -> tuple[Path, str]:
    """Returns the folder that state is kept in: the one asked for, or a private one inside it.

    A folder is used as it is where it belongs to this user and not everyone may write to it. A volume that is root's, and
    the process's group or everyone may write to, gets a folder named after the user's number.

    Args:
        state_dir: the folder asked for; made if it is not there.

    Returns:
        The folder, and a warning for the log where others could put another in its place, "" where they cannot.

    Raises:
        FolderError: there is something of that name inside that is not this user's own.
        OSError: it cannot be made.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = state_dir.stat()
    if _is_own(found):
        return state_dir, ""
    inner = state_dir / str(os.geteuid())
    inner.mkdir(mode=0o700, exist_ok=True)
    own = inner.lstat()
    if not stat.S_ISDIR(own.st_mode):
        raise FolderError(f"{inner} is no folder of its own (a link?)")
    if own.st_uid != os.geteuid():
        raise FolderError(f"{inner} belongs to another user (uid {own.st_uid})")
    if stat.S_IMODE(own.st_mode) & 0o077:
        inner.chmod(0o700)
    return inner, _replaceable(state_dir, found)


def _replaceable(folder: Path, found: os.stat_result) -> str:
    """Returns a warning where others may rename what lies in a folder: its owner, and without the sticky bit all who write."""
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    if not others and found.st_uid in (0, os.geteuid()):
        return ""
    mode = stat.S_IMODE(found.st_mode)
    return (
        f"{folder} belongs to uid {found.st_uid} and has mode {mode:o}: others could replace what is kept in it; "
        "state lies in a private folder inside"
    )


def make_folder(folder: Path) -> None:
    """Makes a folder of the state folder for this user alone, or checks that it is, and the state folder and its key.

    Raises:
        FolderError: one belongs to someone else, or others may write to it.
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise FolderError(f"{folder} is no folder of its own (a link?)")
    _check(folder, found, stat.S_IWGRP | stat.S_IWOTH)
    # The state folder may be one that a person made, for a group to read and write. Everyone is too many.
    _check(folder.parent, folder.parent.stat(), stat.S_IWOTH)
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    with contextlib.suppress(FileNotFoundError):
        check_file(folder.parent / _KEY_FILE)


def make_folders(folder: Path) -> None:
    """Makes a folder and those it lies in, where they are missing, each for this user alone.

    Raises:
        OSError: one cannot be made.
    """
    if not folder.parent.exists():
        make_folders(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def check_file(path: Path) -> None:
    """Checks that a file is this user's own, and nobody else's to write.

    Raises:
        FolderError: it is a link or no file, belongs to someone else, or others may write to it.
        OSError: it cannot be looked at.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise FolderError(f"{path} is no file of its own (a link?)")
    _check(path, found, stat.S_IWGRP | stat.S_IWOTH)


def _check(path: Path, found: os.stat_result, others: int) -> None:
    if not hasattr(os, "geteuid"):
        return
    if found.st_uid != os.geteuid():
        raise FolderError(f"{path} belongs to another user (uid {found.st_uid})")
    if found.st_mode & others:
        whom = "everyone" if found.st_mode & stat.S_IWOTH else "its group"
        raise FolderError(f"{path} can be written to by {whom} (mode {stat.S_IMODE(found.st_mode):o})")


def make_file(path: Path) -> None:
    """Makes an empty file that only this user can read; SQLite would make it readable for everyone.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NO_FOLLOW, 0o600))


def destination_name(state_dir: Path, destination: str, headers: Iterable[tuple[str, str]], *facts: str) -> str:
    """Returns a name for a destination, 32 hexadecimal digits, the same in every process that shares the state folder.

    Args:
        state_dir: the state folder.
        destination: the endpoint.
        headers: static headers; another tenant is another destination.
        *facts: what else tells it apart.
    """
    name = hashlib.blake2b(digest_size=16, key=_folder_key(state_dir))
    for part in (destination, *(f"{key}={value}" for key, value in sorted(headers)), "", *facts):
        encoded = part.encode("utf-8", "surrogatepass")
        name.update(len(encoded).to_bytes(8, "big") + encoded)
    return name.hexdigest()


def _folder_key(state_dir: Path) -> bytes:
    """Returns the state folder's random key, made at first use; where it cannot be kept, one for this process."""
    path = state_dir / _KEY_FILE
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_key(path)
        check_file(path)  # what is no file, a pipe say, is never opened
        key = path.read_bytes()
        return key if len(key) == _KEY_BYTES else _PROCESS_KEY
    except OSError:
        return _PROCESS_KEY


def _write_key(path: Path) -> None:
    """Writes a key beside its name, then links it: nobody reads half a key, and of two writers the first wins."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    make_file(part)
    try:
        part.write_bytes(secrets.token_bytes(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
