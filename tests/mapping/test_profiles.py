"""What one backend alone reads, and nobody else is told: set by its profile."""

from __future__ import annotations

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import PROFILES, options_for
from otel_phi.mapping.span import StatusCode
from otel_phi.pipeline import spans
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import LoopOpened
from otel_phi.tree import session_of
from tests import golden
from tests.laws import role


@pytest.mark.parametrize("scope", ["session", "loop"])
def test_mlflow_is_told_each_traces_name_by_its_root_alone(scope: str) -> None:
    found = list(spans(golden.demo(), options_for("mlflow", trace_scope=scope, agent_name="fixer")))
    told = {span.span_id: dict(span.attributes).get(s.MLFLOW_TRACE_NAME) for span in found}
    assert told == {span.span_id: None if span.parent_span_id else span.name for span in found}
    names = {name for name in told.values() if name}
    in_loops = {"invoke_agent fixer", "invoke_workflow phi.parallel"}
    assert names == ({"invoke_workflow fixer"} if scope == "session" else in_loops)


def test_a_loop_that_joined_its_callers_trace_does_not_rename_it() -> None:
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    found = list(spans(golden.demo(), options_for("mlflow", join=True, caller=caller)))
    named = {span.trace_id for span in found if s.MLFLOW_TRACE_NAME in dict(span.attributes)}
    assert 0x0AF7651916CD43DD8448EB211C80319C in {span.trace_id for span in found} - named


def test_no_other_backend_is_told_mlflows_words() -> None:
    for profile in set(PROFILES) - {"mlflow"}:
        assert s.MLFLOW_TRACE_NAME not in {
            key for span in spans(golden.demo(), options_for(profile)) for key, _ in span.attributes
        }


def test_a_loop_whose_process_was_lost_names_its_trace_all_the_same() -> None:
    core, options = RecorderCore(), options_for("mlflow")
    opened = [notice for event in golden.demo() for notice in core.on_event(event) if isinstance(notice, LoopOpened)]
    lost = [opened_span(notice, options) for notice in opened]
    names = {"invoke_agent", "invoke_agent sub", "invoke_agent concise", "invoke_agent thorough"}
    assert {span.get(s.MLFLOW_TRACE_NAME) for span in lost} == names == {span.name for span in lost}


def test_in_phoenix_a_loop_that_went_well_says_so_and_nothing_else_does() -> None:
    for profile in ("phoenix", "generic"):
        found = list(spans(golden.demo(), options_for(profile)))
        well = {role(span) for span in found if span.status is StatusCode.OK}
        assert well == ({"loop"} if profile == "phoenix" else set())
    aborted = list(spans(golden.demo()[:20], options_for("phoenix")))
    assert {span.status for span in aborted if role(span) == "loop"} == {StatusCode.ERROR}


def test_in_phoenix_a_parallel_group_is_no_turn_of_its_session_and_still_says_whose_it_is() -> None:
    (group,) = [span for span in spans(golden.demo(), options_for("phoenix")) if role(span) == "group"]
    assert (group.get(s.SESSION_ID), group.get(s.CONVERSATION_ID)) == (None, None)
    assert session_of(group) == group.get(s.PARALLEL_SESSION) == str(group.get(s.PARALLEL_SELECTED)).partition(".")[0]
    for options in (options_for("phoenix", trace_scope="session"), options_for("mlflow")):
        (group,) = [span for span in spans(golden.demo(), options) if role(span) == "group"]
        assert group.get(s.SESSION_ID) == group.get(s.CONVERSATION_ID) == session_of(group)
        assert group.get(s.PARALLEL_SESSION) is None
