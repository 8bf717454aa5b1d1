"""The agent's name: whoever is nearest gives it, it is never an id, and `unknown_service` is nobody's."""

from __future__ import annotations

import msgspec
import pytest

from otel_phi import spans
from otel_phi.events import AgentStart
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.wire.parts import ConfigSnapshot
from tests import golden
from tests.laws import role
from tests.streams import end, start, whole_loop, whole_turn


def loop_with(config_id: str | None, model: str = "gpt-5_mini.1", **options: str) -> list[Span]:
    """Returns the spans of a loop whose configuration has an id."""
    config = ConfigSnapshot(model=model, provider="openai", config_id=config_id)
    stream = [
        msgspec.structs.replace(event, config_snapshot=config) if isinstance(event, AgentStart) else event
        for event in whole_loop(0)
    ]
    return list(spans(stream, MappingOptions(**options)))  # type: ignore[arg-type]  # names alone


def names_of(found: list[Span]) -> tuple[str, set[object]]:
    """Returns the name of the loop's span, and the agent's names on it and below."""
    (loop,) = [span for span in found if role(span) == "loop"]
    return loop.name, {span.get(s.AGENT_NAME) for span in found if role(span) not in ("root", "group")}


def test_branches_are_told_apart_by_the_names_of_their_configurations() -> None:
    found = [span for span in spans(golden.demo()) if role(span) == "loop"]
    assert {"invoke_agent concise", "invoke_agent thorough"} <= {span.name for span in found}


def test_a_configurations_name_is_on_the_loop_and_all_within_it_and_not_on_the_root() -> None:
    found = loop_with("concise", service_name="svc")
    assert names_of(found) == ("invoke_agent concise", {"concise"})
    (root,) = [span for span in found if role(span) == "root"]
    assert (root.name, root.get(s.AGENT_NAME)) == ("invoke_workflow phi.session", "svc")


def test_a_configured_agents_name_is_nearer_than_the_configurations() -> None:
    assert names_of(loop_with("concise", agent_name="fixer")) == ("invoke_agent fixer", {"fixer"})


@pytest.mark.parametrize(
    "config_id",
    [
        None,
        "",
        "openai.gpt-5-mini-1",  # phi-core's own, made up of provider and model
        "openai.gpt-5-mini-1.thinking",
        "3f9a1c7e-5b42-4d0e-8c61-92d7e4ab10f5",
        "run-20261126",
        "this is a sentence and no name",
        "which one?",
        " concise",
        "two  blanks",
        "a\nline",
        "x" * 65,
    ],
)
def test_what_nobody_chose_or_an_id_names_no_agent(config_id: str | None) -> None:
    assert names_of(loop_with(config_id)) == ("invoke_agent", {None})
    assert names_of(loop_with(config_id, service_name="svc")) == ("invoke_agent", {"svc"})


@pytest.mark.parametrize(
    "config_id", ["concise", "Careful Judge", "Prüferin", "cfg-a", "v2.fast", "facade", "gpt-4o-2024-08-06"]
)
def test_a_word_names_the_agent(config_id: str) -> None:
    assert names_of(loop_with(config_id)) == (f"invoke_agent {config_id}", {config_id})


@pytest.mark.parametrize("service", ["unknown_service", "unknown_service:python", "otel-phi"])
def test_a_service_that_nobody_named_names_no_agent(service: str) -> None:
    found = list(spans([*whole_loop(0)[:-1], end(9_000)], MappingOptions(service_name=service)))
    assert {span.get(s.AGENT_NAME) for span in found} == {None}


@pytest.mark.parametrize("name", ["unknown_service", "unknown_service:python3.11"])
def test_unknown_service_is_nobodys_name_whoever_gives_it(name: str) -> None:
    """An agent can take its name from a resource, and hand on what stands there where nobody named a service."""
    for found in (
        loop_with(name),
        loop_with(None, agent_name=name),
        loop_with(None, agent_name=name, service_name=name),
    ):
        assert names_of(found) == ("invoke_agent", {None})
    stream = [start(0, agent_name=name), *whole_turn(1), end(20)]
    assert {span.get(s.AGENT_NAME) for span in spans(stream, MappingOptions(service_name="svc"))} == {"svc"}
