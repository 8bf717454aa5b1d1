"""A parallel evaluation whose process is lost leaves as one that ended: the same id, the branches known so far, no winner."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from otel_phi.events import AgentEvent
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import OPTIONS, as_count, expected, loop_of, parallel_of
from tests.hook.test_processes import run
from tests.laws import links, role, times
from tests.streams import at

STORY = parallel_of("main")
BRANCH = len(loop_of("main", turns=1))  # events of a branch
BETWEEN, WITHIN = 1 + BRANCH, 1 + BRANCH + 6  # events until the first branch ended; until the second is in its turn
LOOPS = MappingOptions(service_name="test", trace_scope="loop")


def group_of(found: list[Span]) -> Span:
    (group,) = [span for span in found if role(span) == "group"]
    return group


@pytest.mark.parametrize(
    ("events", "branches", "end_ns"),
    [(BETWEEN, 1, at(300)), (WITHIN, 2, at(460)), (2 * BRANCH, 2, at(490))],
    ids=["between", "in a turn", "after a turn"],
)
def test_a_process_killed_among_its_branches_leaves_the_group_as_aborted_with_its_id(
    events: int, branches: int, end_ns: int, receiver: Receiver, tmp_path: Path
) -> None:
    """Killed between two branches, in the second's turn, and after that turn: it ends with the last that is known of a branch."""
    receiver.answer(times=10_000, status=503)
    code, _, _ = run("sigkill_in_a_group", str(events), state=tmp_path, endpoint=receiver.endpoint)
    assert code == -signal.SIGKILL
    receiver.forget_script()
    assert run("stays", "other", state=tmp_path, endpoint=receiver.endpoint)[:2] == (0, "")  # its accounts balance
    found = [span for span in receiver.spans if as_count([span]) - expected(loop_of("other"))]
    lost, whole = group_of(found), group_of(list(spans(STORY, OPTIONS)))
    assert (lost.trace_id, lost.span_id, lost.parent_span_id) == (whole.trace_id, whole.span_id, whole.parent_span_id)
    assert (lost.name, lost.start_ns, lost.end_ns) == (whole.name, whole.start_ns, end_ns)
    assert (lost.get(s.ERROR_TYPE), lost.get(s.PARALLEL_SELECTED)) == ("process_lost", None)
    assert (lost.get(s.PARALLEL_LOOPS), lost.links) == (whole.get(s.PARALLEL_LOOPS), whole.links[:branches])
    assert [*times(found), *links(found)] == []
    known = {(span.trace_id, span.span_id) for span in found}
    assert [
        span.name for span in found if span.parent_span_id and (span.trace_id, span.parent_span_id) not in known
    ] == []
    assert len(known) == len(found)
    assert list((tmp_path / "outbox").rglob("*.journal")) == []


@pytest.mark.parametrize("scope", ["session", "loop"])
def test_a_group_that_ends_gives_the_spans_of_the_pure_function(
    scope: str, install: Install, receiver: Receiver
) -> None:
    hook = install(trace_scope=scope)
    for event in STORY:
        hook(event)
    assert hook.flush(5.0)
    assert hook.stats().open_loops == 0
    assert as_count(receiver.spans) == expected(STORY, options=LOOPS if scope == "loop" else OPTIONS)


@pytest.mark.parametrize("story", [(str(len(STORY)),), (str(WITHIN), "again")], ids=["ended", "a branch again"])
def test_whatever_a_killed_process_knew_of_a_group_leaves_once(
    story: tuple[str, ...], receiver: Receiver, tmp_path: Path
) -> None:
    """A group that had ended leaves as it ended; one whose first branch was started again leaves as lost, once."""
    receiver.answer(times=10_000, status=503)
    run("sigkill_in_a_group", *story, state=tmp_path, endpoint=receiver.endpoint)
    receiver.forget_script()
    assert run("stays", "other", state=tmp_path, endpoint=receiver.endpoint)[:2] == (0, "")
    group, whole = group_of(list(receiver.spans)), group_of(list(spans(STORY, OPTIONS)))
    assert group.span_id == whole.span_id
    assert (group == whole) == (len(story) == 1)
    assert len({(span.trace_id, span.span_id) for span in receiver.spans}) == len(receiver.spans)


@pytest.mark.parametrize("end", ["flush", "verdict"])
def test_a_group_that_ends_without_a_known_winner_leaves_no_span(
    end: str, install: Install, receiver: Receiver
) -> None:
    story = STORY[: -1 if end == "flush" else 1 + 2 * BRANCH]
    events: list[AgentEvent] = story if end == "flush" else [story[0], *story[1 + BRANCH :]]
    hook = install()
    for event in events:
        hook(event)
    assert hook.shutdown(5.0)
    assert as_count(receiver.spans) == expected(events)
    assert [span for span in receiver.spans if role(span) == "group"] == []


def test_an_earlier_branch_told_of_later_gives_the_group_its_final_id(install: Install, receiver: Receiver) -> None:
    hook = install()
    for event in [*STORY[:1], *STORY[1 + BRANCH : 1 + 2 * BRANCH], *STORY[1 : 1 + BRANCH], *STORY[1 + 2 * BRANCH :]]:
        hook(event)
    assert hook.shutdown(5.0)
    assert group_of(list(receiver.spans)).span_id == group_of(list(spans(STORY, OPTIONS))).span_id
