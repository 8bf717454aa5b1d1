"""Other agents' sessions, written bit by bit beside a watch that is killed: the same spans as `export` makes of the finished files."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.sources.agents.adapter import SILENCE_NS
from tests import laws
from tests.sources.agents import samples
from tests.sources.agents.samples import expected, files
from tests.sources.agents.test_stored import tokens, wanted
from tests.watch.following import exported
from tests.watch.living import Live, as_written, time_of

AGENTS = [agent for agent in samples.FOLDERS if agent in ("claude-code", "codex", "pi", "openclaw")]
_MESSAGE = re.compile(rb'"id":\s*"(msg_[^"]+)"')
_TIME = re.compile(rb'("timestamp":\s*")([^"]+)(?=")')


def files_of(agent: str, *, of: str = "") -> dict[str, bytes]:
    """Returns the content of an agent's samples by name, or of one session of them."""
    folder = samples.FOLDER / samples.FOLDERS[agent]
    found = sorted(folder.rglob("*.jsonl"), key=lambda path: (path.parent != folder, str(path)))
    if of:
        own = folder / of
        found = [path for path in found if path == own or own.with_suffix("") in path.parents]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def slower(pieces: Iterable[tuple[str, bytes]], times: int) -> list[tuple[str, bytes]]:
    """Returns lines as a session would have written them that took many times as long."""
    found: list[tuple[str, bytes]] = []
    began: dt.datetime | None = None
    for name, line in pieces:
        if (said := _TIME.search(line)) is not None:
            at = dt.datetime.fromisoformat(said[2].decode().replace("Z", "+00:00"))
            began = began or at
            late = (began + (at - began) * times).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = _TIME.sub(rb"\g<1>" + late.encode(), line, count=1)  # noqa: PLW2901
        found.append((name, line))
    return found


def pauses(pieces: Iterable[tuple[str, bytes]]) -> int:
    """Returns how often a session was silent so long that it is looked at."""
    times = [at_ns for _, line in pieces if (at_ns := time_of(line))]
    return sum(after - before > SILENCE_NS for before, after in pairwise(times))


def in_slices(pieces: Iterable[tuple[str, bytes]], dice: random.Random, mean_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yields what is written in pieces cut anywhere."""
    for name, content in pieces:
        at = 0
        while at < len(content):
            upto = at + dice.randint(1, 2 * mean_bytes)
            yield name, content[at:upto]
            at = upto


def written_and_killed(live: Live, pieces: Iterable[tuple[str, bytes]], kills: int = 0) -> None:
    """Writes slices, and kills the watch between any two; every other one it does not see before it is killed.

    Args:
        live: the folder.
        pieces: the slices.
        kills: how many kills at most, 0 for one after each.
    """
    all_pieces = list(pieces)
    every = max(len(all_pieces) // kills, 1) if kills else 1
    for number, (name, content) in enumerate(all_pieces):
        live.write(name, content)
        if number % every == 0:
            if number // every % 2:
                live.following.round(settle=number // every % 4 == 1)
            live.following.restart()


def holds_the_laws(spans: dict[bytes, Span]) -> None:
    found = list(spans.values())
    assert [
        *laws.identity(found), *laws.family(found, MappingOptions()), *laws.times(found), *laws.links(found),
        *laws.attributes(found), *laws.tokens(found),
    ] == []  # fmt: skip


@samples.needed
@pytest.mark.parametrize("agent", AGENTS)
def test_a_folder_written_file_after_file_with_a_kill_between_any_two_slices_gives_what_export_gives(
    agent: str, tmp_path: Path
) -> None:
    files, live = files_of(agent), Live(tmp_path)
    mean = sum(map(len, files.values())) // 40
    written_and_killed(live, in_slices(files.items(), random.Random(5), max(mean, 200)))
    found = live.end()
    assert found == exported(live.folder, final=True)
    holds_the_laws(found)
    if "_folder" in expected(agent):
        assert tokens(list(found.values())) == wanted(expected(agent)["_folder"]["tokens"])


@samples.needed
@pytest.mark.parametrize("agent", AGENTS)
def test_a_folder_written_in_the_reverse_order_has_the_same_calls_once(agent: str, tmp_path: Path) -> None:
    """Of made samples that give one id to unlike calls, whichever is there first is counted: those are left out here."""
    files, live = without_clashes(files_of(agent)), Live(tmp_path)
    mean = sum(map(len, files.values())) // 20
    written_and_killed(live, in_slices(reversed(files.items()), random.Random(6), max(mean, 200)))
    found = live.end()
    holds_the_laws(found)
    assert tokens(list(found.values())) == tokens(list(exported(live.folder, final=True).values()))


def without_clashes(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leaves out files that share a message's id with another one."""
    ids = {name: set(_MESSAGE.findall(content)) for name, content in files.items()}
    count = Counter(one for found in ids.values() for one in found)
    return {name: content for name, content in files.items() if all(count[one] == 1 for one in ids[name])}


@samples.needed
@pytest.mark.parametrize(("agent", "name"), [each for each in files() if each[0] in AGENTS])
def test_a_session_and_its_sub_agents_written_by_time_have_the_expected_totals(
    agent: str, name: str, tmp_path: Path
) -> None:
    own, live = files_of(agent, of=name), Live(tmp_path)
    written_and_killed(live, in_slices(as_written(own), random.Random(7), 5_000), kills=10)
    found = live.end()
    assert found == exported(live.folder, final=True)
    holds_the_laws(found)
    told = expected(agent)[name]
    assert tokens(list(found.values())) == wanted(told.get("all_tokens", told.get("tokens")))


@samples.needed
@pytest.mark.parametrize("agent", AGENTS)
def test_a_pause_that_is_told_while_it_lasts_changes_nothing(agent: str, tmp_path: Path) -> None:
    """Each time a session was silent for two minutes, it is looked at after them; and the watch is killed then, every other time."""
    largest = max(files_of(agent).items(), key=lambda each: len(each[1]))[0]
    live, told, latest = Live(tmp_path), 0, 0
    lines = list(as_written(files_of(agent, of=largest)))
    if (
        agent == "codex" and pauses(lines) < 2
    ):  # its long sessions are not in the repository: a short one, and a slower model
        lines = slower(lines, 60)
    for name, line in lines:
        at_ns = time_of(line)
        if latest and at_ns - latest > SILENCE_NS:
            told += 1
            live.silence()
            if told % 2:
                live.following.restart()
        latest = max(latest, at_ns)
        live.write(name, line)
    assert agent == "openclaw" or told > 1
    assert live.end() == exported(live.folder, final=True)


@samples.needed
@pytest.mark.parametrize("name", ["opencode", "gemini"])
def test_documents_are_read_whole_when_they_are_there(name: str, tmp_path: Path) -> None:
    live, folder = Live(tmp_path), samples.FOLDER / name
    for path in folder.glob("*.json"):
        if path.name != "expected.json":
            live.put(path.name, path.read_bytes())
            live.following.round()
            live.following.restart()
    assert live.end() == exported(live.folder, final=True)
