"""Builds examples/rust-agent with cargo, from crates.io and its Cargo.lock, into the cache of the real backends.

Rule 1: what a machine lacks (cargo, a new enough Rust, a crate index, OpenSSL's headers, a cache that can be written) is CannotBuild, a
        reason to skip. Whatever else fails is BuildError.
Rule 2: nothing is written into the checkout: the target folder is in the cache, which cargo itself locks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests import golden
from tests.e2e.backends import CannotBuild
from tests.e2e.backends.build import cache
from tests.e2e.backends.go import BuildError, Say
from tests.e2e.backends.step import time_left_s

AGENT = golden.PROJECT / "examples" / "rust-agent"
LIMIT_S = 1800.0  # a minute on two idle cores; 200 s with both busy [measured]

# curl's code and words at the end of cargo's chain of causes: nothing answered, or not over TLS. Or an index that does not serve a crate of
# Cargo.lock: that says something of the index, since it was there when it was locked.
_NO_INDEX = re.compile(
    r"^\s*\[\d+\] \w.*$|^.*you're using offline mode|^.*failed to get successful HTTP response from .*$", re.MULTILINE
)
_OLD_RUST = re.compile(
    r"^.*(requires rustc \S+|lock file version `?\d+`? (was found|requires)|edition20\d\d` is required).*$",
    re.MULTILINE,
)
# phi-core brings reqwest, which links to the system's OpenSSL; ring compiles C.
_NO_C = re.compile(
    r"^.*(Could not find directory of OpenSSL|linker `cc` not found|failed to find tool).*$", re.MULTILINE
)
# The cache, or cargo's own folder.
_NO_FOLDER = re.compile(r"^.*(Read-only file system|Permission denied) \(os error \d+\).*$", re.MULTILINE)


def agent(say: Say) -> Path:
    """Returns the agent's program, built first where need be.

    Args:
        say: takes progress lines.

    Raises:
        CannotBuild: cargo, a new enough Rust, a crate index, OpenSSL's headers or a cache that can be written are missing.
        BuildError: the build failed for another reason, or took longer than `LIMIT_S`.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise CannotBuild("no cargo on PATH (Rust 1.88 or newer is needed)")
    target = cache() / "rust-agent"
    left_s = time_left_s("examples/rust-agent")
    say(f"examples/rust-agent: cargo build into {target}; a minute where it is not built yet ...")
    try:
        done = subprocess.run(
            [cargo, "build", "--locked", "--manifest-path", str(AGENT / "Cargo.toml")],
            env={**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"},
            cwd=AGENT,  # a rust-toolchain file or .cargo/config.toml of its own counts, none of ours
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=min(LIMIT_S, left_s),
            check=False,
        )
    except subprocess.TimeoutExpired:
        time_left_s("examples/rust-agent")
        raise BuildError(f"examples/rust-agent: not built after {LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        raise why(done.stderr)
    return target / "debug" / "rust-agent"


def why(said: str) -> CannotBuild | BuildError:
    """Returns what a failed build says: a lack of this machine, or a mistake of ours."""
    lacks = next(filter(None, (lack.search(said) for lack in (_OLD_RUST, _NO_INDEX, _NO_C, _NO_FOLDER))), None)
    if lacks is None:
        return BuildError(f"examples/rust-agent cannot be built:\n{said[-4000:]}")
    return CannotBuild(f"cargo says: {lacks.group().strip()[:300]}")
