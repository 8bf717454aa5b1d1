"""What a lost process held open is told exactly, whatever was written, sent and let go before: a model beside the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_phi.delivery import filelock, outbox_schema
from otel_phi.delivery.decode import decode_spans
from otel_phi.delivery.encoder import Encoder
from otel_phi.delivery.outbox import LOCK_SUFFIX, Outbox
from otel_phi.delivery.outbox_recovery import abort_open
from otel_phi.delivery.rows import Change, extensions, open_row_of, row_of, span_key_of
from tests.delivery.live_agent import START, TRACE, opened, work
from tests.delivery.samples import RESOURCE

LOOP = 1
# What happens to a turn (by its number): it opens, it closes with its span and a child's, a child's span alone comes; and
# to the oldest rows: they were acknowledged. The flag: whether rows tell what they close, or it is written at once.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "child", "settle", "bury"]),
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
        lock = filelock.acquire(path.with_suffix(LOCK_SUFFIX))
        assert lock is not None
        encoder = Encoder(RESOURCE)
        outbox = Outbox(path, lock, outbox_schema.create(path), encoder.envelope)
        model = _Model(outbox, encoder)
        model.open(LOOP, 0)
        for what, number, length, told in steps:
            model.step(what, number, length, told)
        assert outbox.rows == len(model.waiting)
        outbox._connection.close()  # the process is lost
        lock.release()
        assert _aborted(path, encoder, {key for _, key in model.waiting}) == {
            **model.ends,
            LOOP: max(model.ends.values()),  # not before what is open below it
        }


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

    def step(self, what: str, number: int, length: int, told: bool) -> None:
        number += self.again * 10  # a turn that closed never comes again
        if what == "open" and number not in self.ends:
            self.open(number, LOOP)
        elif what == "close" and number in self.ends:
            self._rows(number, LOOP, length, closed=[number], told=told)
            self.again += 1
        elif what == "child" and number in self.ends:
            self._rows(1000 + self.outbox.next_number, number, length, closed=[], told=told)
        elif what == "settle" and self.waiting:
            gone, self.waiting = self.waiting[:length], self.waiting[length:]
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
        change = Change([row_of(span, self.encoder) for span in spans], (), extensions(spans), keys, told)
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
