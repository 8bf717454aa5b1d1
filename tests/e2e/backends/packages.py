"""Backends that are Python packages: each in a virtual environment of its own, kept in the cache beside the programs.

    python_of("phoenix", say)   the path of the environment's Python, made first where need be; raises CannotBuild without an index

What goes in stands in `lists/NAME.txt`: the backend's own version, pinned everywhere, and every other version as it came out
under the Python that is named there; another Python takes what its index has.

Rule 1: an environment that is not whole is not used: `complete` is written last. It is made where it stays, since its scripts
hold their own path.
Rule 2: one at a time; the others wait, and find it there.
Rule 3: another list is another folder; the one before is kept too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Literal, get_args

from tests.e2e.backends import build, step
from tests.e2e.backends.step import Absent, BuildError, CannotBuild, Say

Package = Literal["phoenix", "mlflow", "rotel", "playwright"]
PACKAGES: tuple[Package, ...] = get_args(Package)
LISTS = build.HERE / "lists"
KEPT = 2  # lists of a package: 850 MB each

# What pip prints where nothing answers, and where the index has nothing of that name for this Python and platform.
_ABSENT = (
    Absent(
        "no package index has it for this machine",
        re.compile(
            r"No matching distribution found|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError"
        ),
    ),
)
# Wheels alone: building one from source needs compilers, and is no test of ours.
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--only-binary=:all:", "--requirement")


def python_of(package: Package, say: Say) -> Path:
    """Returns the Python of a package's environment, making that first where it is not there yet.

    Args:
        package: which.
        say: takes progress lines.

    Raises:
        CannotBuild: no package index answers, or it has nothing for this machine; or the cache cannot be written.
        BuildError: it could not be installed for another reason.
    """
    folder = _kept(package)
    if not _whole(folder):
        with build.alone(say):
            if not _whole(folder):
                install(LISTS / f"{package}.txt", folder, say)
                (folder / "complete").touch()
                _forget_older(package, folder)
    with contextlib.suppress(OSError):  # a cache that others fill may be read-only here
        os.utime(folder)  # Rule 3: what is used is new
    return folder / "bin" / "python"


def install(wanted: Path, folder: Path, say: Say) -> None:
    """Makes a virtual environment with what a list names.

    Raises:
        CannotBuild: no package index answers, or it has nothing for this machine.
        BuildError: it could not be installed for another reason.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = folder / "bin" / "python"
    steps: dict[str, list[str | Path]] = {
        f"{wanted.stem}: its environment": [sys.executable, "-m", "venv", folder],
        f"{wanted.stem}: its packages": [python, *_PIP, wanted],
    }
    try:
        for what, arguments in steps.items():
            step.run(what, arguments, folder, folder / "log", say, environment=_environment(), absent=_ABSENT)
    except (CannotBuild, BuildError):
        shutil.rmtree(folder)
        raise


def _whole(folder: Path) -> bool:
    # Its Python is a link to the one that made it, which may have gone since: an upgrade, another pyenv.
    return (folder / "complete").exists() and (folder / "bin" / "python").exists()


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


def _kept(package: Package) -> Path:
    kind = f"{sys.platform} {platform.machine()} {sys.version_info[:2]}"
    digest = hashlib.sha256(kind.encode() + (LISTS / f"{package}.txt").read_bytes())
    return build.cache() / f"{package}-{digest.hexdigest()[:16]}"


def _forget_older(package: Package, used: Path) -> None:
    others = sorted(
        (path for path in build.cache().glob(f"{package}-*") if path != used), key=lambda path: path.stat().st_mtime
    )
    for path in others[: max(len(others) - (KEPT - 1), 0)]:
        shutil.rmtree(path, ignore_errors=True)
