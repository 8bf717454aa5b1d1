"""Writes anew what the backends are made of: for whoever adds a component or goes to a newer release.

The Collector's go.mod and go.sum come from its manifest, the list of a Python package from its first line.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.backends import build, go, packages
from tests.e2e.backends.packages import Package
from tests.e2e.backends.step import Say


def pin(say: Say) -> None:
    """Resolves the manifest's modules and keeps what came out.

    Args:
        say: takes progress lines.

    Raises:
        CannotBuild: Go or a module proxy is missing.
        BuildError: a component cannot be had, or does not go with the others.
    """
    tool = go.check(go.needed([build.BUILDER / "go.mod"]))
    with tempfile.TemporaryDirectory(prefix="otel-phi-pin-") as name:
        source = build.collector_source(tool, Path(name), say, pinned=False)
        for file in ("go.mod", "go.sum"):
            shutil.copy(source / file, build.COLLECTOR)
    say(f"written: {build.COLLECTOR}/go.mod and go.sum; run the tests, then commit both with the manifest")


def pin_list(package: Package, say: Say) -> None:
    """Installs the version that a package's list begins with, and keeps as the list what came with it.

    Args:
        package: which.
        say: takes progress lines.

    Raises:
        CannotBuild: no package index answers, or it has nothing for this machine.
        BuildError: it could not be installed for another reason.
    """
    path = packages.LISTS / f"{package}.txt"
    first = path.read_text(encoding="utf-8").splitlines()[0]
    with tempfile.TemporaryDirectory(prefix="otel-phi-pin-") as name:
        wanted = Path(name) / path.name
        wanted.write_text(f"{first}\n", encoding="utf-8")
        packages.install(wanted, Path(name) / "environment", say)
        asked = [str(Path(name) / "environment" / "bin" / "python"), "-m", "pip", "freeze"]
        came = subprocess.run(asked, capture_output=True, text=True, timeout=120.0, check=True).stdout.splitlines()
    here = f'python_version == "{sys.version_info[0]}.{sys.version_info[1]}" and sys_platform == "{sys.platform}"'
    others = [f"{line} ; {here}" for line in came if line.partition("==")[0] != first.partition("==")[0]]
    path.write_text("\n".join([first, *others, ""]), encoding="utf-8")
    say(f"written: {path}; run the tests, then commit it")
