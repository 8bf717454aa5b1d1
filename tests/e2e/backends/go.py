"""The Go toolchain as a process: its version, its environment, its failures. Knows nothing of what is built.

Rule 1: what a machine lacks (Go, a module proxy) is CannotBuild, a reason to skip. Whatever else fails is BuildError.
Rule 2: the proxy, the checksum database and the caches are the machine's own; flags are ours, whatever GOFLAGS holds.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Say = Callable[[str], None]

STEP_LIMIT_S = 1800.0  # the Collector takes 5 minutes on two idle cores; a machine six times slower still makes it
STILL_EVERY_S = 20.0  # a sign of life, so that nobody takes a cold build for a hang

# What Go prints where no index answers or may be asked. An index that refuses one module is not among them: the recipe is wrong then.
_NO_INDEX = re.compile(
    r"no such host|dial tcp|connection refused|connection reset|i/o timeout|TLS handshake timeout|network is unreachable|unexpected EOF"
    r"|proxyconnect|407 Proxy|x509: |Could not resolve host|context deadline exceeded|: (?:429|5\d\d) [A-Z]"
    r"|module lookup disabled by GOPROXY|GOPROXY list is not the empty string|invalid proxy URL"
)
_NO_FOLDERS = re.compile(
    r"module cache not found|GOCACHE is not defined|build cache is (?:required|disabled)|GOPATH entry|GOCACHE entry"
)


class CannotBuild(Exception):  # noqa: N818  # no error: the machine lacks something
    """Says what this machine lacks: a reason to skip, in words for people."""


class BuildError(Exception):
    """Says how a build failed that should not have."""


def needed(modules: Sequence[Path]) -> tuple[int, ...]:
    """Returns the Go version that the `go` lines of these go.mod files ask for."""
    lines = (re.search(r"^go (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE) for path in modules)
    return max(_version(line.group(1)) for line in lines if line)


def check(at_least: tuple[int, ...]) -> str:
    """Returns the path of Go.

    Raises:
        CannotBuild: there is none, or an older one.
    """
    wanted = ".".join(map(str, at_least))
    go = shutil.which("go")
    if go is None:
        raise CannotBuild(f"no Go on PATH ({wanted} or newer is needed)")
    asked = [go, "env", "GOVERSION"]
    found = subprocess.run(asked, env=_environment(), capture_output=True, text=True, timeout=60.0, check=False)
    version = found.stdout.strip().removeprefix("go")
    if found.returncode or not version[:1].isdigit():
        raise CannotBuild(f"`go env GOVERSION` says {(found.stderr or found.stdout).strip()[-200:]!r}")
    if _version(version) < at_least:
        raise CannotBuild(f"Go {version} is too old ({wanted} or newer is needed)")
    return go


def run(what: str, arguments: Sequence[str | Path], folder: Path, log: Path, say: Say, *, pinned: bool = True) -> None:
    """Runs a command in `folder`; its output goes to `log`.

    Args:
        what: its name in progress lines and errors.
        arguments: the command.
        folder: where it runs; Go's temporary files go there too, so that a cut build leaves nothing elsewhere.
        log: what it prints.
        say: takes progress lines.
        pinned: go.mod and go.sum must not change.

    Raises:
        CannotBuild: no module index answers.
        BuildError: it failed for another reason, or took longer than `STEP_LIMIT_S`.
    """
    say(f"{what} ...")
    began = time.monotonic()
    with log.open("ab") as output:
        said_before = output.tell()
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=folder,
            env=_environment("-mod=readonly" if pinned else "-mod=mod", GOTMPDIR=str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # compilers are its children: they end with it
        )
        try:
            code = _watched(process, what, began, say)
        finally:
            _end(process)
    if code != 0:
        _raise(what, log.read_bytes()[said_before:].decode(errors="replace"))
    say(f"{what}: {time.monotonic() - began:.0f} s")


def _watched(process: subprocess.Popen[bytes], what: str, began: float, say: Say) -> int:
    while (code := _code(process)) is None:
        took = time.monotonic() - began
        if took > STEP_LIMIT_S:
            raise BuildError(f"{what}: not done after {took:.0f} s")
        say(f"{what}: still at it, {took:.0f} s")
    return code


def _code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(STILL_EVERY_S)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _raise(what: str, said: str) -> None:
    for lacking, pattern in (("no module proxy answers", _NO_INDEX), ("Go has no folders of its own", _NO_FOLDERS)):
        found = pattern.search(said)
        if found:
            line = said[said.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
            raise CannotBuild(f"{lacking} ({line.strip()[-300:]})")
    raise BuildError(f"{what} failed:\n{said[-4000:]}")


def _environment(*flags: str, **more: str) -> dict[str, str]:
    # -buildvcs=false: the modules lie in a git work tree that says nothing of them. CGO off: no C compiler is needed.
    own = {
        "GOFLAGS": " ".join(("-buildvcs=false", "-trimpath", *flags)),
        "GOWORK": "off",
        "GO111MODULE": "on",
        "CGO_ENABLED": "0",
    }
    return {**os.environ, "GOTOOLCHAIN": "local", **own, **more}


def _version(text: str) -> tuple[int, ...]:
    """Reads `1.25.7`, and `1.26rc1` as 1.26."""
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[^\d.]", text)[0]))
