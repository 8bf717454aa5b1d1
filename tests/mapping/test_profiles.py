"""What one backend alone reads, and nobody else is told: set by its profile."""

from __future__ import annotations

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import PROFILES, options_for
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import LoopOpened
from otel_phi.road import spans
from tests import golden


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
