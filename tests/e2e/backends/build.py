"""What is built, from which recipe, and where it is kept.

Rule 1: a program is there whole or not at all: it is built in a folder of its own, which is then renamed.
Rule 2: one builder at a time; the others wait, and find the program there.
Rule 3: another recipe is another folder; the newest three of a program are kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import platformdirs

from tests.e2e.backends import go

HERE = Path(__file__).parent
KEPT = 3  # recipes of a program: that of main, of a branch and of the one before; 100 MB each
BUILDER, COLLECTOR, JAEGER = HERE / "builder", HERE / "otelcol", HERE / "jaeger"
_SMALL = "-ldflags=-s -w"  # no symbol tables: a third of the size, and of the time to write it
# Neither inlining nor debugging information: a third less of a core's time (429 s to 287 s for the Collector), for programs that a test asks little of.
_QUICK = "-gcflags=all=-l -dwarf=false"


class Programs(NamedTuple):
    """Is the paths of the real backends' programs."""

    otelcol: Path
    jaeger: Path


def programs(say: go.Say) -> Programs:
    """Returns the programs, building those that are not there yet.

    Args:
        say: takes progress lines.

    Raises:
        CannotBuild: Go, a module proxy or a cache that can be written is missing.
        BuildError: a build failed for another reason.
    """
    wanted = Programs(_kept("otelcol-phi", BUILDER, COLLECTOR), _kept("jaeger", JAEGER))
    if all(map(Path.exists, wanted)):
        for program in wanted:
            with contextlib.suppress(OSError):  # a cache that others fill may be read-only here
                os.utime(program.parent)  # Rule 3: what is used is new
        return wanted
    tool = go.check(go.needed([folder / "go.mod" for folder in (BUILDER, COLLECTOR, JAEGER)]))
    with alone(say):
        if not wanted.otelcol.exists():
            _collector(tool, wanted.otelcol, say)
        if not wanted.jaeger.exists():
            _jaeger(tool, wanted.jaeger, say)
    return wanted


def cache() -> Path:
    """Returns the folder that holds what was built: `$OTEL_PHI_E2E_CACHE`, else one in the platform's cache folder."""
    given = os.environ.get("OTEL_PHI_E2E_CACHE")
    return Path(given).resolve() if given else Path(platformdirs.user_cache_dir("otel-phi")) / "e2e"


def collector_source(tool: str, folder: Path, say: go.Say, *, pinned: bool = True) -> Path:
    """Writes the Collector's source from the manifest; returns its folder.

    Args:
        tool: Go.
        folder: where to work, empty.
        say: takes progress lines.
        pinned: with the go.mod and go.sum that are kept; else with what the builder finds now.
    """
    log = folder / "log"
    shutil.copytree(BUILDER, folder / "builder")
    build: list[str | Path] = [tool, "build", "-o", folder / "ocb", "go.opentelemetry.io/collector/cmd/builder"]
    go.run("the Collector's builder", build, folder / "builder", log, say)
    shutil.copy(COLLECTOR / "manifest.yaml", folder)
    generate: list[str | Path] = [folder / "ocb", "--config=manifest.yaml", "--skip-compilation"]
    go.run("the Collector's source", [*generate, *["--skip-get-modules"] * pinned], folder, log, say, pinned=pinned)
    if pinned:
        for name in ("go.mod", "go.sum"):
            shutil.copy(COLLECTOR / name, folder / "source")
    return folder / "source"


def _collector(tool: str, program: Path, say: go.Say) -> None:
    with _whole(program) as folder:
        source = collector_source(tool, folder, say)
        _compile(tool, "the Collector", ".", source, folder / "bin" / program.name, folder / "log", say)


def _jaeger(tool: str, program: Path, say: go.Say) -> None:
    with _whole(program) as folder:
        source = Path(shutil.copytree(JAEGER, folder / "source"))
        package = "github.com/jaegertracing/jaeger/cmd/jaeger"
        _compile(tool, "Jaeger", package, source, folder / "bin" / program.name, folder / "log", say)


def _compile(tool: str, what: str, package: str, source: Path, program: Path, log: Path, say: go.Say) -> None:
    modules = [tool, "list", "-deps", package]
    try:
        go.run(f"{what}: its modules", modules, source, log, say)
    except go.CannotBuild as hiccup:  # 500 downloads: one may fail on any network
        say(f"{hiccup}; once more")
        go.run(f"{what}: its modules", modules, source, log, say)
    go.run(f"{what}: compiling", [tool, "build", _SMALL, _QUICK, "-o", program, package], source, log, say)


def _kept(name: str, *recipe: Path) -> Path:
    digest = hashlib.sha256(f"{sys.platform} {platform.machine()}".encode())
    for path in sorted(path for folder in recipe for path in folder.iterdir()):
        digest.update(f"{path.relative_to(HERE)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return cache() / f"{name}-{digest.hexdigest()[:16]}" / name


@contextmanager
def alone(say: go.Say) -> Iterator[None]:
    """Holds the lock of the cache (Rule 2); the operating system frees it however a builder ends."""
    try:
        cache().mkdir(parents=True, exist_ok=True)
        opened = (cache() / "lock").open("w", encoding="ascii")
    except OSError as error:
        raise go.CannotBuild(f"the cache cannot be written ({error}); OTEL_PHI_E2E_CACHE names another") from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process builds into {cache()}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache().glob("building-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextmanager
def _whole(program: Path) -> Iterator[Path]:
    """Gives a folder to build in; its `bin` becomes the program's folder when all went well."""
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache()) as folder:
        (Path(folder) / "bin").mkdir()
        yield Path(folder)
        (Path(folder) / "bin").rename(program.parent)
    kept = sorted(cache().glob(f"{program.name}-*"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
