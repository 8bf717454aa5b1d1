"""The claims of a folder: the same answers as a dict gives, in a small part of its memory."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_phi.sources.agents.claims import claim_key, owner_key
from otel_phi.sources.folder_claims import FolderClaims

FILES = [Path("a"), Path("b"), Path("c")]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3), st.integers(0, 2)), max_size=300),
    st.integers(0, 3_000),
)
def test_a_key_is_the_first_owner_s_whoever_asks_and_however_many_there_are(
    asked: list[tuple[int, int, int]], others: int
) -> None:
    table, owners = FolderClaims(), dict[int, tuple[int, int]]()
    files = [table.of(path) for path in FILES]
    lost = dict[tuple[Path, Path], int]()
    for number in range(others):
        assert files[0].claim(claim_key("other", number), owner_key("s", "l", 0))
    for thing, who, file in asked:
        holder, first_file = owners.setdefault(thing, (who, file))
        assert files[file].claim(claim_key("call", thing), owner_key("s", str(who), 0)) == (holder == who)
        if holder != who and first_file != file:
            pair = FILES[file], FILES[first_file]
            lost[pair] = lost.get(pair, 0) + 1
    assert table.lost_to == lost
    assert len(table) == len(owners) + others


def test_a_claim_takes_three_slots_at_most_once_there_are_many() -> None:
    table = FolderClaims()
    file = table.of(FILES[0])
    for number in range(20_000):
        assert file.claim(claim_key("call", number), owner_key("s", "l", number))
    assert table.size_bytes <= 20_000 * 28 * 3
    assert all(file.claim(claim_key("call", number), owner_key("s", "l", number)) for number in range(20_000))
    assert not any(file.claim(claim_key("call", number), owner_key("s", "other", 0)) for number in range(20_000))
    assert not table.lost_to  # a file loses nothing to itself
