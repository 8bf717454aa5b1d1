"""Whether anything of a secret is still to be read in a text."""

from __future__ import annotations

from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.escapes import decoded
from otel_phi.policy.redaction.redactor import Redactor

# Pieces of this length are looked for: shorter ones stand in words of the surroundings by chance.
PIECE = 8


def redacted(text: str, redactor: Redactor | None = None) -> str:
    """Returns a text without its secrets."""
    return (redactor or Redactor()).text(text, "test", Tally())


def shows(text: str, secret: str) -> bool:
    """Says whether a text shows a secret, or a piece of it, once all its escapes are decoded."""
    plain = decoded(text)
    while "\\\\" in plain:
        plain = plain.replace("\\\\", "\\")
    plain = plain.replace("\\n", "\n").replace("\\r", "\r").replace("\\/", "/")
    body = "".join(line for line in secret.splitlines(keepends=True) if not line.startswith("-----"))
    size = min(PIECE, len(body))
    return any(body[at : at + size] in plain for at in range(len(body) - size + 1))
