"""What contents cost: redaction of clean text, all that is done at the door, the cut of a long conversation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from otel_phi.events import encode_event
from otel_phi.policy.capture import cutting
from otel_phi.policy.capture.rules import Capture
from otel_phi.policy.content import decode_without_content
from otel_phi.policy.options import ContentOptions
from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.redactor import Redactor
from tests import golden
from tests.policy.capture.stories import answers, raw, runs, says, words
from tests.streams import request, turn, turn_end

CORPUS = golden.SHARED / "data" / "content" / "clean_corpus.json"
_ROUNDS = 5
_TURNS_BEFORE = 50


class Rows(Protocol):
    """A table takes rows."""

    def add_row(self, *cells: str) -> None:
        """Adds one."""


def best_us(work: Callable[[], object]) -> float:
    """Returns the least microseconds of processor time of some rounds."""
    return min(_timed(work) for _ in range(_ROUNDS)) * 1e6


def _timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def bench_content(table: Rows) -> None:
    """Adds the rows of contents."""
    if CORPUS.exists():
        texts: list[str] = json.loads(CORPUS.read_text(encoding="utf-8"))
        kilobytes = sum(len(text.encode()) for text in texts) / 1_000
        took = best_us(lambda: _redacted(texts)) / kilobytes
        table.add_row("redaction of clean text, a kB", "", f"{took:.0f} µs", "", "<= 45 µs")
        lines, new = _turn(texts)
        capture = Capture(ContentOptions(capture=True), 32_768)
        plain = best_us(lambda: [decode_without_content(line) for line in lines])
        full = best_us(lambda: [capture.decode(line) for line in lines])
        table.add_row("contents at the door, a kB of new text", "", f"{(full - plain) / new:.0f} µs", "", "<= 60 µs")
        table.add_row(
            "policy of a turn, contents off and on", f"{plain:.0f} µs", f"{full:.0f} µs", f"{full / plain:.1f}x", ""
        )
    conversation = [{"role": "user", "parts": [cutting.text_part("word " * 1_090)]} for _ in range(40)]
    cut = best_us(lambda: cutting.cut_messages(conversation, 2_048))
    table.add_row("218 kB of messages cut to 2 KiB", "", f"{cut / 1_000:.2f} ms", "", "<= 1 ms")


def _redacted(texts: list[str]) -> None:
    redactor = Redactor()  # a new one remembers nothing
    for text in texts:
        redactor.text(text, "bench", Tally())


def _turn(texts: list[str]) -> tuple[list[bytes], float]:
    """Returns the lines of the 51st turn of a loop, and the kilobytes that are new in it."""
    answer, result = texts[5][:1_500], texts[60][:4_000]
    call: dict[str, Any] = {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {"cmd": "cat a.py"}}
    before = [
        message
        for number in range(_TURNS_BEFORE)
        for message in (
            {"role": "assistant", "content": [*words(answer), call]},
            {"role": "toolResult", "toolCallId": "c1", "toolName": "bash", "content": words(f"{number} {result}")},
        )
    ]
    events = [
        turn(1, 50),
        request(2, 50, messages=raw(before), system_prompt=raw("Be brief."), tools=raw([{"name": "bash"}])),
        says([*words(answer), call], 3, stop_reason="toolUse"),
        *runs("c1", call["arguments"], words(result)),
        answers("c1", words(result), 4),
        turn_end(5, 50),
    ]
    return [encode_event(event) for event in events], (len(answer.encode()) + len(result.encode())) / 1_000
