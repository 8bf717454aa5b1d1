"""What a lost process held open is told exactly, whatever was written, sent and let go before: a model beside the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from otel_phi.delivery.outbox import LOCK_SUFFIX, Outbox
from otel_phi.delivery.outbox_recovery import abort_open
from otel_phi.delivery.rows import Change, change_of, open_row_of, row_of, span_key_of
from otel_phi.delivery.statements import SLICE_ROWS

from otel_phi.delivery import outbox_schema
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.otlp.decode import decode_spans
from otel_phi.delivery.otlp.encoder import Encoder
from tests.delivery.live_agent import START, TRACE, opened, work
from tests.delivery.samples import RESOURCE

LOOP = 1
# What happens to a turn (by its number): it opens, it closes with its span and a child's, a child's span alone comes; and
# to the oldest rows: they were acknowledged. The flag: whether rows tell what they close, or it is written at once.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "child", "settle", "bury", "fold"]),
        st.integers(2, 5),
        st.integers(1, 90),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_lost_process_s_open_rows_are_those_of_the_model(steps: list[tuple[str, int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sqlite3"
        model = _model(path)
        model.open(LOOP, 0)
        for what, number, length, told in steps:
            model.step(what, number, length, told)
        assert model.outbox.rows == len(model.waiting)
        model.outbox._connection.close()  # the process is lost
        assert _aborted(path, model.encoder, {key for _, key in model.waiting}) == {
            **model.ends,
            LOOP: max(model.ends.values()),  # not before what is open below it
        }


def test_after_a_long_outage_what_rows_say_is_written_in_slices_and_never_all_at_once(tmp_path: Path) -> None:
    """The agent waits for the lock while rows leave: 100 turns that waited must not be caught up with under one hold."""
    model = _model(tmp_path / "a.sqlite3")
    model.open(LOOP, 0)
    for _ in range(100):
        model.step("open", 2, 1, told=True)
        model.step("close", 2, 1, told=True)
    assert model.held_open() == 101
    assert model.outbox.delete([model.waiting[0][0]])
    assert model.held_open() == 100
    held = []
    while model.outbox.fold():
        held.append(model.held_open())
    assert held[0] == 100 - SLICE_ROWS
    assert held == sorted(held, reverse=True)
    assert model.held_open() == 1


def _model(path: Path) -> _Model:
    lock = filelock.acquire(path.with_suffix(LOCK_SUFFIX))
    assert lock is not None
    encoder = Encoder(RESOURCE)
    return _Model(Outbox(path, lock, outbox_schema.create(path), encoder.envelope), encoder)


class _Model:
    """Does to an outbox what it remembers in plain words: what is open with its latest end, and which rows wait."""

    def __init__(self, outbox: Outbox, encoder: Encoder) -> None:
        self.outbox, self.encoder = outbox, encoder
        self.ends: dict[int, int] = {}
        self.waiting: list[tuple[int, int]] = []  # row, span id
        self.again = 0

    def open(self, number: int, parent: int) -> None:
        self.ends[number] = START + number + 1
        assert self.outbox.write_locked(
            Change(opened=[open_row_of(opened(number, parent).span, self.encoder)], told=True)
        )

    def held_open(self) -> int:
        return int(self.outbox._connection.execute("SELECT count(*) FROM open").fetchone()[0])

    def step(self, what: str, number: int, length: int, told: bool) -> None:
        number += self.again * 10  # a turn that closed never comes again
        if what == "open" and number not in self.ends:
            self.open(number, LOOP)
        elif what == "close" and number in self.ends:
            self._rows(number, LOOP, length, closed=[number], told=told)
            self.again += 1
        elif what == "child" and number in self.ends:
            self._rows(1000 + self.outbox.next_number, number, length, closed=[], told=told)
        elif what == "fold":
            assert self.outbox.fold() in {True, False}
        elif what == "settle" and self.waiting:
            gone, self.waiting = self.waiting[number % 3 : length], self.waiting[: number % 3] + self.waiting[length:]
            assert self.outbox.delete([row for row, _ in gone])
        elif what == "bury" and self.waiting:
            assert self.outbox.bury(self.waiting.pop(0)[0], "refused")

    def _rows(self, number: int, parent: int, length: int, *, closed: list[int], told: bool) -> None:
        end = START + number + 5 + length
        spans = (
            [work(number, parent), work(5000 + self.outbox.next_number, number)] if closed else [work(number, parent)]
        )
        spans[0] = msgspec.structs.replace(spans[0], end_ns=end)
        first = self.outbox.next_number
        keys = [span_key_of(TRACE, each) for each in closed]
        rows = [row_of(span, self.encoder) for span in spans]
        change = change_of(rows, (), spans, keys)
        assert change.told  # a turn's end, and a lone child
        change = change if told else Change(rows, (), change.extended, keys)
        assert self.outbox.write_locked(change)
        self.waiting += [(first + at, span.span_id) for at, span in enumerate(spans)]
        for each in closed:
            del self.ends[each]
        if parent in self.ends:
            self.ends[parent] = max(self.ends[parent], end)


def _aborted(path: Path, encoder: Encoder, waiting: set[int]) -> dict[int, int]:
    connection = outbox_schema.connect(path)
    count = abort_open(connection)
    entries = [entry for (entry,) in connection.execute("SELECT entry FROM span ORDER BY id")]
    assert connection.execute("SELECT count(*) FROM open").fetchone() == (0,)
    connection.close()
    spans = decode_spans(encoder.request(entries))
    assert {span.span_id for span in spans[: len(spans) - count]} == waiting
    return {span.span_id: span.end_ns for span in spans[len(spans) - count :]}
