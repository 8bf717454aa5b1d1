"""`python -m tests.cli.page.vendor`: renews the page's libraries from the npm registry, the newest of each major version.

Their files lie beside the page's own as they were published, less the line that names a source map. `versions.json` says
what they are; a test holds the files to it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "otel_phi" / "cli" / "page" / "assets" / "vendor"
VERSIONS = FOLDER / "versions.json"
# Package and major version -> file of it -> its name here.
WANTED = {
    "preact@^10": {"dist/preact.min.umd.js": "preact.js", "hooks/dist/hooks.umd.js": "hooks.js"},
    "htm@^3": {"dist/htm.umd.js": "htm.js"},
    "uplot@^1": {"dist/uPlot.iife.min.js": "uplot.js", "dist/uPlot.min.css": "uplot.css"},
}
_SOURCE_MAP = re.compile(rb"\s*//# sourceMappingURL=\S+\s*$")


def main() -> None:
    """Renews them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = dict(_renewed(package, files) for package, files in WANTED.items())
    VERSIONS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _renewed(package: str, files: dict[str, str]) -> tuple[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="otel-phi-vendor-") as folder:
        packed = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True)
        with tarfile.open(Path(folder) / packed.stdout.decode().split()[-1]) as archive:
            about = json.loads(_read(archive, "package.json"))
            name = about["name"]
            contents = {here: _SOURCE_MAP.sub(b"\n", _read(archive, there)) for there, here in files.items()}
            contents[f"LICENSE-{name}"] = _read(archive, "LICENSE")
    for here, content in contents.items():
        (FOLDER / here).write_bytes(content)
    digests = {here: hashlib.sha256(content).hexdigest() for here, content in contents.items()}
    return name, {"version": about["version"], "licence": about["license"], "files": digests}


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/{name}")
    assert member is not None, name
    return member.read()


if __name__ == "__main__":
    main()
