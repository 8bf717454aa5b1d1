"""What the tests need is in the repository: small, with a source and a licence for every sample, and the same files whoever unpacks them."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import golden
from tests.golden_renewal import ARCHIVE, cases, differs, event_logs
from tests.packing import add
from tests.unpacked import DATA, PACKED, members, pack, unpacked

AGENTS = DATA / "agents"
ARCHIVES = sorted(DATA.rglob(f"*{PACKED}"))
MAX_BYTES = 3_000_000  # every clone has it, for ever: what grows beyond is to be thought over
MAX_PLAIN_BYTES = 100_000  # larger ones are packed
OURS = "this project's own (MIT)"


def _kept() -> list[Path]:
    """Returns the files of tests/data that are in the repository."""
    return [path for path in DATA.rglob("*") if path.is_file() and path.relative_to(DATA).parts[0] != ".unpacked"]


def _sources() -> dict[str, str]:
    """Returns the licence of each pattern in the table of the samples' README."""
    rows = [line.split(" | ") for line in (AGENTS / "README.md").read_text(encoding="utf-8").splitlines()]
    return {
        pattern: row[3].removesuffix(" |")
        for row in rows
        if len(row) == 4
        for pattern in re.findall(r"`(.+?)`", row[0])
    }


def _samples() -> list[str]:
    """Returns the names of the samples in the repository, packed ones among them."""
    plain = [path.relative_to(AGENTS).as_posix() for path in AGENTS.glob("*/*.json*") if path.name != "expected.json"]
    return sorted([*plain, *(name for name, _ in members((AGENTS / "large.tar.xz").read_bytes()))])


def test_the_data_is_small_and_its_larger_files_are_packed() -> None:
    sizes = {path: path.stat().st_size for path in _kept()}
    assert sum(sizes.values()) <= MAX_BYTES
    assert [path for path, size in sizes.items() if size > MAX_PLAIN_BYTES and not path.name.endswith(PACKED)] == []


def test_every_sample_has_a_source_and_a_licence_whose_text_is_there() -> None:
    sources = _sources()
    # An Apache notice beside its licence has a name of its own.
    texts = {path.stem for path in (AGENTS / "LICENSES").iterdir() if "NOTICE" not in path.name}
    for name in _samples():
        of = [licence for pattern, licence in sources.items() if fnmatch.fnmatch(name, pattern)]
        assert len(of) == 1, name
        assert of[0] == OURS or of[0].split()[0] in texts, name
    named = {licence.split()[0] for licence in sources.values() if licence != OURS}
    assert named == texts


def test_the_totals_of_the_repository_are_those_of_its_samples() -> None:
    main = set(_samples())
    told = {
        f"{path.parent.name}/{name}"
        for path in AGENTS.glob("*/expected.json")
        for name in json.loads(path.read_text(encoding="utf-8"))
        if name != "_folder"
    }
    assert told - main == set()
    assert len(told) > 30


def test_an_archive_depends_on_nothing_but_names_and_contents() -> None:
    some = [(name, content) for name, content in members(ARCHIVE.read_bytes()) if name.startswith("edge/")]
    assert len(some) > 50
    assert list(members(pack(iter(some)))) == some
    assert pack(iter(some)) == pack(iter(some))


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.name)
def test_an_archive_holds_its_files_in_order_and_none_twice(path: Path) -> None:
    names = [name for name, _ in members(path.read_bytes())]
    assert names == sorted(set(names))


def test_a_file_is_added_to_an_archive_or_takes_its_predecessors_place(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    add(tmp_path / "x.tar.xz", tmp_path, ["b"])
    add(tmp_path / "x.tar.xz", tmp_path, ["a"])
    (tmp_path / "b").write_text("new")
    add(tmp_path / "x.tar.xz", tmp_path, ["b"])
    assert list(members((tmp_path / "x.tar.xz").read_bytes())) == [("a", b"a"), ("b", b"new")]


def test_processes_that_unpack_at_once_end_up_with_one_whole_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.unpacked import unpacked\n"
        "found = unpacked('agents', place=Path(sys.argv[1]))\n"
        "print(found, sum(path.is_file() for path in found.rglob('*')))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=golden.PROJECT) for _ in range(4)]
    said = {one.communicate()[0] for one in running}
    assert [one.returncode for one in running] == [0] * 4
    (only,) = said
    (folder,) = tmp_path.iterdir()
    assert only.split()[0] == str(folder)
    assert int(only.split()[1]) > 60


def test_a_checkout_that_cannot_be_written_does_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = unpacked("content", place=tmp_path / "file" / "place")
    assert (found / "handed_secrets.jsonl").stat().st_size > 40_000


def test_a_folder_outside_adds_what_is_missing_and_the_totals_that_tell_of_it(tmp_path: Path) -> None:
    beside = tmp_path / "agents"
    for folder in ("codex", "pi"):
        (beside / folder).mkdir(parents=True)
        (beside / folder / "expected.json").write_text("{}")
    (beside / "codex" / "more.jsonl").write_text("more")
    (beside / "codex" / "ccusage_session-alpha.jsonl").write_text("changed")
    found = unpacked("agents", beside=beside, place=tmp_path / "place")
    assert (found / "codex" / "more.jsonl").read_text() == "more"
    assert (found / "codex" / "expected.json").read_text() == "{}"
    assert (found / "codex" / "ccusage_session-alpha.jsonl").read_text() != "changed"
    assert json.loads((found / "pi" / "expected.json").read_text()) != {}
    (beside / "codex" / "more.jsonl").write_text("more of it")
    again = unpacked("agents", beside=beside, place=tmp_path / "place")
    assert (again / "codex" / "more.jsonl").read_text() == "more of it"


def test_a_renewal_asks_of_every_case_and_sees_what_differs() -> None:
    files = dict(members(ARCHIVE.read_bytes()))
    asked = {case.file for case in cases(files)} | {case.file for case in event_logs(files)}
    told = {name for name in files if name.endswith((".sessions.json", ".out.json"))}
    assert asked == told | {"recorder_cases.jsonl", "recorder_wild.jsonl"}
    case = next(one for one in cases(files) if one.file.startswith("conformance/followup"))
    assert differs(case, case.expected) is None
    assert differs(case, {**case.expected, "hooks": []}) is not None
