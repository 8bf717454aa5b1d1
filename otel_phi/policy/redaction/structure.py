"""Names of keys in JSON objects: how much each tells of its value. In a text the same keys are found by `keys`."""

from __future__ import annotations

import functools
import re

from otel_phi.policy.redaction.keys import KEY_ROWS, strength_of_key
from otel_phi.policy.redaction.values import PASSWORD, is_secret

# Behind what tells a key may still say which one: `password_2`, `api_key_prod`.
_MORE = re.compile(r"(?:[_-]?(?:\d{1,2}|prod|dev|test|live|staging|b64|base64|enc))?$")
# An agent's tools have some hundred names of arguments; past it they are judged again.
MAX_NAMES = 1_024


@functools.lru_cache(maxsize=MAX_NAMES)
def telling(name: str) -> tuple[int, str]:
    """Returns how much an object's key tells of its value, 0 for nothing, and the kind of secret that stands there."""
    lowered = name.lower()
    best = (0, "")
    for literal, pattern, usual, kind in KEY_ROWS:
        at = lowered.rfind(literal)
        if at < 0 or len(lowered) != len(name):
            continue
        found = pattern.match(lowered, at)
        if found is None or _MORE.match(lowered, found.end()) is None:
            continue
        if (
            at
            and name[at - 1].isalnum()
            and name[at - 1].islower()
            and name[at].islower()
            and kind in ("auth", "session")
        ):
            continue
        strength = strength_of_key(name[:at], assigned=True) if kind == "key" else usual
        best = max(best, (strength, kind))
    return best


def holds_secret(name: str, value: object) -> str | None:
    """Returns the kind of secret that a value behind an object's key is, None where it is none.

    Args:
        name: the key.
        value: a text or number.
    """
    strength, kind = telling(name)
    if not strength or value is None or isinstance(value, bool):
        return None
    if not isinstance(value, str):
        return kind if strength == PASSWORD else None
    return kind if is_secret(value, strength, quoted=True, assigned=True) else None
