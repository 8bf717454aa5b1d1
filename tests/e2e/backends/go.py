"""The Go toolchain as a process: its version, its environment, its failures. Knows nothing of what is built.

Rule 1: what a machine lacks (Go, a module proxy) is CannotBuild, a reason to skip. Whatever else fails is BuildError.
Rule 2: the proxy, the checksum database and the caches are the machine's own; flags are ours, whatever GOFLAGS holds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.backends import step
from tests.e2e.backends.step import Absent, BuildError, CannotBuild, Say

__all__ = ["BuildError", "CannotBuild", "Say", "check", "needed", "run"]

# What Go prints where no index answers or may be asked, or where it does not serve a module. All versions are pinned with their sums, and
# were there when they were: one that is refused says something of the index, which may hold back or withdraw it, not of our recipe.
_ABSENT = (
    Absent(
        "no module proxy answers",
        re.compile(
            r"no such host|dial tcp|connection refused|connection reset|i/o timeout|TLS handshake timeout|network is unreachable|unexpected EOF"
            r"|proxyconnect|407 Proxy|x509: |Could not resolve host|context deadline exceeded|: (?:429|5\d\d) [A-Z]"
            r"|module lookup disabled by GOPROXY|GOPROXY list is not the empty string|invalid proxy URL"
        ),
    ),
    Absent("the module proxy does not serve a pinned module", re.compile(r"reading https?://\S+: (?:403|404|410) ")),
    Absent(
        "Go has no folders of its own",
        re.compile(
            r"module cache not found|GOCACHE is not defined|build cache is (?:required|disabled)|GOPATH entry|GOCACHE entry"
        ),
    ),
)


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
        CannotBuild: no module index answers, or it does not serve a pinned module.
        BuildError: it failed for another reason, or took longer than `STEP_LIMIT_S`.
    """
    environment = _environment("-mod=readonly" if pinned else "-mod=mod", GOTMPDIR=str(folder))
    step.run(what, arguments, folder, log, say, environment=environment, absent=_ABSENT)


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
