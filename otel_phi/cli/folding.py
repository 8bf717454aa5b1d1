"""Long lists of rows to short ones: the first, the last, what failed, and one row that says how many others there were.

Rule: nothing that failed is folded away, and a fold is never shorter than what it hides.
"""

from __future__ import annotations

from otel_phi.cli import words
from otel_phi.cli.rows import NOTES, Row

# Up to this many rows side by side are shown whole: a screen holds them.
SHOWN_WHOLE = 10
_FIRST, _LAST = 3, 3
_LEAST_HIDDEN = 3


def fold(rows: list[Row]) -> list[Row]:
    """Returns the rows with long lists folded, at every depth; the rows themselves stay as they are."""
    shown = _shorten(rows) if len(rows) > SHOWN_WHOLE else rows
    return [_below(row) for row in shown]


def _below(row: Row) -> Row:
    if not row.rows:
        return row
    return Row(
        row.kind, row.text, row.started_ns, row.ended_ns, row.remark, row.tokens, row.failed, rows=fold(row.rows)
    )


def _shorten(rows: list[Row]) -> list[Row]:
    shown: list[Row] = []
    hidden: list[Row] = []
    for place, row in enumerate(rows):
        if _FIRST <= place < len(rows) - _LAST and not row.loud:
            hidden.append(row)
            continue
        shown += [*_folded(hidden), row]
        hidden = []
    return shown


def _folded(hidden: list[Row]) -> list[Row]:
    if len(hidden) < _LEAST_HIDDEN:
        return hidden
    timed = [row for row in hidden if row.kind not in NOTES]
    kinds = {row.kind for row in hidden}
    noun = hidden[0].kind if len(kinds) == 1 else "row"
    slowest = max(timed, key=lambda row: row.ended_ns - row.started_ns, default=None)
    remark = f"slowest {slowest.text}: {words.duration(slowest.ended_ns - slowest.started_ns)}" if slowest else ""
    counted = [_tokens(row) for row in hidden]
    return [
        Row(
            "fold",
            f"… {words.many(len(hidden), f'more {noun}')}",
            min(row.started_ns for row in hidden),
            max(row.ended_ns for row in hidden),
            remark,
            (sum(given for given, _ in counted), sum(made for _, made in counted)),
        )
    ]


def _tokens(row: Row) -> tuple[int, int]:
    """Returns a row's tokens; those of the rows below it where it says none itself, as a turn does."""
    if row.tokens != (0, 0):
        return row.tokens
    below = [_tokens(under) for under in row.rows]
    return sum(given for given, _ in below), sum(made for _, made in below)
