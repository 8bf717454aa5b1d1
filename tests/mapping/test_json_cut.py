"""JSON that is too long stays JSON: shorter texts, fewer members, a mark, within the bytes a backend takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.mapping.attributes import CUT_MARK, table
from otel_phi.mapping.options import TEMPO_ATTRIBUTE_BYTES, options_for
from otel_phi.pipeline import spans
from tests import golden

_leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=80)
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=40,
)
_documents = st.lists(_values, max_size=30) | st.dictionaries(st.text(max_size=12), _values, max_size=30)


def cut_to(text: str, max_bytes: int) -> str:
    """Returns what becomes of an attribute's text."""
    ((_, found),) = table(max_bytes, [("key", text)])
    assert isinstance(found, str)
    return found


@given(_documents, st.integers(30, 400), st.booleans())
def test_json_is_cut_to_json_of_the_same_kind_that_fits(document: Any, limit: int, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    found = cut_to(text, limit)
    assert len(found.encode("utf-8", "surrogatepass")) <= limit
    assert type(json.loads(found)) is type(document)
    if len(text.encode("utf-8", "surrogatepass")) <= limit:
        assert found == text
    else:
        assert found != text


def test_messages_keep_their_shape_and_say_where_they_were_cut() -> None:
    parts = [{"type": "text", "content": "你好 " * 2_000}]
    text = json.dumps([{"role": "user", "parts": parts}, {"role": "assistant", "parts": parts}], ensure_ascii=False)
    first, second = json.loads(cut_to(text, TEMPO_ATTRIBUTE_BYTES))
    assert (first["role"], second["role"]) == ("user", "assistant")
    assert first["parts"][0]["content"].startswith("你好 你好")
    assert first["parts"][0]["content"].endswith(CUT_MARK)


def test_a_list_of_many_keeps_the_first_and_a_mark() -> None:
    found = json.loads(cut_to(json.dumps(list(range(10_000))), 200))
    assert found[:3] == [0, 1, 2]
    assert found[-1] == CUT_MARK


def test_an_object_of_many_says_how_many_members_are_missing() -> None:
    found = json.loads(cut_to(json.dumps({f"key {n}": n for n in range(1_000)}), 300))
    assert found[CUT_MARK] == 1_000 - (len(found) - 1)


@pytest.mark.parametrize("text", ["[1, 2", "[NaN, 1]", '{"a": 1} and more', "[" * 100_000, "plain", '"a JSON text"'])
def test_what_is_no_json_object_or_list_is_cut_as_text(text: str) -> None:
    long = text + " " * 5_000
    if text.startswith("[1, 2"):
        assert cut_to(long, 100).startswith(text)
    assert len(cut_to(long, 100).encode()) <= 100
    assert cut_to(long, 100).endswith(CUT_MARK)


def test_json_given_as_an_attribute_leaves_as_json_for_tempo() -> None:
    config = json.dumps({"prompt": "x" * 5_000, "tools": ["bash"] * 3})
    for span in spans(golden.demo(), options_for("tempo", attributes={"app.config": config})):
        value = str(span.get("app.config"))
        assert len(value.encode()) <= TEMPO_ATTRIBUTE_BYTES
        assert json.loads(value)["tools"] == ["bash"] * 3


def test_lone_surrogates_count_as_what_stands_for_them_on_the_wire() -> None:
    found = cut_to("\ud800" * 1_000, 1_500)
    assert len(found.encode("utf-8", "surrogatepass")) <= 1_500
