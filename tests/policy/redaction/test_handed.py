"""Measured by what was handed: planted secrets found, look-alikes left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.redactor import Redactor
from tests import golden
from tests.policy.redaction.shown import redacted, shows
from tests.sources.agents import samples
from tests.unpacked import unpacked

HANDED = unpacked("content") / "handed_secrets.jsonl"
# Texts off many a machine's disk, whose licences nobody listed: it is not in the repository.
CORPUS = golden.SHARED / "data" / "content" / "clean_corpus.json"
# What such texts are like, in the repository: code, prose, minified scripts, hashes, and real agents' sessions with what their tools printed.
OWN = [
    "otel_phi/**/*.py",
    "otel_phi/cli/page/assets/vendor/*",
    "docs/*.md",
    "examples/**/*.lock",
    "tests/e2e/backends/**/go.sum",
]
_PIECE = 4_000  # characters: of the order of what a tool prints


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in HANDED.read_text(encoding="utf-8").splitlines()]


def test_of_the_planted_secrets_at_most_one_in_twenty_is_shown() -> None:
    planted = [row for row in _rows() if row["secret"] is not None]
    missed = [(row["kind"], row["context"]) for row in planted if shows(redacted(row["text"]), row["secret"])]
    assert len(planted) == 78
    assert len(missed) <= len(planted) * 0.05, missed


def test_of_the_look_alikes_at_most_one_in_fifty_is_taken_for_a_secret() -> None:
    clean = [row for row in _rows() if row["secret"] is None]
    wrong = [row["kind"] for row in clean if redacted(row["text"]) != row["text"]]
    assert len(clean) == 78
    assert len(wrong) <= len(clean) * 0.02, wrong


def test_a_secret_split_over_the_pieces_of_a_stream_is_found_in_the_pieces() -> None:
    missed = []
    for row in _rows():
        if "parts" in row:
            kept = Redactor().texts(row["parts"], "test", Tally())
            if shows("".join(kept), row["secret"]):
                missed.append(row["kind"])
    assert missed == []


def _own_texts() -> list[str]:
    """Returns pieces of the repository's files and of the texts in other agents' sessions."""
    files = [path for pattern in OWN for path in sorted(golden.PROJECT.glob(pattern)) if path.is_file()]
    whole = [path.read_text(encoding="utf-8") for path in files if path.suffix != ".map"]
    for path in samples.main_files(samples.FOLDER):
        whole += samples.texts(path.read_text(encoding="utf-8", errors="replace"))
    return [text[at : at + _PIECE] for text in whole for at in range(0, len(text), _PIECE)]


@pytest.mark.parametrize("place", ["repository", *(["handed"] if CORPUS.exists() else [])])
def test_of_real_files_and_logs_at_most_one_in_fifty_is_changed(place: str) -> None:
    texts = json.loads(CORPUS.read_text(encoding="utf-8"))[::4] if place == "handed" else _own_texts()[::10]
    assert len(texts) > 100
    changed = [text[:80] for text in texts if redacted(text) != text]
    assert len(changed) <= len(texts) * 0.02, changed


def test_what_was_redacted_is_found_clean() -> None:
    for row in _rows():
        once = redacted(row["text"])
        assert redacted(once) == once
