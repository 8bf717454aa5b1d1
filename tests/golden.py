"""Golden data, printed by the real phi-core: packed in `tests/data/golden`, whose README tells what it is and how it is renewed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_phi.events import AgentEvent, Undecodable, decode_event
from tests.unpacked import DATA, unpacked

PROJECT = Path(__file__).resolve().parents[1]
SHARED = (
    PROJECT.parent / "shared"
)  # what may not be in the repository, or is too large for it; most checkouts are without
FOLDER = unpacked("golden", beside=SHARED / "golden")
WHY_ABSENT = f"SKIPPED, NOT PASSED: golden data of the real phi-core is not in {DATA / 'golden'}"
present = (FOLDER / "live").is_dir()
needed = pytest.mark.skipif(not present, reason=WHY_ABSENT)

DEMO = PROJECT / "otel_phi" / "demo.jsonl"
DEMO_LOGS = PROJECT / "tests" / "data" / "demo-logs"


def scenarios() -> list[str]:
    """Returns the names of the live scenarios, none where golden data is absent."""
    return sorted(path.name.removesuffix(".events.jsonl") for path in (FOLDER / "live").glob("*.events.jsonl"))


def scenario(name: str) -> list[AgentEvent]:
    """Returns the events of a live scenario."""
    return lines_to_events((FOLDER / "live" / f"{name}.events.jsonl").read_bytes())


def edge(name: str) -> list[AgentEvent]:
    """Returns the events of the edge case whose name begins so, without its operations."""
    (path,) = (FOLDER / "edge").glob(f"{name}_*.in.jsonl")
    return lines_to_events(path.read_bytes())


def demo() -> list[AgentEvent]:
    """Returns the events of the bundled demo stream; it is always there."""
    return lines_to_events(DEMO.read_bytes())


def lines_to_events(text: bytes) -> list[AgentEvent]:
    """Returns the events of some lines; operations of the golden cases (`{"op": ...}`) are left out."""
    found = [decode_event(line) for line in text.split(b"\n") if line.strip() and not line.startswith(b'{"op"')]
    return [event for event in found if not isinstance(event, Undecodable)]


def small_streams() -> dict[str, list[AgentEvent]]:
    """Returns every stream that is small, by name: the demo, live, edge, conformance, and the channel of the event logs."""
    found = {"demo": demo()}
    for path in sorted(FOLDER.glob("live/*.events.jsonl")):
        found[path.name] = lines_to_events(path.read_bytes())
    for path in sorted([*FOLDER.glob("edge/*.in.jsonl"), *FOLDER.glob("conformance/*.in.jsonl")]):
        found[path.name] = lines_to_events(path.read_bytes())
    for path in sorted(FOLDER.glob("eventlog/channel.events.jsonl")):
        found[path.name] = lines_to_events(path.read_bytes())
    return found


def random_streams(name: str) -> Iterator[tuple[str, list[AgentEvent]]]:
    """Yields the 200 streams of `recorder_cases` or `recorder_wild`, by name."""
    with gzip.open(FOLDER / f"{name}.jsonl.gz") as lines:
        for line in lines:
            case: dict[str, Any] = json.loads(line)
            events = [decode_event(json.dumps(op)) for op in case["ops"] if "op" not in op]
            yield case["name"], [event for event in events if not isinstance(event, Undecodable)]
