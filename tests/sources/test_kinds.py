"""What a file is, its content says: key order, byte order mark, compression and name do not matter."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from otel_phi.events import encode_event
from otel_phi.sources.kinds import Kind, kind_of
from tests import golden
from tests.streams import start, turn

START, TURN = encode_event(start(0)), encode_event(turn(1))
SORTED = json.dumps(json.loads(START), sort_keys=True).encode()
LOGGED = b'{"ordinal":1,"event":%s}' % START
SESSION = b'{\n  "session_id": "s",\n  "agent_id": "a",\n  "loops": []\n}'
HUGE = START[:-1] + b',"more":"' + b"x" * 100_000 + b'"}'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (START, "events"),
        (LOGGED, "events"),
        (SORTED, "events"),
        (json.dumps({"event": json.loads(START), "ordinal": 1}).encode(), "events"),
        (b"\xef\xbb\xbf" + START, "events"),
        (b"\xef\xbb\xbf" + SESSION, "session"),
        (b"data: " + START + b"\n\n", "events"),
        (b":\nevent: x\ndata: " + START + b"\n\n", "events"),
        (b"starting the agent...\n" + START + b"\n", "events"),
        (START[:30] + START + b"\n" + TURN + b"\n", "events"),
        (HUGE, "events"),
        (b'{"ordinal":1,"event":' + HUGE + b"}", "events"),
        (b'{"type":"Dreamt","loop_id":"l"}', "events"),
        (SESSION, "session"),
        (b"", "empty"),
        (b" \n\n\t", "empty"),
        (b"{}", "json"),
        (b'{"name":"package"}', "json"),
        (b"[1, 2]", "json"),
        (b'{"type":"FeatureCollection","features":[]}', "json"),
        (b'{"type":"message","id":"pi"}\n{"type":"message"}', "other"),
        (b"just words", "other"),
        (b"\x00\x01\x02", "other"),
        (b"{" * 5_000, "other"),
        (START[:30], "other"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_is_what_its_content_says(content: bytes, kind: Kind, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert kind_of(path) == kind


def test_a_gzip_file_still_being_written_is_told_from_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    whole = gzip.compress(golden.DEMO.read_bytes())
    path.write_bytes(whole[: len(whole) // 2])
    assert kind_of(path) == "events"


@pytest.mark.parametrize(
    "damaged", [b"\x1f\x8b", b"\x1f\x8bgarbage garbage", gzip.compress(START, mtime=0)[:12] + b"\xff" * 40]
)
def test_a_damaged_gzip_file_is_no_event_file_and_raises_nothing(damaged: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(damaged)
    assert kind_of(path) == "other"


@golden.needed
@pytest.mark.parametrize("pattern", ["live/*.events.jsonl", "eventlog/**/*.jsonl", "conformance/*.in.jsonl"])
def test_every_golden_stream_is_known(pattern: str) -> None:
    found = {path.name: kind_of(path) for path in golden.FOLDER.glob(pattern)}
    assert set(found.values()) == {"events"}
