"""Kafka's jars, got by Maven from the recipe in `kafka/pom.xml` and kept in the cache beside the programs.

Rule 1: the folder is there whole or not at all: Maven writes into another, which is then renamed.
Rule 2: one at a time; the others wait, and find it there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from tests.e2e.backends import build, step
from tests.e2e.backends.step import Absent, CannotBuild, Say

_RECIPE = build.HERE / "kafka"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
KEPT = 2  # recipes; 46 MB each
# What Maven prints where no repository answers, or where it has not got an artifact.
_ABSENT = (
    Absent(
        "no Maven repository answers, or it has not got an artifact",
        re.compile(
            r"Could not (?:find|transfer) artifact|Could not resolve|Unknown host|Connection refused|offline mode"
        ),
    ),
)


def kafka_jars(say: Say) -> Path:
    """Returns the folder of Kafka's jars, getting them first where they are not there yet.

    Args:
        say: takes progress lines.

    Raises:
        CannotBuild: Java, Maven or a repository is missing; or the cache cannot be written.
        BuildError: it failed for another reason.
    """
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise CannotBuild(f"no {program} on PATH")
    recipe = (_RECIPE / "pom.xml").read_bytes()
    folder = build.cache() / f"kafka-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if not folder.exists():
        with build.alone(say):
            if not folder.exists():
                _get(folder, say)
    with contextlib.suppress(OSError):  # a cache that others fill may be read-only here
        os.utime(folder)
    return folder


def _get(folder: Path, say: Say) -> None:
    with tempfile.TemporaryDirectory(prefix="building-", dir=build.cache()) as name:
        made = Path(name)
        shutil.copy(_RECIPE / "pom.xml", made)
        command = ["mvn", "--batch-mode", _COPY, f"-DoutputDirectory={made / 'jars'}"]
        step.run("Kafka's jars", command, made, made / "log", say, environment=os.environ, absent=_ABSENT)
        (made / "jars").rename(folder)
    kept = sorted(build.cache().glob("kafka-*"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
