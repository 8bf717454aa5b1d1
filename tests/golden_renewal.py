"""`make golden`: asks the real phi-core again what it makes of every input of the golden data, and renews the archive where it is told to.

Without `--renew` a difference ends with 1 and nothing is written. What is equal but for what Rust leaves random stays as it is, so that an
archive in which nothing changed is not written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from otel_phi.session.recorder import SessionRecorder
from tests.e2e.backends.build import cache
from tests.session.session_runs import Outcome, difference, first_difference, ordered
from tests.unpacked import AS_GZIP, DATA, members, pack

ARCHIVE = DATA / "golden" / "golden.tar.xz"
GENERATOR = DATA / "golden-generator"
_BOTH = ["--capture", "--streaming"]
_SESSIONS, _OUTCOME, _RICH = ".sessions.json", ".out.json", ".capture_streaming.out.json"

Json = Any
Files = dict[str, bytes]


class Case(NamedTuple):
    """Is an input of the recorder, and what the archive says of it.

    Attributes:
        file: the one that holds `expected`.
        place: its line there; 0 where it is the whole file.
        ops: events and operations.
        flags: of the recorder.
        expected: its outcome, or its sessions alone.
    """

    file: str
    place: int
    ops: list[Json]
    flags: list[str]
    expected: Json


def cases(files: Files) -> Iterator[Case]:
    """Yields all cases of phi-core 0.10."""
    for name, content in files.items():
        if name.startswith("eventlog/"):
            continue
        if name in AS_GZIP:
            for place, case in enumerate(_lines(content), 1):
                yield Case(name, place, case["ops"], case["flags"], case["expect"])
        elif name.endswith((_SESSIONS, _RICH)):
            flags = _BOTH if name.endswith(_RICH) else []
            events = files[f"{name.removesuffix(_SESSIONS).removesuffix(_RICH)}.events.jsonl"]
            yield Case(name, 0, [*_lines(events), {"op": "flush"}], flags, json.loads(content))
        elif name.endswith(_OUTCOME):
            yield Case(name, 0, _lines(files[name.replace(_OUTCOME, ".in.jsonl")]), [], json.loads(content))


def event_logs(files: Files) -> Iterator[Case]:
    """Yields the cases of phi-core 0.15: what it wrote to its event logs and to the agent's channel."""
    for name, begins in (
        ("eventlog/logs.sessions.json", "eventlog/logs/"),
        ("eventlog/channel.sessions.json", "eventlog/channel.ev"),
    ):
        ops = [line for other in sorted(files) if other.startswith(begins) for line in _lines(files[other])]
        yield Case(name, 0, [*ops, {"op": "flush"}], [], json.loads(files[name]))


def differs(case: Case, theirs: Json) -> str | None:
    """Returns where phi-core now says something else, None where nowhere."""
    if isinstance(case.expected, list):
        sessions = theirs if isinstance(theirs, list) else theirs["sessions"]
        return first_difference(ordered(case.expected), ordered(sessions))
    now = Outcome(theirs["sessions"], theirs["notes"], theirs["hooks"], [], SessionRecorder())
    return difference(now, case.expected, shuffled=case.place > 0)


def renewed(files: Files, case: Case, theirs: Json) -> bytes:
    """Returns the content of a case's file with what phi-core says now."""
    if case.place:
        lines = files[case.file].splitlines()
        line = {**json.loads(lines[case.place - 1]), "expect": theirs}
        lines[case.place - 1] = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()
        return b"\n".join(lines) + b"\n"
    said = theirs["sessions"] if isinstance(case.expected, list) and isinstance(theirs, dict) else theirs
    return json.dumps(said, indent=2, ensure_ascii=False).encode()


def build() -> Path:
    """Builds the generator and returns the folder of its programs."""
    target = cache() / "golden-generator"
    command = [
        "cargo",
        "build",
        "--locked",
        "--manifest-path",
        str(GENERATOR / "Cargo.toml"),
        "--target-dir",
        str(target),
    ]
    subprocess.run(command, check=True)
    return target / "debug"


def anew(programs: Path, files: Files) -> Files:
    """Returns the files with event logs that agents wrote just now."""
    kept = {
        name: content
        for name, content in files.items()
        if not name.endswith(".events.jsonl") or "eventlog/" not in name
    }
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([programs / "eventlog", "live", folder], check=True)
        written = sorted(Path(folder).rglob("*.jsonl"))
        kept |= {f"eventlog/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in written}
    return dict(sorted(kept.items()))


def ask(command: list[str], asked: list[Case]) -> list[Json]:
    """Returns what a recorder says of each case."""
    text = "".join(json.dumps({"flags": case.flags, "ops": case.ops}) + "\n" for case in asked)
    done = subprocess.run(command, input=text, capture_output=True, check=True, encoding="utf-8")
    return _lines(done.stdout.encode())


def main(arguments: list[str] | None = None) -> int:
    """Compares, and renews where told to; returns the exit code."""
    options = argparse.ArgumentParser(prog="make golden", description=__doc__)
    options.add_argument("--renew", action="store_true", help="write what differs into the archive")
    options.add_argument("--logs", action="store_true", help="run the agents that keep an event log anew")
    chosen = options.parse_args(arguments)
    programs = build()
    before = dict(members(ARCHIVE.read_bytes()))
    files = anew(programs, before) if chosen.logs else dict(before)
    found = 0
    for command, asked in (
        ([str(programs / "recorder")], list(cases(files))),
        ([str(programs / "eventlog"), "fold"], list(event_logs(files))),
    ):
        for case, theirs in zip(asked, ask(command, asked), strict=True):
            if (at := differs(case, theirs)) is not None:
                found += 1
                print(f"{case.file}{f' line {case.place}' if case.place else ''}: {at}", file=sys.stderr)  # noqa: T201
                files[case.file] = renewed(files, case, theirs)
        print(f"{len(asked)} cases asked of {command[0]}", file=sys.stderr)  # noqa: T201
    if chosen.renew and files != before:  # another version of xz may pack the same files otherwise
        ARCHIVE.write_bytes(pack(iter(sorted(files.items()))))
    print(f"{found} differ" + (", written" if found and chosen.renew else ""), file=sys.stderr)  # noqa: T201
    return 1 if found and not chosen.renew else 0


def _lines(text: bytes) -> list[Json]:
    return [json.loads(line) for line in text.split(b"\n") if line.strip()]


if __name__ == "__main__":
    sys.exit(main())
