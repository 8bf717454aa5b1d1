"""Measured by what was handed: planted secrets found, look-alikes left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.redactor import Redactor
from tests import golden
from tests.policy.redaction.shown import redacted, shows

HANDED = golden.FOLDER.parent / "data" / "content" / "handed_secrets.jsonl"
CORPUS = golden.FOLDER.parent / "data" / "content" / "clean_corpus.json"
needed = pytest.mark.skipif(not HANDED.exists(), reason="needs ../shared/data/content")


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in HANDED.read_text(encoding="utf-8").splitlines()]


@needed
def test_of_the_planted_secrets_at_most_one_in_twenty_is_shown() -> None:
    planted = [row for row in _rows() if row["secret"] is not None]
    missed = [(row["kind"], row["context"]) for row in planted if shows(redacted(row["text"]), row["secret"])]
    assert len(planted) == 78
    assert len(missed) <= len(planted) * 0.05, missed


@needed
def test_of_the_look_alikes_at_most_one_in_fifty_is_taken_for_a_secret() -> None:
    clean = [row for row in _rows() if row["secret"] is None]
    wrong = [row["kind"] for row in clean if redacted(row["text"]) != row["text"]]
    assert len(clean) == 78
    assert len(wrong) <= len(clean) * 0.02, wrong


@needed
def test_a_secret_split_over_the_pieces_of_a_stream_is_found_in_the_pieces() -> None:
    missed = []
    for row in _rows():
        if "parts" in row:
            kept = Redactor().texts(row["parts"], "test", Tally())
            if shows("".join(kept), row["secret"]):
                missed.append(row["kind"])
    assert missed == []


@needed
def test_of_real_files_and_logs_at_most_one_in_fifty_is_changed() -> None:
    texts = json.loads(CORPUS.read_text(encoding="utf-8"))[::4]
    changed = [text[:80] for text in texts if redacted(text) != text]
    assert len(changed) <= len(texts) * 0.02, changed


@needed
def test_what_was_redacted_is_found_clean() -> None:
    for row in _rows():
        once = redacted(row["text"])
        assert redacted(once) == once
