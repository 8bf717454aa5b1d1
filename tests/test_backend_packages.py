"""The environments of backends that are Python packages: made once, whole or not at all, and what they skip. The index is a folder.

One environment is made in earnest, and takes seconds; those of the tests begin as copies of it.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.backends import CannotBuild, packages
from tests.e2e.backends.packages import python_of
from tests.e2e.backends.step import BuildError

_COPY = """
import os, shutil, sys
made, *asked, folder = sys.argv[1:]
assert asked == ["-m", "venv"]
shutil.copytree(made, folder, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives an environment with nothing in it but pip, as `install` makes it."""
    folder = tmp_path_factory.mktemp("made")
    nothing = folder / "nothing.txt"
    nothing.touch()
    packages.install(nothing, folder / "made", print)
    (folder / "made" / "log").unlink()
    return folder / "made"


@pytest.fixture
def index(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the folder of an index that has Rotel 1.0, an empty cache, the list that names it, and a Python that copies `made`."""
    (tmp_path / "copy.py").write_text(_COPY, encoding="utf-8")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/copy.py" "{made}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    folder, lists = tmp_path / "index", tmp_path / "lists"
    folder.mkdir()
    lists.mkdir()
    with zipfile.ZipFile(folder / "rotel-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("rotel.py", "SAYS = 'spans'\n")
        wheel.writestr("rotel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: rotel\nVersion: 1.0\n")
        wheel.writestr("rotel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("rotel-1.0.dist-info/RECORD", "")
    (lists / "rotel.txt").write_text("rotel==1.0\n", encoding="ascii")
    monkeypatch.setattr(packages, "LISTS", lists)
    monkeypatch.setenv("OTEL_PHI_E2E_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_an_environment_is_made_once_and_one_that_is_not_whole_is_made_anew(index: Path, tmp_path: Path) -> None:
    said: list[str] = []
    python = python_of("rotel", said.append)
    assert says(python) == "spans"
    assert any("rotel: its packages" in line for line in said)
    said.clear()
    assert (python_of("rotel", said.append), said) == (python, [])
    (python.parents[1] / "complete").unlink()  # as a builder killed on the way leaves it
    (python.parents[1] / "half").touch()
    assert says(python_of("rotel", said.append)) == "spans"
    assert not (python.parents[1] / "half").exists()
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {python.parents[1].name, "lock"}


def test_an_environment_whose_python_has_gone_is_made_anew(index: Path, tmp_path: Path) -> None:
    python = python_of("rotel", print)
    python.unlink()
    python.symlink_to(tmp_path / "an-older-python")
    assert says(python_of("rotel", print)) == "spans"


def test_an_index_that_has_it_not_is_told_and_nothing_stays(index: Path, tmp_path: Path) -> None:
    (index / "rotel-1.0-py3-none-any.whl").unlink()
    with pytest.raises(CannotBuild, match=r"no package index has it for this machine \(.*rotel==1\.0"):
        python_of("rotel", print)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"lock"}


def test_an_index_that_does_not_answer_is_told(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port `discard`, where nobody listens
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(CannotBuild, match="no package index has it for this machine"):
        python_of("rotel", print)


def test_any_other_failure_is_an_error(index: Path) -> None:
    (index / "rotel-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    with pytest.raises(BuildError, match="rotel: its packages failed"):
        python_of("rotel", print)


def says(python: Path) -> str:
    asked = [str(python), "-c", "import rotel; print(rotel.SAYS)"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=60.0, check=True).stdout.strip()
