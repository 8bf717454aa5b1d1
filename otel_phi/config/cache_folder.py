"""The cache folder: OTEL_PHI_CACHE_DIR, else the platform's; what lies there may be deleted at any time."""

from __future__ import annotations

from pathlib import Path

from otel_phi.config.choices import Choices

VARIABLE = "OTEL_PHI_CACHE_DIR"


def cache_folder(choices: Choices) -> Path | None:
    """Returns where the cache lies; None where no folder can be named, since nothing is lost then but time."""
    found = choices.variable(VARIABLE)
    try:
        path = Path(found[1]).expanduser() if found else _platforms()
    except (RuntimeError, KeyError, OSError):  # no such user, no home
        return None
    return path if path.is_absolute() else None


def _platforms() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("otel-phi", appauthor=False))
