"""The builder of the real backends: what it skips, what it fails on, and that nothing half is ever kept. Go is a script here."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.backends import CannotBuild, go, programs, step
from tests.e2e.processes import wait_for

_GO = """#!/bin/sh
echo "$*" >> "$FAKE/calls"
if [ "$1" = env ]; then echo "$FAKE_VERSION"; exit; fi
if [ "$1" = list ] && [ -e "$FAKE/says" ]; then cat "$FAKE/says" >&2; exit 1; fi
while [ $# -gt 0 ] && [ "$1" != -o ]; do shift; done
case "$2" in
*/ocb) printf '#!/bin/sh\\nmkdir -p source\\n' > "$2" ;;
?*) printf 'half' > "$2"; sleep "${FAKE_SLEEP:-0}"; printf 'a program' > "$2" ;;
*) exit 0 ;;
esac
chmod +x "$2"
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the folder of a Go that builds anything, first on PATH, and an empty cache."""
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "go").write_text(_GO, encoding="ascii")
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("FAKE_VERSION", "go1.26.8")
    monkeypatch.setenv("OTEL_PHI_E2E_CACHE", str(tmp_path / "cache"))
    return folder


def test_programs_are_built_once_and_kept(fake: Path, tmp_path: Path) -> None:
    said: list[str] = []
    built = programs(said.append)
    assert [program.read_text(encoding="ascii") for program in built] == ["a program", "a program"]
    assert any("Jaeger: compiling" in line for line in said)
    calls = (fake / "calls").read_text(encoding="ascii")
    quick = [line for line in calls.splitlines() if "-ldflags=-s -w -gcflags=all=-l -dwarf=false" in line]
    assert len(quick) == 2, "both are built without what costs time and helps no test"
    assert programs(said.append) == built
    assert (fake / "calls").read_text(encoding="ascii") == calls, "the second time Go is not even asked"
    assert kept(tmp_path) == {built.otelcol.parent.name, built.jaeger.parent.name, "lock"}


def test_without_go_the_reason_is_told(fake: Path) -> None:
    (fake / "go").unlink()
    with pytest.raises(CannotBuild, match=r"no Go on PATH \(1\.25\.\d+ or newer is needed\)"):
        programs(print)


@pytest.mark.parametrize("version", ["go1.24.13", "go1.25.1"])
def test_an_old_go_is_told(fake: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VERSION", version)
    with pytest.raises(CannotBuild, match=f"Go {re.escape(version[2:])} is too old"):
        programs(print)


@pytest.mark.parametrize(
    "says",
    [
        "go: a@v1: Get https://index/a/@v/v1.zip: dial tcp: lookup index: no such host",
        "go: a@v1: module lookup disabled by GOPROXY=off",
        "go: a@v1: Get https://index/a: proxyconnect tcp: EOF",
        "go: a@v1: reading https://index/a/@v/v1.zip: 503 Service Unavailable",
    ],
)
def test_without_a_module_index_the_reason_is_told_and_nothing_stays(fake: Path, tmp_path: Path, says: str) -> None:
    (fake / "says").write_text(f"go: downloading a v1\n{says}\n", encoding="ascii")
    with pytest.raises(CannotBuild, match="no module proxy answers") as reason:
        programs(print)
    assert says in str(reason.value)
    assert kept(tmp_path) == {"lock"}


def test_a_download_that_fails_once_is_tried_once_more(fake: Path) -> None:
    (fake / "says").write_text("read tcp: connection reset by peer\n", encoding="ascii")

    def forget_at_once_more(line: str) -> None:
        if "once more" in line:
            (fake / "says").unlink()

    assert all(program.exists() for program in programs(forget_at_once_more))


def test_an_index_that_does_not_serve_a_pinned_module_is_told(fake: Path) -> None:
    (fake / "says").write_text("go: reading https://index/a/@v/v1.zip: 403 Forbidden\n", encoding="ascii")
    with pytest.raises(CannotBuild, match="does not serve a pinned module"):
        programs(print)


def test_a_build_for_which_there_is_no_time_left_is_told(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PHI_E2E_BUILD_UNTIL", str(time.time() - 1))
    with pytest.raises(CannotBuild, match="the time for that is over"):
        programs(print)
    assert kept(tmp_path) == {"lock"}


def test_a_build_that_is_not_done_in_time_is_ended_and_told(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PHI_E2E_BUILD_UNTIL", str(time.time() + 1))
    monkeypatch.setenv("FAKE_SLEEP", "60")
    monkeypatch.setattr(step, "STILL_EVERY_S", 0.2)
    with pytest.raises(CannotBuild, match="the time for that is over"):
        programs(print)
    assert kept(tmp_path) == {"lock"}


def test_a_go_without_folders_of_its_own_is_told(fake: Path) -> None:
    (fake / "says").write_text("go: module cache not found: neither GOMODCACHE nor GOPATH is set\n", encoding="ascii")
    with pytest.raises(CannotBuild, match="Go has no folders of its own"):
        programs(print)


@pytest.mark.parametrize("says", ["main.go:3:1: undefined: x", "verifying a@v1: checksum mismatch"])
def test_any_other_failure_is_an_error_and_nothing_stays(fake: Path, tmp_path: Path, says: str) -> None:
    (fake / "says").write_text(f"{says}\n", encoding="ascii")
    with pytest.raises(go.BuildError, match=re.escape(says)):
        programs(print)
    assert kept(tmp_path) == {"lock"}


def test_a_cache_that_cannot_be_written_is_told(fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OTEL_PHI_E2E_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CannotBuild, match=r"the cache cannot be written .*OTEL_PHI_E2E_CACHE names another"):
        programs(print)


def test_a_full_cache_may_be_read_only(fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = programs(print)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)  # a mode would not stop root, whom CI may be
    assert programs(print) == built


def test_a_builder_killed_in_the_middle_leaves_nothing_half_and_the_next_one_builds(fake: Path, tmp_path: Path) -> None:
    process = builder(sleep="20")  # the script that plays Go outlives it so long, as compilers would
    halves = wait_for(
        lambda: list((tmp_path / "cache").glob("building-*/bin/otelcol-phi")), "the Collector is half there"
    )
    process.kill()
    process.communicate()
    assert not list((tmp_path / "cache").glob("otelcol-phi-*"))
    built = programs(print)
    assert [program.read_text(encoding="ascii") for program in built] == ["a program", "a program"]
    assert not halves[0].exists(), "what the killed one left is gone"


def test_two_builders_build_once(fake: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with (tmp_path / "cache" / "lock").open("w", encoding="ascii") as lock:  # a third, until both wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes = builder(), builder()
        waits = [process.stderr.readline() for process in processes if process.stderr is not None]
    assert ["another process builds into" in line for line in waits] == [True, True], waits
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    calls = (fake / "calls").read_text(encoding="ascii").splitlines()
    assert len([call for call in calls if call.endswith("cmd/jaeger") and call.startswith("build")]) == 1


def test_the_command_that_builds_ends_well_where_the_tests_will_skip(fake: Path) -> None:
    (fake / "go").unlink()
    process = builder()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "will be SKIPPED: no Go on PATH" in said


def builder(sleep: str = "0") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.e2e.backends"]
    environment = {**os.environ, "FAKE_SLEEP": sleep}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kept(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").iterdir()}
