"""`show` draws a journal: of a dead process, of a living one, one file of it; nothing but the journal is needed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from otel_phi.delivery.journal.facts import encode_event
from otel_phi.hook.taking import event_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from otel_phi.wire.decode import Undecodable
from tests.cli.conftest import Run
from tests.cli.lost import Alive, lose
from tests.cli.streams import SESSION, a_session
from tests.cli.test_flush import NOWHERE, segments
from tests.delivery.journal.journals import HEAD, abandon, create, said

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no journals on Windows")


def shown(run: Run, *arguments: object) -> list[dict[str, Any]]:
    """Returns the spans that `show --json` prints."""
    found: list[dict[str, Any]] = json.loads(run("show", "--json", *arguments).stdout)
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return sorted(f"{one['span_id']} {one['name']} {one['start_ns']} {one['end_ns']}" for one in found)


def test_a_dead_process_s_folder_is_drawn_as_it_will_be_sent(run: Run, receiver: Receiver) -> None:
    receiver.answer(status=503, times=10_000)
    lose(receiver.endpoint, a_session(turns=2, ended=False)[:-1])
    receiver.forget_script()
    (path,) = segments()
    found = shown(run, path.parent)
    words = run("show", path.parent).stdout
    assert words.splitlines()[0].startswith(f"journal {path.parent.name} of otel-phi ")
    assert f"service test, for {receiver.endpoint}/v1/traces" in words
    assert "process_lost: its process was lost before it ended" in words
    assert run("flush", "--endpoint", receiver.endpoint).exit_code == 0
    sent = [f"{span.span_id:016x} {span.name} {span.start_ns} {span.end_ns}" for span in receiver.spans]
    assert names(found) == sorted(sent)


@pytest.mark.parametrize("level", ["outbox/*/*/00000001.journal", "outbox/*/*", "outbox/*", "outbox", ""])
def test_any_path_down_to_one_file_will_do_and_a_copy_elsewhere(run: Run, tmp_path: Path, level: str) -> None:
    lose(NOWHERE, a_session(turns=2))
    (path,) = (tmp_path / "state").glob(level) if level else (tmp_path / "state",)
    copy = tmp_path / "elsewhere" / ("one" if path.is_file() else "copied")
    copy.parent.mkdir()
    (shutil.copy if path.is_file() else shutil.copytree)(path, copy)
    expected = names(
        [{"span_id": f"{s.span_id:016x}", "name": s.name, "start_ns": s.start_ns, "end_ns": s.end_ns}
         for s in spans(a_session(turns=2), MappingOptions(service_name="test"))]
    )  # fmt: skip
    for where in (path, copy):
        assert names(shown(run, where)) == expected


def test_a_living_process_s_journal_is_drawn_and_goes_on(run: Run, receiver: Receiver, alive: Alive) -> None:
    receiver.answer(status=503, times=10_000)
    alive(receiver.endpoint)
    (path,) = segments()
    assert "; its process lives" in run("show", path.parent).stdout
    assert len(shown(run, path.parent)) == 5
    receiver.forget_script()
    assert run("flush", "--endpoint", receiver.endpoint, "--give-up-after", "20").exit_code == 0
    assert len(receiver.spans) == 5


def test_it_uses_the_options_in_the_head_unless_flags_say_others(run: Run) -> None:
    lose(NOWHERE, a_session())
    (path,) = segments()
    assert {one["trace_id"] for one in shown(run, path)} == {SESSION.replace("-", "")}
    assert {one["trace_id"] for one in shown(run, path, "--trace-scope", "loop")} != {SESSION.replace("-", "")}


def test_journals_and_logs_together(run: Run, tmp_path: Path) -> None:
    lose(NOWHERE, a_session())
    log = tmp_path / "run.jsonl"
    log.write_bytes(b"".join(json.dumps(event).encode() + b"\n" for event in a_session(session_id="other")))
    (path,) = segments()
    found = {one["attributes"]["session.id"] for one in shown(run, path, log)}
    assert found == {SESSION, "other"}


def test_what_is_damaged_costs_what_is_damaged_and_is_said(run: Run) -> None:
    lose(NOWHERE, a_session(turns=2))
    (path,) = segments()
    path.write_bytes(path.read_bytes().replace(b'"tool_name":"bash"', b'"tool_name":"ba\0h"', 1))
    result = run("show", path.parent)
    assert "1 line could not be read: 00000001.journal: a line that was changed" in " ".join(result.stderr.split())
    assert "2 turns" in result.stdout


def test_another_format_is_one_line(run: Run) -> None:
    lose(NOWHERE, a_session())
    (path,) = segments()
    content = path.read_bytes().replace(b"otel-phi journal 1\n", b"otel-phi journal 9\n").replace(b'"Head"', b'"Kopf"')
    path.write_bytes(content)
    result = run("show", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a journal of format 9, this version of otel-phi reads 1" in result.stderr


def test_a_journal_without_a_loop_is_one_line(run: Run, tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("nothing that a span shows"))
    result = run("show", abandon(journal))
    assert (result.exit_code, "no loop has begun" in result.stderr) == (2, True)


def test_what_its_head_says_cannot_act_on_the_terminal(run: Run, tmp_path: Path) -> None:
    resource = Raw(b'[["service.name","\\u001b[31mred\\u202e"]]')
    journal = create(tmp_path, head=replace(HEAD, version="\x1b]0;t\x07", resource=resource, mapping=Raw(b"{}")))
    for event in a_session():
        said_of = event_of(event)
        assert not isinstance(said_of, Undecodable)
        journal.append(encode_event(said_of))
    result = run("show", abandon(journal))
    assert (result.exit_code, "service [31mred" in result.stdout) == (0, True)
    assert {"\x1b", "\x07", "\u202e"}.isdisjoint(result.output)
