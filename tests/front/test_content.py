"""Arguments and results: not touched with content off; JSON with it on, whatever they are, 64 KiB at most."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_phi
from otel_phi.events import ToolExecutionStart
from otel_phi.front.content import MAX_BYTES, as_blocks, as_json
from tests.front.told import Told


class Untouchable:
    """Fails whoever looks at it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"looked at {name}")

    def __repr__(self) -> str:
        raise AssertionError("printed")

    __str__ = __repr__


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise AssertionError("printed")


@otel_phi.tool
def passes(value: Any) -> Any:
    return value


def test_with_content_off_nothing_is_touched(told: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        passes(Untouchable())
        with loop.tool("t", arguments=Untouchable()) as tool:
            tool.result(Untouchable())
    with pytest.raises(UnprintableError), otel_phi.loop(session="s") as loop, loop.tool("t"):
        raise UnprintableError
    assert {bytes(event.args) for event in told if isinstance(event, ToolExecutionStart)} == {b"null"}
    assert {tool.result for tool in told.tools} == {None}


def test_with_content_on_arguments_and_results_are_kept(with_content: Told) -> None:
    with otel_phi.loop(session="s") as loop:
        passes("hi")
        with loop.tool("t", arguments={"a": {1, 2}}) as tool:
            tool.result({"b": b"c"})
    with pytest.raises(ValueError, match="why"), otel_phi.loop(session="s") as loop, loop.tool("t"):
        raise ValueError("why")
    asked = [json.loads(bytes(event.args)) for event in with_content if isinstance(event, ToolExecutionStart)]
    assert asked == [{"value": "hi"}, {"a": "{1, 2}"}, None]
    said = [json.loads(bytes(tool.result.content))[0]["text"] for tool in with_content.tools if tool.result]
    assert said == ["hi", '{"b": "b\'c\'"}', "why"]
    assert with_content.broken() == []


def test_an_exception_that_cannot_be_printed_is_its_name(with_content: Told) -> None:
    with pytest.raises(UnprintableError), otel_phi.loop(session="s") as loop, loop.tool("t"):
        raise UnprintableError
    (tool,) = with_content.tools
    assert tool.result is not None
    assert b"UnprintableError" in bytes(tool.result.content)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just(Untouchable), st.just("\ud800")),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(st.text(), st.integers(), st.tuples()), inner), st.frozensets(st.integers())),
)  # fmt: skip


@given(value=anything)
def test_any_value_is_json(value: Any) -> None:
    json.loads(bytes(as_json(value)))
    (block,) = json.loads(bytes(as_blocks(value)))
    assert block["type"] == "text"


@pytest.mark.parametrize(
    "value", ["x" * 10**6, ["x" * 100] * 10**5, "\U0001f916" * 10**5], ids=["text", "list", "wide"]
)
def test_what_is_long_is_cut_and_still_json(value: Any) -> None:
    for found in (as_json(value), as_blocks(value)):
        assert json.loads(bytes(found))
        assert len(bytes(found)) < MAX_BYTES * 1.5  # quotation marks are escaped
        assert "[cut]" in bytes(found).decode()


def test_a_circle_and_what_cannot_be_printed_are_their_kind() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert json.loads(bytes(as_json(circle))) == "<list>"
    assert json.loads(bytes(as_json(Untouchable()))) == "<Untouchable>"
