"""Values are cut here and nowhere else: whole characters, a mark, within the bytes a backend takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import AgentEvent, ConfigSnapshot, ParallelLoopEnd, ParallelLoopStart
from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import CUT_MARK, cut
from otel_phi.mapping.options import PROFILES, TEMPO_ATTRIBUTE_BYTES, MappingOptions, options_for
from otel_phi.mapping.span import Attributes, Span
from otel_phi.pipeline import spans
from tests import golden
from tests.laws import Run
from tests.streams import LOOP, SESSION, end, said, start, tool, tool_end, turn, turn_end, whole_loop

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text("aé你🤖", max_size=60)


@given(_texts, st.integers(0, 120))
def test_a_cut_text_fits_and_is_whole_characters_and_marked(text: str, limit: int) -> None:
    found = cut(text, limit)
    assert len(found.encode()) <= limit or found == text
    assert len(found.encode()) <= limit
    if len(text.encode()) <= limit:
        assert found == text
    elif limit >= len(CUT_MARK.encode()):
        assert found.endswith(CUT_MARK)
        assert text.startswith(found.removesuffix(CUT_MARK))


def test_a_cut_falls_between_characters_on_every_border() -> None:
    text = "🤖" * 10
    for limit in range(40):
        found = cut(text, limit)
        assert len(found.encode()) <= limit
        assert "\ufffd" not in found


def long_story() -> list[AgentEvent]:
    long = "🤖" * 3_000
    config = ConfigSnapshot(model=long, provider=long, config_id=long, name=long, api=long, base_url=f"https://{long}/")
    child = f"{SESSION[:-1]}1.{long}"
    return [
        ParallelLoopStart(session_id=SESSION, loop_ids=(LOOP, long)),
        start(0, config_snapshot=config, parent_loop_id=child, continuation_kind="New" + long),
        turn(1, by=long),
        said(2, stop_reason=long, model=long + "x", provider=long),
        tool(long, long),
        tool_end(long, long, child=child),
        turn_end(8),
        end(9),
        *whole_loop(20, long, session=SESSION),
        ParallelLoopEnd(session_id=SESSION, selected_loop_id=LOOP),
    ]


def texts(found: list[Span]) -> list[str]:
    tables: list[Attributes] = []
    for span in found:
        tables += [
            span.attributes,
            *(event.attributes for event in span.events),
            *(link.attributes for link in span.links),
        ]
    values = [value for table in tables for _, value in table]
    return [v for v in values if isinstance(v, str)] + [
        v for value in values if isinstance(value, tuple) for v in value
    ]


@pytest.mark.parametrize("limit", [TEMPO_ATTRIBUTE_BYTES, 64])
def test_no_text_on_a_span_event_or_link_passes_the_limit(limit: int) -> None:
    options = MappingOptions(max_attribute_bytes=limit, attributes=(("team", "x" * 5_000),))
    run = Run(long_story(), options)
    assert run.broken() == []
    assert max(len(text.encode()) for text in texts(run.spans)) <= limit
    assert max(len(text.encode()) for text in texts(run.spans)) > limit - 8, "nothing reached the limit"


def test_names_are_cut_too() -> None:
    assert max(len(span.name) for span in spans(long_story())) <= len("execute_tool ") + 128


def test_the_tempo_profile_caps_at_what_tempo_takes() -> None:
    assert options_for("tempo").max_attribute_bytes == TEMPO_ATTRIBUTE_BYTES == 2_048
    assert max(len(text.encode()) for text in texts(list(spans(long_story(), options_for("tempo"))))) <= 2_048


# --- options -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "scope"), [("generic", "session"), ("jaeger", "session"), ("tempo", "session")])
def test_backends_that_show_traces_keep_a_session_one_trace(profile: str, scope: str) -> None:
    assert options_for(profile).trace_scope == scope


@pytest.mark.parametrize("profile", ["phoenix", "mlflow", "langfuse", "logfire", "datadog"])
def test_backends_with_a_session_page_make_each_loop_a_trace_unless_told_otherwise(profile: str) -> None:
    assert options_for(profile).trace_scope == "loop"
    assert options_for(profile, trace_scope="session").trace_scope == "session"
    assert options_for(profile, trace_scope=None).trace_scope == "loop"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"profile": "tempoo"}, "profile 'tempoo' is unknown; use one of generic, jaeger, tempo"),
        ({"trace_scpoe": "loop"}, "option 'trace_scpoe' is unknown; use one of trace_scope, "),
        ({"trace_scope": "day"}, r"Invalid enum value 'day'"),
        ({"tool_spans": "yes"}, "Expected `bool`"),
    ],
)
def test_a_wrong_option_says_what_would_be_right(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        options_for(**given)


def test_every_profile_gives_options() -> None:
    for profile in PROFILES:
        assert isinstance(options_for(profile, attributes={"a": 1, "b": ["x"]}), MappingOptions)


def test_extra_attributes_stand_on_every_span_and_never_override_ours() -> None:
    extra: Attributes = (("team", "search"), (s.SESSION_ID, "mine"), (s.LOOP_STATUS, "mine"), ("n", 3))
    plain = list(spans(golden.demo()))
    for ours, span in zip(plain, spans(golden.demo(), MappingOptions(attributes=extra)), strict=True):
        given, own = dict(span.attributes), dict(ours.attributes)
        assert (given["team"], given["n"]) == ("search", 3)
        assert {key: given[key] for key in own} == own


def test_the_agents_name_stands_in_names_and_the_services_only_in_the_attribute() -> None:
    named = list(spans(whole_loop(0), MappingOptions(agent_name="fixer", service_name="svc")))
    assert [span.name for span in named] == ["invoke_workflow fixer", "turn", "chat mock", "invoke_agent fixer"]
    assert {span.get(s.AGENT_NAME) for span in named} == {"fixer"}
    unnamed = list(spans(whole_loop(0), MappingOptions(service_name="svc")))
    assert [span.name for span in unnamed] == ["invoke_workflow phi.session", "turn", "chat mock", "invoke_agent"]
    assert {span.get(s.AGENT_NAME) for span in unnamed} == {"svc"}


def test_no_id_stands_in_a_name() -> None:
    story = [*long_story(), *golden.demo()]
    ids = {
        str(span.get(key))
        for span in spans(golden.demo())
        for key in (s.SESSION_ID, s.LOOP_ID, s.TOOL_CALL_ID, s.PHI_AGENT_ID)
    }
    assert not any(name in span.name for span in spans(story) for name in ids - {"None"})
