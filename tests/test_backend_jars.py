"""Kafka's jars: got once, whole or not at all, and what they skip. Maven is a script here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.backends import CannotBuild
from tests.e2e.backends.maven import kafka_jars
from tests.e2e.backends.step import BuildError

_MAVEN = """#!/bin/sh
echo "$*" >> "$FAKE/calls"
for each in "$@"; do case "$each" in -DoutputDirectory=*) folder="${each#*=}" ;; esac; done
mkdir "$folder" && touch "$folder/kafka.jar"
if [ -e "$FAKE/says" ]; then cat "$FAKE/says"; exit 1; fi
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the folder of a Maven that gets anything and a Java that does nothing, alone on PATH, and an empty cache."""
    folder = tmp_path / "fake"
    folder.mkdir()
    for name, script in (("mvn", _MAVEN), ("java", "#!/bin/sh\n")):
        (folder / name).write_text(script, encoding="ascii")
        (folder / name).chmod(0o755)
    for name in ("sh", "cat", "mkdir", "touch"):
        (folder / name).symlink_to(next(path for path in (Path("/bin", name), Path("/usr/bin", name)) if path.exists()))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("OTEL_PHI_E2E_CACHE", str(tmp_path / "cache"))
    return folder


def test_jars_are_got_once_and_kept(fake: Path, tmp_path: Path) -> None:
    jars = kafka_jars(print)
    assert [path.name for path in jars.iterdir()] == ["kafka.jar"]
    assert kafka_jars(print) == jars
    assert len((fake / "calls").read_text(encoding="ascii").splitlines()) == 1
    assert kept(tmp_path) == {jars.name, "lock"}


@pytest.mark.parametrize("program", ["java", "mvn"])
def test_without_java_or_maven_the_reason_is_told(fake: Path, program: str) -> None:
    (fake / program).unlink()
    with pytest.raises(CannotBuild, match=f"no {program} on PATH"):
        kafka_jars(print)


@pytest.mark.parametrize(
    "says",
    [
        "Could not transfer artifact org.apache.kafka:kafka_2.13:pom:3.9.1 from/to x: Connection refused",
        "Could not find artifact org.apache.kafka:kafka_2.13:pom:3.9.1 in x",
    ],
)
def test_without_a_repository_the_reason_is_told_and_nothing_stays(fake: Path, tmp_path: Path, says: str) -> None:
    (fake / "says").write_text(f"[ERROR] {says}\n", encoding="ascii")
    with pytest.raises(CannotBuild, match="no Maven repository answers, or it has not got an artifact"):
        kafka_jars(print)
    assert kept(tmp_path) == {"lock"}


def test_any_other_failure_is_an_error_and_nothing_stays(fake: Path, tmp_path: Path) -> None:
    (fake / "says").write_text("[ERROR] Malformed POM\n", encoding="ascii")
    with pytest.raises(BuildError, match="Malformed POM"):
        kafka_jars(print)
    assert kept(tmp_path) == {"lock"}


def kept(tmp_path: Path) -> set[str]:
    """Returns what is in the cache."""
    return {path.name for path in (tmp_path / "cache").iterdir()}
