"""The marks of what was taken out, found again."""

from __future__ import annotations

import re

MARKS = re.compile(r"\[redacted:([a-z0-9_]+)\]")
