"""The outbox knows who lives, whose folders are whose, what may be adopted, and what must go."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal import outbox as module
from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters
from otel_phi.delivery.journal.destination import credentials, credentials_match, destination, new_salt
from otel_phi.delivery.journal.facts import Head
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.outbox import Outbox, identity, parse_name
from tests.delivery.journal.journals import HEAD, PLACE, abandon, create, folder_of, read_all, said, segments_of, texts


def another_s(journal: Journal, pid: int | None = None, who: str = "feedbeef") -> Path:
    """Leaves a journal as a killed process of another number or start does; returns its folder."""
    folder = abandon(journal)
    target = folder.with_name(f"{pid or os.getpid()}-{who}{folder.name[-8:]}")
    folder.rename(target)
    return target


def any_credentials(head: Head) -> bool:
    return True


def adoptable(outbox: Outbox) -> list[Path]:
    found = list(outbox.adoptable(PLACE, any_credentials))
    for one in found:
        one.lock.release()
    return [one.folder for one in found]


def test_folders_and_files_are_the_user_s_alone(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.roll()
    DeadLetters(folder_of(journal)).append(DeadLetter(at_ns=1, entry=b"x"))
    for path in (tmp_path / "outbox").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    journal.close(delete=True)


def test_a_process_does_not_adopt_or_open_its_own(tmp_path: Path) -> None:
    journal = create(tmp_path)
    outbox = Outbox(tmp_path)
    (folder,) = outbox.folders()
    assert (folder.own, folder.alive, folder.pid, folder.problem) == (True, True, os.getpid(), "")
    assert folder.head == HEAD
    assert folder.destination == PLACE
    assert adoptable(outbox) == []
    journal.close(delete=True)


def test_an_earlier_process_of_the_same_number_is_another_one(tmp_path: Path) -> None:
    folder = another_s(create(tmp_path))
    assert parse_name(folder.name) == (os.getpid(), "feedbeef")
    assert adoptable(Outbox(tmp_path)) == [folder]


def test_a_second_interpreter_of_this_process_is_this_process(tmp_path: Path) -> None:
    folder = abandon(create(tmp_path))
    folder = folder.rename(folder.with_name(f"{folder.name[:-8]}feedbeef"))  # nothing of it is known here but its name
    assert parse_name(folder.name) == (os.getpid(), identity())
    assert adoptable(Outbox(tmp_path)) == []
    assert adoptable(Outbox(tmp_path)) == []


def test_what_this_process_closed_with_something_left_is_adopted_as_anybody_s(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert journal.append(said("one"))
    journal.close(delete=False)
    outbox = Outbox(tmp_path)
    (folder,) = outbox.folders()
    assert (folder.own, folder.alive) == (False, False)
    adopted = Journal.adopt(next(outbox.adoptable(PLACE, any_credentials)))
    assert texts(read_all(adopted)) == ["one"]
    assert outbox.folders()[0].own
    assert adoptable(outbox) == []
    adopted.close(delete=True)
    assert outbox.folders() == []


def test_the_oldest_is_adopted_first(tmp_path: Path) -> None:
    folders = [another_s(create(tmp_path), pid) for pid in (900_003, 900_001, 900_002)]
    assert adoptable(Outbox(tmp_path)) == folders


def test_a_folder_without_a_lock_is_dead_after_five_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = another_s(create(tmp_path))
    (folder / "lock").unlink()
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    outbox = Outbox(tmp_path)
    assert adoptable(outbox) == []
    now = 104.9
    assert adoptable(outbox) == []
    now = 105.0
    assert adoptable(outbox) == [folder]


def test_a_lock_that_came_back_is_missing_anew_when_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = another_s(create(tmp_path))
    lock = folder / "lock"
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    outbox = Outbox(tmp_path)
    lock.unlink()
    assert adoptable(outbox) == []
    lock.touch(0o600)
    assert adoptable(outbox) == [folder]
    lock.unlink()
    now = 200.0
    assert adoptable(outbox) == []


def test_destinations_and_credentials_do_not_mix(tmp_path: Path) -> None:
    salt = new_salt()
    head = msgspec.structs.replace(HEAD, salt=salt, credentials=credentials(salt, {"authorization": "Bearer a"}))
    folder = another_s(create(tmp_path, head=head))
    other = destination("http://localhost:4319", "grpc")
    outbox = Outbox(tmp_path)

    def found(headers: dict[str, str], place: object = PLACE) -> list[Path]:
        some = list(outbox.adoptable(place, lambda head: credentials_match(head, headers)))  # type: ignore[arg-type]
        for one in some:
            one.lock.release()
        return [one.folder for one in some]

    assert found({"authorization": "Bearer b"}) == []
    assert found({}) == []
    assert found({"authorization": "Bearer a"}, other) == []
    assert found({"authorization": "Bearer a"}) == [folder]
    assert found({"authorization": "Bearer a"}, None) == [folder]


def test_another_format_is_left_alone_and_named(tmp_path: Path) -> None:
    folder = another_s(create(tmp_path))
    for path in (*folder.glob("*.journal"), *folder.glob("*.reserve")):
        data = path.read_bytes()
        data = data.replace(b"otel-phi journal 1\n", b"otel-phi journal 7\n").replace(
            b'{"type":"Head"', b'{"type":"Haed"'
        )
        path.write_bytes(data)
    (found,) = Outbox(tmp_path).folders()
    assert found.problem == "format 7 is not ours (1)"
    assert adoptable(Outbox(tmp_path)) == []
    assert folder.exists()


def test_a_folder_whose_heads_are_all_damaged_is_left_alone_and_named(tmp_path: Path) -> None:
    folder = another_s(create(tmp_path))
    for path in (*folder.glob("*.journal"), *folder.glob("*.reserve")):
        path.write_bytes(path.read_bytes().replace(b'{"type":"Head"', b'{"type":"Haed"'))
    (found,) = Outbox(tmp_path).folders()
    assert found.problem == "its head is damaged"
    assert found.destination.name == PLACE.name
    assert adoptable(Outbox(tmp_path)) == []


def test_what_is_no_process_s_folder_is_not_looked_at(tmp_path: Path) -> None:
    create(tmp_path).close(delete=True)
    parent = tmp_path / "outbox" / PLACE.name
    for name in ("notes", "12-x", f"{os.getpid()}-deadbeefdeadbeef.old"):
        (parent / name).mkdir()
    (tmp_path / "outbox" / "old.sqlite3").touch()
    (parent / "7-feedbeeffeedbeef").symlink_to(tmp_path)
    assert Outbox(tmp_path).folders() == []
    assert list(Outbox(tmp_path / "nowhere").folders()) == []


def test_a_folder_with_dead_letters_alone_stays_and_is_shown(tmp_path: Path) -> None:
    journal = create(tmp_path)
    folder = folder_of(journal)
    DeadLetters(folder).append(DeadLetter(at_ns=1, entry=b"x"))
    journal.append(said("one"))
    journal.close(delete=True)
    (found,) = Outbox(tmp_path).folders()
    assert found.path == folder
    assert (found.segments, found.bytes, found.problem) == ((), 0, "")
    assert found.dead_letters > 0
    assert adoptable(Outbox(tmp_path)) == []


def test_two_adopters_do_not_adopt_the_same(tmp_path: Path) -> None:
    folders = {another_s(create(tmp_path), pid) for pid in (900_001, 900_002)}
    one, other = (Outbox(tmp_path).adoptable(PLACE, any_credentials) for _ in range(2))
    first, second = next(one), next(other)
    assert {first.folder, second.folder} == folders
    assert list(one) == list(other) == []
    for found in (first, second):
        journal = Journal.adopt(found)
        journal.close(delete=True)
    assert Outbox(tmp_path).folders() == []


def test_a_folder_that_another_adopter_emptied_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = another_s(create(tmp_path))
    real = module._lock

    def lock(path: Path) -> filelock.FileLock | None:
        (folder / "00000001.journal").unlink()
        return real(path)

    monkeypatch.setattr(module, "_lock", lock)
    assert adoptable(Outbox(tmp_path)) == []
    assert not folder.exists()


# --- bounds --------------------------------------------------------------------------------------------------------------


def filled(state: Path, segments: int) -> Journal:
    journal = create(state)
    for number in range(segments):
        journal.append(said(str(number)))
        journal.roll()
    return journal


def test_within_the_bounds_nothing_must_go(tmp_path: Path) -> None:
    journal = filled(tmp_path, 3)
    assert Outbox(tmp_path).keep_within() == []
    journal.close(delete=True)


def test_dead_processes_folders_go_first_then_one_s_own_segments_oldest_first(tmp_path: Path) -> None:
    dead = [another_s(filled(tmp_path, 2), pid) for pid in (900_002, 900_001)]
    journal = filled(tmp_path, 4)
    outbox = Outbox(tmp_path)
    sizes = {folder.path: folder.bytes for folder in outbox.folders()}
    total = sum(sizes.values())
    assert [(one.folder, one.segment) for one in outbox.keep_within(total - 1)] == [(dead[0], None)]
    for limit in (sizes[folder_of(journal)], sizes[folder_of(journal)] + 1):
        assert [(one.folder, one.segment) for one in outbox.keep_within(limit)] == [(dead[0], None), (dead[1], None)]
    own = [(folder_of(journal), number) for number in (1, 2, 3, 4)]
    assert [(one.folder, one.segment) for one in outbox.keep_within(0)][2:] == own, "never the one that is written to"
    assert {one.reason for one in outbox.keep_within(0)} == {"size"}
    journal.close(delete=True)


def test_what_is_older_than_the_bound_goes(tmp_path: Path) -> None:
    old, young = (another_s(filled(tmp_path, 1), pid) for pid in (900_001, 900_002))
    journal = filled(tmp_path, 2)
    for path in (*old.glob("*.journal"), folder_of(journal) / "00000001.journal"):
        os.utime(path, (1_000_000, 1_000_000))
    going = Outbox(tmp_path).keep_within(max_age_s=3600)
    assert [(one.folder, one.segment, one.reason) for one in going] == [
        (old, None, "age"),
        (folder_of(journal), 1, "age"),
    ]
    assert young.exists()
    journal.close(delete=True)


def test_another_living_process_s_folder_never_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = another_s(filled(tmp_path, 2))
    lock = filelock.acquire(folder / "lock")
    assert lock is not None
    monkeypatch.setattr(filelock, "is_ours", lambda path: False)
    assert [(found.own, found.alive) for found in Outbox(tmp_path).folders()] == [(False, True)]
    assert Outbox(tmp_path).keep_within(0, 0.0) == []
    lock.release()


# --- names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "protocol", "begins", "shown"),
    [
        ("https://user:secret@h.example/v1/traces?token=secret", "http/protobuf", "h-example-v1-traces-http-protobuf-", "https://h.example/v1/traces (http/protobuf)"),
        ("http://localhost:4317", "grpc", "localhost-4317-grpc-", "http://localhost:4317 (grpc)"),
        ("unix:///run/collector.sock", "grpc", "unix-run-collector-sock-grpc-", "unix:/run/collector.sock (grpc)"),
        ("http://[::1]:4318/v1/traces", "http/protobuf", "1-4318-v1-traces-", "http://[::1]:4318/v1/traces (http/protobuf)"),
        ("http://[", "http/protobuf", "http-protobuf-", "http://[ (http/protobuf)"),
        ("../../etc/passwd", "file", "etc-passwd-file-", "../../etc/passwd (file)"),
        ("http://" + "h" * 300, "grpc", "h" * 60, ""),
    ],
)  # fmt: skip
def test_a_destination_s_name_is_readable_safe_and_without_secrets(
    endpoint: str, protocol: str, begins: str, shown: str
) -> None:
    found = destination(endpoint, protocol)
    assert found.name.startswith(begins)
    assert set(found.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(found.name) < 100
    assert "secret" not in found.name + found.shown
    assert found.shown == (shown or found.shown)
    assert found == destination(endpoint, protocol)


def test_destinations_differ_by_path_protocol_and_given_name() -> None:
    found = [
        destination("http://h/v1/traces", "http/protobuf"),
        destination("http://h/tenant/v1/traces", "http/protobuf"),
        destination("http://h/v1/traces", "grpc"),
        destination("http://h/v1/traces", "http/protobuf", "mine"),
        destination("http://h/v1/traces", "http/protobuf", "mein\ud800"),
    ]
    assert len({one.name for one in found}) == len(found)
    assert destination("callable", "python", "mine").name == found[3].name


def test_credentials_are_salted_and_compared_whole() -> None:
    one, other = new_salt(), new_salt()
    headers = {"Authorization": "Bearer a", "x": "1"}
    assert credentials(one, headers) != credentials(other, headers)
    assert credentials(one, headers) == credentials(one, dict(reversed(headers.items())))
    assert credentials(one, {}) == b""
    assert credentials(one, {"a": "bc"}) != credentials(one, {"ab": "c"})
    assert credentials(one, {}, b"certificate") not in (b"", credentials(one, {"certificate": ""}))
    head = msgspec.structs.replace(HEAD, salt=one, credentials=credentials(one, headers, b"c"))
    assert credentials_match(head, headers, b"c")
    assert not credentials_match(head, headers)
    assert credentials_match(HEAD, {})


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is open")
def test_files_are_opened_so_that_children_do_not_inherit_them(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    journal.roll()
    links = {link: link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    ours = [int(link.name) for link, target in links.items() if target.is_relative_to(folder_of(journal))]
    assert len(ours) > len(segments_of(journal)) > 1, "the lock too"
    assert [os.get_inheritable(one) for one in ours] == [False] * len(ours)
    journal.close(delete=True)


def test_a_journal_whose_making_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Outbox(tmp_path).place(PLACE)

    def full(descriptor: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        Journal.create(place, HEAD)
    monkeypatch.undo()
    assert list(place.folder.iterdir()) == []
    journal = create(tmp_path)
    assert texts(read_all(journal)) == []
    journal.close(delete=True)
    shutil.rmtree(tmp_path / "outbox")
