"""Other agents' files by session, and the sessions in the order in which they may claim calls: an original before its copies.

Rule 1: files of one `Group.key` are one session: its main files, then its sub-agents'.
Rule 2: sessions stand by the time in their header, then by path; one that says what it was forked from stands after that.
Rule 3: where files that begin with the same record say neither, the one whose own records, those that no other has, begin first is the
        original; one without any is the oldest.
Rule 4: a file that another's records name, as a sub-agent's or as what continues it, is one of that session's; its records come after
        those that name it.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from otel_phi.sources.agents.adapter import Adapter, Group, Reference
from otel_phi.sources.agents.reading import instant
from otel_phi.sources.agents.registry import adapter_of
from otel_phi.sources.lines import chunks, open_lines, read_lines

HEAD_BYTES = 1 << 20  # a Codex session's first line holds its instructions
# So many files of a folder are looked at for the original of one that was given alone.
MAX_NEIGHBOURS = 2_000
_PLAIN = re.compile(r"[A-Za-z0-9_-]{8,128}")  # a session id that is a folder's name, and no way to another place
_SUFFIXES = (".json", ".jsonl")
Records = Callable[[], Iterator[tuple[int, bytes]]]
_UUID_AND_TIME = re.compile(rb'"(uuid|timestamp)":\s*"([^"]{1,64})"')


class AgentFile(msgspec.Struct, frozen=True):
    """An agent file is a file of another agent's records.

    Attributes:
        path: where it is.
        adapter: its format.
        group: where it belongs.
        size_bytes: its length.
        written_ns: when it was last written to.
        records: returns its records with their positions, where it is no file of lines, see `agent_stores`; None where it is.
        call_id: the tool call that started it, where another file's records say that; "" else.
        loop_id: the loop that did, in the same way.
        referred: whether another file's records name it.
    """

    path: Path
    adapter: Adapter
    group: Group
    size_bytes: int
    written_ns: int
    records: Records | None = None
    call_id: str = ""
    loop_id: str = ""
    referred: bool = False


class AgentSession(msgspec.Struct, frozen=True):
    """An agent session is a session's files."""

    key: tuple[str, str]
    mains: tuple[AgentFile, ...]
    children: tuple[AgentFile, ...]

    @property
    def files(self) -> tuple[AgentFile, ...]:
        """All of its files, main files first."""
        return self.mains + self.children

    @property
    def written_ns(self) -> int:
        """When it was last written to."""
        return max(file.written_ns for file in self.files)

    @property
    def first(self) -> AgentFile:
        """The file by which it is ordered."""
        return self.files[0]


def head_of(path: Path, size: int = HEAD_BYTES) -> bytes:
    """Returns the first bytes of a file, unzipped where need be, without a byte order mark.

    Args:
        path: the file.
        size: how many bytes at most.

    Raises:
        OSError: it cannot be read.
    """
    found: list[bytes] = []
    with open_lines(path) as stream:
        for chunk in chunks(stream):
            found.append(chunk)
            if sum(map(len, found)) >= size:
                break
    return b"".join(found)[:size].removeprefix(b"\xef\xbb\xbf")


def agent_file(path: Path, adapter: Adapter, head: bytes | None = None) -> AgentFile:
    """Looks at a file of a format that is known.

    Args:
        path: the file.
        adapter: its format.
        head: its first bytes, None to read them.

    Raises:
        OSError: it cannot be read.
    """
    facts = path.stat()
    group = adapter.group(str(path), head_of(path) if head is None else head)
    if group.document:
        group = adapter.group(str(path), document_of(path))
    return AgentFile(path, adapter, group, facts.st_size, facts.st_mtime_ns)


def document_of(path: Path) -> bytes:
    """Returns all of a file, unzipped where need be, without a byte order mark.

    Raises:
        OSError: it cannot be read.
    """
    with open_lines(path) as stream:
        try:
            plain = isinstance(stream, io.BufferedReader)  # whose own read would hold the file twice
            return (path.read_bytes() if plain else stream.read()).removeprefix(b"\xef\xbb\xbf")
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return b""  # broken off: no document


def adopted(files: Iterable[AgentFile]) -> list[AgentFile]:
    """Returns files, those that others' records name as their sub-agents' or as what continues them."""
    given = sorted(files, key=lambda file: str(file.path))
    beside = {str(file.path): file for file in given}
    named = {(file.adapter.name, name): file for file in given for name in file.group.names}
    parents: dict[Path, tuple[AgentFile, Reference]] = {}
    for file in given:
        for reference in file.group.refers:
            found = beside.get(str(file.path.with_name(Path(reference.file).name))) if reference.file else None
            ids = ((file.adapter.name, name) for name in reference.names)
            child = found or next((named[name] for name in ids if name in named), None)
            if child is not None and child is not file:
                parents.setdefault(child.path, (file, reference))
    return [_adopted(file, parents) for file in given]


def _adopted(file: AgentFile, parents: dict[Path, tuple[AgentFile, Reference]]) -> AgentFile:
    if file.path not in parents:
        return file
    (parent, reference), passed = parents[file.path], {file.path}
    part = 1
    while parent.path in parents and parent.path not in passed:
        passed.add(parent.path)
        parent, above_it = parents[parent.path]
        part += above_it.continues
    group = msgspec.structs.replace(file.group, key=parent.group.key)
    if reference.continues:
        group = msgspec.structs.replace(group, part=group.part or part)
    else:
        group = msgspec.structs.replace(group, main=False, agent_id=file.path.name)
    return msgspec.structs.replace(
        file, group=group, call_id=reference.call_id, loop_id=reference.loop_id, referred=True
    )


def in_order(
    files: Iterable[AgentFile], own_times: Callable[[list[Path]], list[int]] | None = None
) -> list[AgentSession]:
    """Returns the sessions of some files, in the order in which they are to be read.

    Args:
        files: their files.
        own_times: `own_times_of`, from whoever remembers what it gave; None to read the files.
    """
    by_key: dict[tuple[str, str], list[AgentFile]] = {}
    files = _of_roots(adopted(files))
    for file in sorted(files, key=lambda file: (not file.group.main, file.group.part, str(file.path))):
        by_key.setdefault((file.adapter.name, file.group.key), []).append(file)
    sessions = [
        AgentSession(
            key, tuple(one for one in some if one.group.main), tuple(one for one in some if not one.group.main)
        )
        for key, some in by_key.items()
    ]
    sessions.sort(key=lambda session: (not session.mains, session.first.group.started_ns, str(session.first.path)))
    return _after_their_origins(_lineages_in_order(sessions, own_times or own_times_of))


def _of_roots(files: Iterable[AgentFile]) -> list[AgentFile]:
    """Returns files, those of a sub-agent's sub-agents in its root's session."""
    given = list(files)
    keys = {(file.adapter.name, file.group.agent_id): file.group.key for file in given if file.group.agent_id}
    found = []
    for file in given:
        key, passed = file.group.key, set[str]()
        while (above := keys.get((file.adapter.name, key))) is not None and key not in passed:
            passed.add(key)
            key = above
        same = key == file.group.key
        found.append(
            file if same else msgspec.structs.replace(file, group=msgspec.structs.replace(file.group, key=key))
        )
    return found


def _after_their_origins(sessions: list[AgentSession]) -> list[AgentSession]:
    known = {session.key: session for session in sessions}
    placed: dict[tuple[str, str], AgentSession] = {}

    for session in sessions:
        chain = [session]
        while (origin := (chain[-1].key[0], chain[-1].first.group.forked_from)) in known:
            if origin in placed or known[origin] in chain:
                break
            chain.append(known[origin])
        for one in reversed(chain):
            placed.setdefault(one.key, one)
    return list(placed.values())


def _lineages_in_order(
    sessions: list[AgentSession], own_times: Callable[[list[Path]], list[int]]
) -> list[AgentSession]:
    """Puts sessions that begin with the same record in order, each set into the places that it had."""
    sets: dict[tuple[str, str], list[int]] = {}
    for number, session in enumerate(sessions):
        group = session.first.group
        if group.first_id and not group.started_ns:
            sets.setdefault((session.key[0], group.first_id), []).append(number)
    for numbers in sets.values():
        if len(numbers) > 1:
            some = [sessions[number] for number in numbers]
            own = own_times([session.first.path for session in some])
            order = sorted(range(len(some)), key=lambda at: (own[at], str(some[at].first.path)))
            for number, at in zip(numbers, order, strict=True):
                sessions[number] = some[at]
    return sessions


def own_times_of(paths: list[Path]) -> list[int]:
    """Returns when the records that each file has alone begin, -1 for a file without any."""
    records = [_records(path) for path in paths]
    holders: dict[bytes, int] = {}
    for found in records:
        for uuid in found:
            holders[uuid] = holders.get(uuid, 0) + 1
    return [next((at for uuid, at in found.items() if holders[uuid] == 1), -1) for found in records]


def _records(path: Path) -> dict[bytes, int]:
    """Returns the ids of a file's records with their times, in their order."""
    found: dict[bytes, int] = {}
    with contextlib.suppress(OSError), open_lines(path) as stream:  # whoever reads its records says so
        for block in read_lines(stream):
            for line in block.lines:
                pairs = dict(reversed(_UUID_AND_TIME.findall(line)))
                if b"uuid" in pairs:
                    found.setdefault(pairs[b"uuid"], instant(pairs.get(b"timestamp", b"").decode("ascii", "replace")))
    return found


def with_children(file: AgentFile, cannot_read: Callable[[Path, OSError], None]) -> list[AgentFile]:
    """Returns a file, and its sub-agents' where they lie in the folder of its name, or of its session's.

    Args:
        file: the file.
        cannot_read: called with a sub-agent's file that cannot be read.
    """
    if not file.group.main:
        return [file]
    paths = sorted((file.path.with_suffix("") / "subagents").rglob("*.jsonl"))
    if _PLAIN.fullmatch(file.group.key):
        paths += sorted(file.path.with_name(file.group.key).glob("*.jsonl"))
    found = [file]
    for inner in paths:
        try:
            adapter = adapter_of(head_of(inner), str(inner))
            if adapter is not None:
                found.append(agent_file(inner, adapter))
        except OSError as error:  # noqa: PERF203  # a file takes longer
            cannot_read(inner, error)
    return found


def without_converted(sessions: list[AgentSession]) -> list[AgentSession]:
    """Returns sessions, without those that were converted from records that are among them too: these would count twice."""
    originals = {one.key[1] for one in sessions if not one.first.group.converted}
    return [one for one in sessions if not one.first.group.converted or one.key[1] not in originals]


def originals_of(sessions: list[AgentSession], given: set[Path]) -> list[AgentSession]:
    """Returns the sessions beside those given whose history they begin with."""
    firsts = {(session.key[0], session.first.group.first_id) for session in sessions if session.first.group.first_id}
    forks = {(session.key[0], session.first.group.forked_from) for session in sessions}
    found = []
    for folder in {session.first.path.parent for session in sessions if session.first.records is None}:
        beside = (path for path in sorted(folder.glob("*.json*")) if path.suffix in _SUFFIXES)
        for path in islice(beside, MAX_NEIGHBOURS):
            if path in given or not path.is_file():
                continue
            file = _neighbour(path)
            if file is None:
                continue
            name, group = file.adapter.name, file.group
            if (name, group.key) in forks or (name, group.first_id or group.known_as) in firsts:
                found.append(file)
    return in_order(found)


def _neighbour(path: Path) -> AgentFile | None:
    """Looks at a file that nobody asked for: one that cannot be read is none."""
    with contextlib.suppress(OSError):
        adapter = adapter_of(head_of(path), str(path))
        return None if adapter is None else agent_file(path, adapter)
    return None
