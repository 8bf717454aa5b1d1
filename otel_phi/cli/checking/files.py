"""A check of files and folders: each event where it stands, and then the spans that would be sent of all of them.

    file ─ places ─▶ event, place ─▶ StreamCheck, secrets
    all  ─ Stored ─▶ events in one stream ─ pipeline ─▶ spans ─▶ SizeCheck

Other agents' sessions are read once, by the second way: it knows where each event stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from otel_phi.cli.checking.findings import Findings, Place
from otel_phi.cli.checking.places import Placed, add_bad, lines_of, loops_of
from otel_phi.cli.checking.sizes import SizeCheck
from otel_phi.cli.checking.stream import StreamCheck
from otel_phi.clock import wall_ns
from otel_phi.pipeline import Pipeline, mapping_for, policy_for
from otel_phi.policy.capture.check import SecretSearch
from otel_phi.policy.door import sees_content
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.kinds import kind_of
from otel_phi.sources.reader import BadLine
from otel_phi.sources.stored import Stored

if TYPE_CHECKING:
    from otel_phi.config import Config


class FileCheck(msgspec.Struct, frozen=True):
    """A file check is what was found in files, and how much was looked at.

    Attributes:
        findings: what was found.
        files: how many files were read.
        sessions: how many sessions they hold.
        spans: how many spans would be sent.
        otlp_bytes: their size before compression.
    """

    findings: Findings
    files: int
    sessions: int
    spans: int
    otlp_bytes: int


class _Checks:
    """What every event goes through, wherever it was read."""

    def __init__(self, findings: Findings, now_ns: int, *, secrets: bool) -> None:
        self._findings, self._now_ns = findings, now_ns
        self._secrets = SecretSearch() if secrets else None

    def stream(self) -> StreamCheck:
        return StreamCheck(self._findings, self._now_ns)

    def take(self, stream: StreamCheck, placed: Placed) -> None:
        stream.take(*placed)
        if self._secrets is not None:
            for (kind, where), count in self._secrets.in_event(placed.event).items():
                self._findings.add("secret", f"{kind} in {where}", placed.place, count=count)


def check_files(paths: Iterable[Path], config: Config) -> FileCheck:
    """Checks files and folders.

    Args:
        paths: as `Stored` takes them.
        config: what would be sent of them; secrets are looked for where contents may leave.

    Raises:
        NothingHere: a path holds no sessions.
    """
    findings, now_ns = Findings(), wall_ns()
    checks = _Checks(findings, now_ns, secrets=config.capture_content)
    policy = policy_for(config)
    heard = _Heard(findings)
    stored = Stored(paths, final=True, on_bad_line=heard, content=sees_content(policy))
    heard.only = frozenset(str(path) for path in stored.agents.files)
    _add_files(findings, stored, heard)
    of_agents = set(stored.agents.files)
    for path in (path for path in stored.files if path not in of_agents):
        stream = checks.stream()
        for placed in (loops_of if kind_of(path) == "session" else lines_of)(path, findings.add):
            checks.take(stream, placed)
        stream.finish()
    pipeline = Pipeline(mapping_for(config, config.service_name), ahead_of(stored.starts), policy=policy)
    sizes = SizeCheck(findings, config.profile, now_ns)
    agents = checks.stream()
    for event in stored.events():
        if stored.agents.place is not None:
            file, line = stored.agents.place
            whole = "" if line else f"loop {getattr(event, 'loop_id', None) or 'of none'}"
            checks.take(agents, Placed(event, Place(str(file), line, whole), []))
        for span in pipeline.feed(event):
            sizes.add(span)
    agents.finish()
    for span in pipeline.finish():
        sizes.add(span)
    sizes.finish()
    return FileCheck(findings, len(stored.files), len(sizes.sessions), sizes.spans, sizes.bytes)


class _Heard:
    """Takes what the reading of all files reports; what the reading with places tells itself is left to it."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.only: frozenset[str] | None = None  # None while files are looked for
        self.files: set[str] = set()

    def __call__(self, bad: BadLine) -> None:
        if self.only is None:
            self.files.add(bad.source)
        if self.only is None or bad.source in self.only:
            add_bad(self._findings.add, bad)


def _add_files(findings: Findings, stored: Stored, heard: _Heard) -> None:
    if stored.repeated_loops:
        findings.add("loop-twice", "loops in more than one file", count=stored.repeated_loops)
    for path in stored.ignored:
        if str(path) not in heard.files:
            findings.add("file-left-out", "files without sessions", Place(str(path)))
