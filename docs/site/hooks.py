"""What mkdocs is told on the way from docs/ to the site: the pages that lie at the top, and where links out of docs/ go.

Rule 1: no page is written twice: README.md, CONTRIBUTING.md and CHANGELOG.md are taken as they are, their links turned to the site's.
Rule 2: a link to a file of the repository that is no page becomes one to the file in the repository; a file that is not there is a warning, and
`make docs` fails.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# A page of the site, and the file at the top that it is.
TOP = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
_PAGE_OF = {name: page for page, name in TOP.items()}
_LINK = re.compile(r"(?<=\]\()(?!https?://|#|mailto:)([^)#\s]+)")
_LOG = logging.getLogger("mkdocs.plugins.otel_phi")


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Adds the pages that lie at the top."""
    for page, name in TOP.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Returns a page whose links end in the site, or in the repository."""
    source = page.file.src_uri
    folder = ROOT if source in TOP else (ROOT / "docs" / source).parent
    return _LINK.sub(lambda found: _target(found[1], folder, source, config.repo_url), markdown)


def _target(link: str, folder: Path, source: str, repository: str) -> str:
    """Returns where a link goes that stands in a file of `folder`."""
    path = (folder / link).resolve()
    if not path.exists() or not path.is_relative_to(ROOT):
        _LOG.warning("%s: nothing is at %s", source, link)
        return link
    name = path.relative_to(ROOT).as_posix()
    if name in _PAGE_OF:
        return _PAGE_OF[name]
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return f"{repository.rstrip('/')}/{'tree' if path.is_dir() else 'blob'}/main/{name}"
