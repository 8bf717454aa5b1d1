"""A watch says of each call whether its context was compacted as an export of the same files does, over kills and over files."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_phi.events import AgentEvent, CompactionEnded, CompactionStarted
from otel_phi.mapping import semconv as s
from tests.streams import LOOP, SESSION, at, end, said, start, turn, turn_end, whole_loop
from tests.watch.following import Following, append, exported, log_lines

COMPACTED: list[AgentEvent] = [
    start(0),
    turn(1),
    CompactionStarted(loop_id=LOOP, estimated_tokens=900, message_count=9, timestamp=at(2)),
    CompactionEnded(loop_id=LOOP, messages_before=9, messages_after=4, timestamp=at(4)),
    said(9),
    turn_end(10),
    end(11),
]
SECOND, THIRD = f"{SESSION}.mock.2", f"{SESSION}.mock.3"
STORY = [*COMPACTED, *whole_loop(20, SECOND, parent_loop_id=LOOP), *whole_loop(50, THIRD)]


def marks(following: Following) -> dict[object, object]:
    """Returns what each call says, by its loop."""
    return {
        span.get(s.LOOP_ID): span.get(s.COMPACTED)
        for span in following.end().values()
        if span.get(s.OPERATION) == "chat"
    }


@pytest.mark.parametrize("cut", range(1, len(STORY)))
def test_a_watch_that_is_killed_anywhere_says_the_same_as_an_export(cut: int, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    path, lines = tmp_path / "logs" / "a.jsonl", log_lines(STORY)
    following = Following(tmp_path / "logs", tmp_path / "state")
    append(path, b"".join(lines[:cut]))
    following.round()
    following.restart()
    append(path, b"".join(lines[cut:]))
    following.round()
    found = marks(following)
    assert found == {LOOP: True, SECOND: True, THIRD: True}
    wanted = [span for span in exported(path, final=True).values() if span.get(s.OPERATION) == "chat"]
    assert {span.get(s.LOOP_ID): span.get(s.COMPACTED) for span in wanted} == found


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("killed", [False, True])
def test_what_was_compacted_in_one_file_is_known_in_another(
    names: tuple[str, str], killed: bool, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    one, other = (tmp_path / "logs" / f"{name}.jsonl" for name in names)
    following = Following(tmp_path / "logs", tmp_path / "state")
    append(one, b"".join(log_lines(COMPACTED)))
    if killed:
        following.round()
        following.restart()
    append(other, b"".join(log_lines(STORY[len(COMPACTED) :])))
    following.round()
    assert marks(following) == {LOOP: True, SECOND: True, THIRD: True}
