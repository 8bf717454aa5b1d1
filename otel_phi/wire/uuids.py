"""Session ids that are UUIDs: phi-core makes them so, others need not."""

from __future__ import annotations

import re

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def is_uuid(text: str) -> bool:
    """Says whether a text is a UUID in the 36-character form, in any case."""
    return _UUID.fullmatch(text) is not None
