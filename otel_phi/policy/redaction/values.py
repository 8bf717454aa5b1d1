"""Values behind a key that tells: which are secrets, and which only stand where one could.

Rule 1: what stands for a value is none: a variable, a placeholder, a type, a call, a mask, a mark of ours.
Rule 2: the less a key tells, the more the value has to: `password` takes any, `token` wants a digit, `auth` a random text.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

from otel_phi.policy.redaction.hits import MARK

# How much a key tells. A password can be a word; a key or token is never one; of a weak key all is asked.
PASSWORD, SECRET, WEAK = 3, 2, 1

_STANDS_IN = re.compile(
    r"\$\(|\$\{|\$[A-Za-z_]\w*$|\$\d$|%[sdr]$|%\(|%[A-Za-z_]+%$|\{|<|\[(?!redacted)|\*{2,}|•|x{3,}|X{3,}|\.{3}|…|&|@\{|#\{|!\w+$|::|->|=>|\?+$|_+$|-+$"
)
_WORDS = frozenset(
    [
        "none",
        "null",
        "nil",
        "true",
        "false",
        "undefined",
        "string",
        "str",
        "text",
        "bytes",
        "bool",
        "boolean",
        "int",
        "integer",
        "number",
        "float",
        "object",
        "any",
        "array",
        "list",
        "dict",
        "password",
        "passwd",
        "pass",
        "pwd",
        "secret",
        "token",
        "key",
        "apikey",
        "api_key",
        "value",
        "required",
        "optional",
        "yes",
        "no",
        "empty",
        "hidden",
        "masked",
        "redacted",
        "removed",
        "placeholder",
        "example",
        "changeit",
        "self",
        "this",
        "type",
        "unset",
        "default",
        "unknown",
        "missing",
        "invalid",
        "expired",
    ]  # a list of fifty words reads no better
)
_PLACEHOLDER = re.compile(
    r"(?i)(?:your|my|the|some|an?|insert|enter|put|replace|paste|add)[-_ ]|.*(?:_here|-here| here|placeholder|example\.com)$|.*\b(?:goes here)\b"
)
_PATH = re.compile(r"(?:~|\.{0,2})/|[A-Za-z]:\\|https?://|file:")
_NAME = re.compile(r"[A-Za-z_][A-Za-z_]*(?:(?:\.|::|->)[A-Za-z_]\w*)*[;,]?$")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+$")
_CALL = re.compile(r"([A-Za-z_][\w.]*)[(\[]")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
_LABEL = re.compile(r"[A-Z][a-z]+$")
_LETTERS = re.compile(r"[A-Za-z_]+$")
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[A-Za-z]")


def is_secret(value: str, strength: int, *, quoted: bool, assigned: bool) -> bool:
    """Says whether a value behind a telling key is a secret.

    Args:
        value: without its quotes.
        strength: how much the key tells.
        quoted: whether it stood in quotes: then it is no name in a program.
        assigned: whether it stood where only a value can: behind `NAME=` of an environment, or the key of a JSON object.
    """
    if not value or value.startswith(MARK) or _stands_in(value):
        return False
    if strength == PASSWORD:
        return _is_password(value, quoted=quoted, assigned=assigned)
    random = is_random(value)
    if not random and (_PATH.match(value) or _DOTTED.match(value) or (_NAME.match(value) and not assigned)):
        return False
    if strength == SECRET:
        return random or (
            len(value) >= 8
            and not _is_number(value)
            and (_DIGIT.search(value) is not None or (assigned and _is_lone(value)))
        )
    return random


def _stands_in(value: str) -> bool:
    return (
        _STANDS_IN.match(value) is not None
        or value.strip("\"'`;,.:").lower() in _WORDS
        or _PLACEHOLDER.match(value) is not None
        or not value.strip("*x.•-_# ")
    )


def _is_password(value: str, *, quoted: bool, assigned: bool) -> bool:
    if value.startswith(("/", "./", "~/")) or _LABEL.match(value):
        return False  # PWD is a folder, and `Password` a label
    if " " in value.strip():
        return _DIGIT.search(value) is not None
    if assigned or quoted:
        return len(value) >= 3
    if is_jumbled(value):
        return True
    call = _CALL.match(value)
    if _NAME.match(value) or _DOTTED.match(value) or (call is not None and not _is_drawn(call[1])):
        return False
    return len(value) >= 4 and not _is_number(value)


def _is_lone(value: str) -> bool:
    """Says whether a text without a digit is one long word that nobody would write for another reason."""
    return len(value) >= 12 and " " not in value and "_" not in value and "-" not in value


def _is_number(value: str) -> bool:
    return value.strip("-+.,%").replace(".", "").replace(",", "").replace("_", "").isdigit()


def is_random(value: str) -> bool:
    """Says whether a text looks drawn, not written: long, letters and digits mixed, of many characters; no id that names itself."""
    if len(value) < 16 or _UUID.match(value):
        return False
    if not _DIGIT.search(value):
        return is_jumbled(value)
    return _LETTER.search(value) is not None and entropy(value) >= 3.0 and not _is_worded(value)


def is_jumbled(value: str) -> bool:
    """Says whether a text's letters are small and capital in no order, as no word and no name in a program is."""
    if value.islower() or value.isupper():
        return False
    letters = [one for one in value if one.isalpha()]
    capitals = sum(one.isupper() for one in letters)
    turns = sum(one.isupper() != other.isupper() for one, other in itertools.pairwise(letters))
    return len(letters) >= 10 and capitals * 4 >= len(letters) and turns * 10 >= len(letters) * 3


def _is_drawn(name: str) -> bool:
    """Says whether what could be a function's name has digits, capitals and small letters, and is long."""
    return len(name) >= 6 and _DIGIT.search(name) is not None and not (name.islower() or name.isupper())


def _is_worded(value: str) -> bool:
    """Says whether it is words with numbers between: `user-settings-v2`, `2026-11-27T10:00:00`."""
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", value) if part]
    mixed = sum(len(part) for part in parts if _DIGIT.search(part) and _LETTER.search(part) and len(part) >= 6)
    return mixed * 2 < len(value)


def entropy(value: str) -> float:
    """Returns bits a character."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())
