"""Escapes that hide a secret from a pattern: decoded before anything is looked for.

Only what a JSON text, a URL or a terminal shows as the same characters is decoded, and only characters that tokens are made of:
a JSON text stays one, and means the same.
"""

from __future__ import annotations

import re

# `\u002d`, also where a text was escaped twice or more; `\x2d` of Python and C; `%2D` of URLs; ANSI sequences, raw and escaped.
_ESCAPES = re.compile(
    r"\\+u00([2-7][0-9A-Fa-f])|\\+x([2-7][0-9A-Fa-f])|%([2-7][0-9A-Fa-f])"
    r"|(?:\x1b|\\+(?:u001[bB]|x1[bB]|033|e))(?:\[[0-9;:?]*[A-Za-z]|\][^\x07\x1b\\]{0,256}(?:\x07|\x1b\\))"
)
# The same, seen by what each begins with: most texts have none, and are not read twice for it.
_BACKSLASHED = re.compile(r"\\(?:u00[1-7]|x[1-7]|033|e\[)")
_PERCENT = re.compile(r"%[2-7][0-9A-Fa-f]")
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=:@!$")


def decoded(text: str) -> str:
    """Returns a text without escapes that could hide a secret; the same object where it has none."""
    if "\x1b" in text or ("\\" in text and _BACKSLASHED.search(text)) or ("%" in text and _PERCENT.search(text)):
        return _ESCAPES.sub(_character, text)
    return text


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code is None:
        return ""
    character = chr(int(code, 16))
    return character if character in _SAFE else found[0]
