"""What keeps the Rust agent from being built is told apart: a machine that lacks something skips, a broken example fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import golden
from tests.e2e import cargo
from tests.e2e.backends import CannotBuild
from tests.e2e.backends.go import BuildError

# As cargo 1.95 prints them.
UNREACHABLE = """\
error: failed to get `async-trait` as a dependency of package `rust-agent v0.1.0`

Caused by:
  failed to download from `https://index.crates.io/config.json`

Caused by:
  [7] Could not connect to server (Failed to connect to 127.0.0.1 port 9 after 0 ms: Could not connect to server)
"""
REFUSED = """\
error: failed to download from `https://static.crates.io/crates/phi-core/phi-core-0.15.2.crate`

Caused by:
  failed to get successful HTTP response from `https://static.crates.io/crates/phi-core/phi-core-0.15.2.crate`, got 403
"""
OFFLINE = """\
error: no matching package named `phi-core` found
location searched: crates.io index
As a reminder, you're using offline mode (--offline) which can sometimes cause surprising resolution failures.
"""
OLD = """\
error: rustc 1.85.0 is not supported by the following packages:
  phi-core@0.15.2 requires rustc 1.88
"""
NO_OPENSSL = """\
error: failed to run custom build command for `openssl-sys v0.9.118`
  Could not find directory of OpenSSL installation, and this `-sys` crate cannot proceed without this knowledge.
"""
READ_ONLY = """\
error: failed to open: /cache/rust-agent/debug/.cargo-lock

Caused by:
  Read-only file system (os error 30)
"""
STALE_LOCK = "error: cannot update the lock file Cargo.lock because --locked was passed to prevent this\n"
MISTAKE = (
    'error[E0308]: mismatched types\n --> src/main.rs:1:1\nerror: could not compile `rust-agent` (bin "rust-agent")\n'
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (UNREACHABLE, "Could not connect to server"),
        (REFUSED, "got 403"),
        (OFFLINE, "you're using offline mode"),
        (OLD, "phi-core@0.15.2 requires rustc 1.88"),
        (NO_OPENSSL, "Could not find directory of OpenSSL"),
        (READ_ONLY, "Read-only file system"),
    ],
    ids=["no index", "not served", "offline", "old Rust", "no OpenSSL", "no folder"],
)
def test_what_a_machine_lacks_is_a_reason_to_skip(said: str, reason: str) -> None:
    found = cargo.why(said)
    assert isinstance(found, CannotBuild)
    assert reason in str(found)


@pytest.mark.parametrize("said", [STALE_LOCK, MISTAKE, ""], ids=["stale lock", "mistake", "no words"])
def test_a_broken_example_is_no_reason_to_skip(said: str) -> None:
    assert isinstance(cargo.why(said), BuildError)


def test_without_cargo_the_reason_says_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotBuild, match=r"no cargo on PATH .*1\.88"):
        cargo.agent(lambda _: None)


def test_the_rust_that_is_asked_for_is_that_of_the_example() -> None:
    assert 'rust-version = "1.88"' in (cargo.AGENT / "Cargo.toml").read_text(encoding="utf-8")
    assert 'version = "0.15.2"' in (cargo.AGENT / "Cargo.lock").read_text(encoding="utf-8")
    assert golden.PROJECT in cargo.AGENT.parents
