"""The state folder of the command line is the hook's: a volume that others own, one that can only be read, one that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_phi.delivery.journal.destination import destination
from otel_phi.delivery.journal.known import Known, SoFar, counts_so_far
from otel_phi.testing import Receiver
from tests.cli.conftest import Run
from tests.cli.lost import lose
from tests.cli.streams import a_session
from tests.cli.test_flush import NOWHERE, segments

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX's owners, modes and locks")


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_in_a_volume_that_everyone_may_write_to_the_private_folder_inside_is_read(
    run: Run, receiver: Receiver, tmp_path: Path, mode: int
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    receiver.answer(status=503, times=10_000)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    inner = state / str(os.geteuid())
    found = json.loads(run("status", "--json").stdout)
    assert (found["folder"], found["waiting"]) == (str(inner / "outbox"), 8)
    assert len(json.loads(run("show", "--json", state).stdout)) == 5
    assert run("flush", "--endpoint", receiver.endpoint).exit_code == 0
    assert len(receiver.spans) == 5


def test_a_look_at_such_a_volume_makes_no_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o1777)
    assert run("status").exit_code == 0
    assert list((tmp_path / "state").iterdir()) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[None]:
    """Makes the state folder, which is there, a volume that can only be read, until the test is over."""
    state = tmp_path / "state"
    for options in (["--bind", str(state)], ["-o", "remount,bind,ro"]):
        if subprocess.run(["mount", *options, str(state)], capture_output=True, check=False).returncode:
            subprocess.run(["umount", state], capture_output=True, check=False)
            pytest.skip("no file system can be mounted here: a read-only volume was not tried")
    yield
    subprocess.run(["umount", state], check=True)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Returns a process's folder that a killed agent left."""
    lose(NOWHERE, a_session())
    (path,) = segments()
    return path.parent


@pytest.mark.usefixtures("left", "read_only")
def test_on_a_read_only_volume_all_is_said_and_nothing_is_claimed_to_be_sent(run: Run) -> None:
    found = json.loads(run("status", "--json").stdout)
    (one,) = found["destinations"]
    assert (found["waiting"], one["processes"]) == (8, []), "who lives is told without writing"
    assert len(json.loads(run("show", "--json", Path(found["folder"])).stdout)) == 5
    result = run("flush", "--endpoint", NOWHERE, "--give-up-after", "0.3")
    assert result.exit_code == 4
    assert "8 facts stayed in the outbox: " in result.stdout
    assert "cannot be written to, so nothing can be taken from it" in result.stdout
    purged = run("status", "--purge", "--yes")
    assert (purged.exit_code, "left alone" in purged.stderr) == (1, True)
    assert json.loads(run("status", "--json").stdout)["waiting"] == 8


def test_counts_of_several_processes_add_up_and_nobody_needs_them(tmp_path: Path) -> None:
    where = destination("http://localhost:4318/v1/traces", "http/protobuf")
    assert counts_so_far(tmp_path) == {}
    one, other = Known(tmp_path), Known(tmp_path)
    assert one.add_counts(where, SoFar(acknowledged=3, dropped=1, last_error="connection refused", last_error_ns=5))
    assert other.add_counts(where, SoFar(acknowledged=2, rejected=1))
    one.close()
    other.close()
    assert counts_so_far(tmp_path) == {
        where.name: SoFar(
            shown=where.shown, acknowledged=5, rejected=1, dropped=1, last_error="connection refused", last_error_ns=5
        )
    }
    (tmp_path / "known.sqlite3").write_bytes(b"no database at all" * 1000)
    assert counts_so_far(tmp_path) == {}
