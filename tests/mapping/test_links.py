"""Links: to the loop continued, to the session that spawned, to the caller; in both scopes and both layouts."""

from __future__ import annotations

import msgspec
import pytest

from otel_phi.events import AgentEvent, Tag
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span, SpanLink
from otel_phi.pipeline import spans
from tests.laws import role
from tests.streams import LOOP, OTHER, SESSION, whole_loop

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
CALLER = f"00-{TRACE:032x}-{SPAN:016x}-01"
CONFIGURED = f"00-{TRACE + 1:032x}-{SPAN:016x}-01"
TWO = f"{SESSION}.mock.2"


def loops(events: list[AgentEvent], options: MappingOptions | None = None) -> list[Span]:
    return [span for span in spans(events, options) if role(span) == "loop"]


def kinds(span: Span) -> list[object]:
    return [dict(link.attributes)[s.LINK_KIND] for link in span.links]


def metadata(traceparent: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"traceparent": traceparent, "more": [1]}))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Default", "continuation"),
        ("Initial", "continuation"),
        ("Newer", "continuation"),
        ("Compaction", "compaction"),
        ({"Rerun": Tag("t")}, "rerun"),
        ({"Branch": Tag("t")}, "branch"),
    ],
)
@pytest.mark.parametrize("layout", ["tree", "flat"])
@pytest.mark.parametrize("scope", ["session", "loop"])
def test_a_loop_links_to_the_loop_it_continues_with_the_kind_in_every_layout_and_scope(
    kind: object, expected: str, layout: str, scope: str
) -> None:
    options = msgspec.convert({"loop_layout": layout, "trace_scope": scope}, MappingOptions)
    story = [*whole_loop(0), *whole_loop(20, TWO, parent_loop_id=LOOP, continuation_kind=kind)]
    first, second = loops(story, options)
    (link,) = second.links
    assert (link.trace_id, link.span_id) == (first.trace_id, first.span_id)
    assert kinds(second) == [expected]
    assert dict(link.attributes).get(s.LINK_TAG) == ("t" if isinstance(kind, dict) else None)
    assert (second.parent_span_id == first.span_id) is (layout == "tree" and scope == "session")


def test_the_flat_layout_puts_all_loops_under_the_root() -> None:
    story = [*whole_loop(0), *whole_loop(20, TWO, parent_loop_id=LOOP)]
    assert len({span.parent_span_id for span in loops(story, MappingOptions(loop_layout="flat"))}) == 1


def test_in_loop_scope_each_loop_is_the_root_of_a_trace_of_its_own() -> None:
    story = [*whole_loop(0), *whole_loop(20), *whole_loop(40, TWO, parent_loop_id=LOOP)]
    found = loops(story, MappingOptions(trace_scope="loop"))
    assert {span.parent_span_id for span in found} == {0}
    assert len({span.trace_id for span in found}) == 3


# --- the caller ------------------------------------------------------------------------------------------------------------------


def test_a_traceparent_in_the_metadata_is_linked_as_caller() -> None:
    (loop,) = loops(whole_loop(0, metadata=metadata(CALLER)))
    assert loop.links == (SpanLink(TRACE, SPAN, ((s.LINK_KIND, "caller"),)),)
    assert loop.trace_id != TRACE


def test_the_configured_caller_stands_in_where_a_loop_names_none() -> None:
    options = MappingOptions(caller=CONFIGURED)
    (loop,) = loops(whole_loop(0), options)
    assert [link.trace_id for link in loop.links] == [TRACE + 1]
    (own,) = loops(whole_loop(0, metadata=metadata(CALLER)), options)
    assert [link.trace_id for link in own.links] == [TRACE]


@pytest.mark.parametrize("broken", ["nonsense", "", 5, None, f"00-{'0' * 32}-{SPAN:016x}-01"])
def test_a_traceparent_that_is_none_counts_as_none(broken: object) -> None:
    story = whole_loop(0, metadata=metadata(broken))
    assert loops(story)[0].links == ()
    (loop,) = loops(story, MappingOptions(caller=CONFIGURED))
    assert [link.trace_id for link in loop.links] == [TRACE + 1]


@pytest.mark.parametrize("raw", [b"5", b"[1]", b'"x"', b"null", b"{", b"\xff"])
def test_metadata_of_any_form_raises_nothing(raw: bytes) -> None:
    assert loops(whole_loop(0, metadata=msgspec.Raw(raw)))[0].links == ()


def test_a_continuation_and_a_spawned_loop_were_not_called_by_the_configured_caller() -> None:
    options = MappingOptions(caller=CONFIGURED)
    story = [
        *whole_loop(0),
        *whole_loop(20, TWO, parent_loop_id=LOOP),
        *whole_loop(40, f"{OTHER}.sub.1", session=OTHER, parent_loop_id=LOOP),
    ]
    assert [kinds(span) for span in loops(story, options)] == [["caller"], ["continuation"], ["spawned_by"]]


def test_the_root_and_everything_below_a_loop_carry_no_caller() -> None:
    found = spans(whole_loop(0, metadata=metadata(CALLER)), MappingOptions(caller=CONFIGURED))
    assert [span.name for span in found if "caller" in kinds(span)] == ["invoke_agent"]
