"""Sessions on disk, one file each, as phi-core lays them out: `{folder}/{session_id}.json`.

Rule 1: a reader sees the old file or the new one, never half of one: written beside it, fsynced, renamed.
Rule 2: a session id becomes a file name only if it cannot be anything else; any other becomes a hash of it.
Rule 3: a file is read whatever phi-core wrote it; one that ends too early is looked at once more, as phi-core's own
        `save_session` writes in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from otel_phi.errors import DecodeError, SourceError
from otel_phi.session.canonical import narrowest
from otel_phi.session.model import Session
from otel_phi.session.reading import NotASession, read_session

# What every file system takes as it is: 128 characters stay far below the 255 bytes that are common.
_SAFE_ID = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}", re.ASCII)
_HASH_BYTES = 16  # no two ids of one folder meet by chance, and 32 hex digits are still a name
_WRITER_PAUSE_S = 0.05  # a writer that is at it needs milliseconds; phi-core retries its own lock at this pace


def session_file_name(session_id: str) -> str:
    """Returns the name of a session's file: the id and `.json` where that is safe, else a hash of the id.

    An id of letters, digits, `.`, `_` and `-` that does not begin with a dot and has at most 128 characters is safe.
    """
    if _SAFE_ID.fullmatch(session_id):
        return f"{session_id}.json"
    return hashlib.blake2b(session_id.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest() + ".json"


def save_session(session: Session, folder: str | os.PathLike[str], *, events: bool = True) -> Path:
    """Writes a session into a folder, which is made if need be, in place of an older file of the same id.

    Args:
        session: what to write.
        folder: where.
        events: with the events of each loop, as phi-core up to 0.13; without, as 0.14 and newer.

    Returns:
        The file: JSON in UTF-8, two spaces a level, no newline at the end.

    Raises:
        SourceError: the folder or the file cannot be written, or the session holds JSON nested hundreds of levels deep; the
            message names the file. No half-written file is left.
    """
    target = Path(folder) / session_file_name(session.session_id)
    try:
        text = msgspec.json.format(msgspec.json.encode(_narrowed(session.to_dict(events=events))), indent=2)
    except RecursionError:  # hundreds of levels; phi-core reads 128
        raise SourceError(f"{target}: cannot be written: the session holds JSON that is nested too deeply") from None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, text)
    except OSError as error:
        raise SourceError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target


def load_session(path: str | os.PathLike[str]) -> Session:
    """Reads a saved session of any version of phi-core.

    Args:
        path: its file.

    Returns:
        The session, in today's spelling.

    Raises:
        SourceError: the file cannot be read.
        DecodeError: the file holds no session; the message names the file and the place in its JSON.
    """
    path = Path(path)
    try:
        return _read(path)
    except NotASession as error:
        if not error.cut_off:
            raise DecodeError(_no_session(path, error)) from None
    time.sleep(_WRITER_PAUSE_S)
    try:
        return _read(path)
    except NotASession as error:
        raise DecodeError(_no_session(path, error)) from None


def _narrowed(printed: dict[str, Any]) -> dict[str, Any]:
    """Writes each temperature as phi-core's files have it: the shortest number that means the same 32 bits."""
    for record in printed["loops"]:
        inner = [event["event"] for event in record.get("events", ())]
        holders = [record["config"], *(turn.get("request_payload") for turn in record["turns"])]
        holders += [event.get(key) for event in inner for key in ("config_snapshot", "payload")]
        for holder in holders:
            if isinstance(holder, dict) and isinstance(holder.get("temperature"), float):
                holder["temperature"] = narrowest(holder["temperature"])
    return printed


def _no_session(path: Path, error: NotASession) -> str:
    return f"{path}: not a saved session: {error}. Give a file that phi-core or `save_session` wrote."


def _read(path: Path) -> Session:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    return read_session(text)


def _replace(target: Path, text: bytes) -> None:
    # No reader takes it for a session: its suffix is not `.json`. Two writers do not meet, not even those of two containers that are both process 1.
    beside = target.with_name(f"{target.name}.tmp.{os.getpid()}.{secrets.token_hex(8)}")
    file = beside.open("xb")  # not ours to remove, where it cannot be made
    try:
        with file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    _settle(target.parent)


def _settle(folder: Path) -> None:
    """Makes the rename itself durable, where the platform can open folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
