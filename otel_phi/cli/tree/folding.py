"""Long lists of rows to short ones: the first, the last, what failed, and one row that says how many others there were.

Rule: the first failures of each kind are shown whole; a fold that hides more of the same kind says how many.
"""

from __future__ import annotations

from collections import Counter

from otel_phi.cli import words
from otel_phi.cli.tree.contents import shortened
from otel_phi.cli.tree.rows import NOTES, Row

# Up to this many rows side by side are shown whole: a screen holds them.
SHOWN_WHOLE = 10
_FIRST, _LAST = 3, 3
_LEAST_HIDDEN = 3
_ALIKE = 3  # failures that failed alike


def fold(rows: list[Row]) -> list[Row]:
    """Returns the rows with long lists folded, at every depth; the rows themselves stay as they are."""
    shown = _shorten(rows) if len(rows) > SHOWN_WHOLE else rows
    return [_below(row) for row in shown]


def _below(row: Row) -> Row:
    if not row.rows:
        return shortened(row)
    return Row(
        row.kind, row.text, row.started_ns, row.ended_ns, row.remark, row.tokens, row.failed, rows=fold(row.rows)
    )


def _shorten(rows: list[Row]) -> list[Row]:
    shown: list[Row] = []
    hidden: list[Row] = []
    met: Counter[str] = Counter()
    for place, row in enumerate(rows):
        failure = ", ".join(sorted(_failures(row)))
        met[failure] += 1
        news = bool(failure) and met[failure] <= _ALIKE
        if _FIRST <= place < len(rows) - _LAST and not news:
            hidden.append(row)
            continue
        shown += [*_folded(hidden), row]
        hidden = []
    return shown


def _failures(row: Row) -> set[str]:
    """Returns the error words of a row and those below it."""
    own = {row.text.partition(":")[0]} if row.kind == "error" else set()
    return own.union(*(_failures(under) for under in row.rows))


def _folded(hidden: list[Row]) -> list[Row]:
    if len(hidden) < _LEAST_HIDDEN:
        return hidden
    kinds = {row.kind for row in hidden}
    noun = hidden[0].kind if len(kinds) == 1 else "row"
    failed = [row for row in hidden if _failures(row)]
    counted = [_tokens(row) for row in hidden]
    return [
        Row(
            "fold",
            f"… {words.many(len(hidden), f'more {noun}')}",
            min(row.started_ns for row in hidden),
            max(row.ended_ns for row in hidden),
            _slowest(hidden),
            (sum(given for given, _ in counted), sum(made for _, made in counted)),
            failed=bool(failed),
            rows=[_failed(failed, len(hidden))] if failed else [],
        )
    ]


def _failed(failed: list[Row], of: int) -> Row:
    kinds = ", ".join(sorted(set().union(*map(_failures, failed))))
    which = f"all {of}" if len(failed) == of else f"{len(failed)} of them"
    return Row("error", f"{which} failed like those shown: {kinds}", failed[0].started_ns, failed[0].started_ns)


def _slowest(hidden: list[Row]) -> str:
    timed = [row for row in hidden if row.kind not in NOTES]
    if not timed:
        return ""
    slowest = max(timed, key=lambda row: row.ended_ns - row.started_ns)
    return f"slowest {words.duration(slowest.ended_ns - slowest.started_ns)} ({slowest.text})"


def _tokens(row: Row) -> tuple[int, int]:
    """Returns a row's tokens; those of the rows below it where it says none itself, as a turn does."""
    if row.tokens != (0, 0):
        return row.tokens
    below = [_tokens(under) for under in row.rows]
    return sum(given for given, _ in below), sum(made for _, made in below)
