"""Sessions and sums laid out for a terminal: long columns fold, what no row has is no column, numbers stand right."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

from rich.cells import cell_len, chop_cells
from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.listing.sums import Sum
from otel_phi.cli.listing.tally import Cell, Tally
from otel_phi.tree import clean

_BAR = 12  # columns of the longest bar
_NARROW = 100  # columns of a terminal; below, what is asked for least is left out
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# Columns that fold, and how wide they are at least, if they have so much to say.
_LEAST = {"agent": 8, "model": 17, "errors": 10, "repository": 12, "by": 17, "session": 8}
_NARROWEST = 6  # that a column which folds gets, where the terminal is narrow
_KINDS = 3  # of errors that a row names
_LEFT = frozenset({*_LEAST, "start", ""})
_Column = tuple[str, Callable[[Tally], str]]


def listing(tallies: Sequence[Tally], width: int) -> Iterator[Text]:
    """Yields the lines of a table of sessions, a row each, in as many columns as `width` has room for."""
    names = words.short_names(tally.session_id for tally in tallies)
    wide = width >= _NARROW
    this_year = "" if wide else dt.date.today().strftime("%Y-")
    columns: list[_Column] = [
        ("start", lambda tally: local_time(tally.started_ns).removeprefix(this_year)),
        ("lasted", lambda tally: words.duration(tally.ended_ns - tally.started_ns)),
        ("agent", lambda tally: ", ".join(tally.agents)),
        ("model", lambda tally: ", ".join(tally.models)),
        ("loops", lambda tally: str(tally.loops)),
        ("turns", lambda tally: str(tally.turns)),
        ("tools", lambda tally: str(tally.tools)),
        ("tokens", lambda tally: _tokens(tally.input_tokens, tally.cached_tokens, tally.output_tokens, wide=wide)),
        ("cost", lambda tally: _cost(tally.cost_usd)),
        ("errors", _errors),
        ("repository", lambda tally: _short_repository(tally.repository)),
        ("session", lambda tally: names[tally.session_id]),
    ]
    if not wide:
        agents = {name for tally in tallies for name in tally.agents}
        left_out = {"loops", "tools", "repository", *(["agent"] if len(agents) < 2 else [])}
        columns = [column for column in columns if column[0] not in left_out]
    rows = [[value(tally) for _, value in columns] for tally in tallies]
    heads = [name for name, _ in columns]
    return _lines(heads, heads, rows, ["red" if tally.error_count else "" for tally in tallies], width)


def sums_table(found: Sequence[Sum], grouping: str, width: int) -> Iterator[Text]:
    """Yields the lines of a table of sums, a row each, with a bar that compares them."""
    wide = width >= _NARROW
    longest = max((_size(total.cell, grouping) for total in found), default=0)
    counted = _COUNTED.get(grouping, ("loops", "turns", "tools") if wide else ("turns",))
    names = ["by", "", "sessions", *counted, "tokens", "cost", "failed", "time"]
    rows = [_sum_cells(total, grouping, longest, counted, wide=wide) for total in found]
    return _lines(names, [grouping, *names[1:]], rows, ["" for _ in rows], width)


# What a sum by model or tool counts; a turn knows no model, and a tool's calls are all it has.
_COUNTED = {"model": ("calls",), "tool": ("tools",)}


def _sum_cells(total: Sum, grouping: str, longest: int, counted: Sequence[str], *, wide: bool) -> list[str]:
    cell = total.cell
    counts = [getattr(cell, name) for name in counted]
    return [
        total.name or "-",
        _bar(_size(cell, grouping), longest),
        f"{total.sessions:,}",
        *(f"{number:,}" if number else "" for number in counts),
        _tokens(cell.input_tokens, cell.cached_tokens, cell.output_tokens, wide=wide),
        _cost(cell.cost_usd),
        f"{cell.errors:,}" if cell.errors else "",
        words.duration(cell.busy_ns) if cell.busy_ns else "",
    ]


def _cost(usd: float | None) -> str:
    return words.dollars(usd) if usd is not None else ""


def totals_line(tallies: Sequence[Tally]) -> str:
    """Returns what sessions add up to, in a line."""
    given = sum(tally.input_tokens for tally in tallies)
    cached = sum(tally.cached_tokens for tally in tallies)
    made = sum(tally.output_tokens for tally in tallies)
    costs = [tally.cost_usd for tally in tallies if tally.cost_usd is not None]
    errors = sum(tally.error_count for tally in tallies)
    said = [
        words.many(len(tallies), "session"),
        words.many(sum(tally.turns for tally in tallies), "turn"),
        words.many(sum(tally.tools for tally in tallies), "tool"),
        f"{_tokens(given, cached, made, wide=True)} tokens" if given or made else "",
        words.dollars(sum(costs)) if costs else "",
        words.many(errors, "error") if errors else "",
    ]
    return " · ".join(part for part in said if part)


def local_time(time_ns: int) -> str:
    """Returns a moment in local time to the minute; the number itself where no calendar has it."""
    try:
        return dt.datetime.fromtimestamp(time_ns // 1_000_000_000).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns"


def _lines(
    names: Sequence[str], heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], width: int
) -> Iterator[Text]:
    """Yields the lines of a table: rich's own takes half a second for a thousand rows."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    longest = {
        name: max(_columns(heads[number]), *(_columns(row[number]) for row in cleaned))
        for number, name in enumerate(names)
        if any(row[number] for row in cleaned)
    }
    widths = _fitting(longest, width)
    kept = [(number, widths[name], name in _LEFT) for number, name in enumerate(names) if name in widths]
    yield from _row(heads, kept, "dim")
    for row, style in zip(cleaned, styles, strict=True):
        yield from _row(row, kept, style)


def _row(cells: Sequence[str], kept: Sequence[tuple[int, int, bool]], style: str) -> Iterator[Text]:
    """Yields the lines of a row; a cell that is wider than its column goes on in the next line."""
    folded = [_folded(cells[number], width) for number, width, _ in kept]
    for line in range(max(map(len, folded))):
        parts = []
        for cell, (_, width, left) in zip(folded, kept, strict=True):
            text = cell[line] if line < len(cell) else ""
            blank = " " * (width - _columns(text))
            parts.append(text + blank if left else blank + text)
        yield Text(" ".join(parts).rstrip(), style=style)


def _folded(text: str, width: int) -> Sequence[str]:
    return (text,) if _columns(text) <= width else chop_cells(text, width)


# What is left out first where even folding makes no room.
_LEAST_ASKED = (
    "",
    "loops",
    "repository",
    "agent",
    "cost",
    "calls",
    "time",
    "tools",
    "lasted",
    "errors",
    "failed",
    "model",
)


def _fitting(longest: dict[str, int], width: int) -> dict[str, int]:
    """Returns how wide each column is that there is room for."""
    widths = _widths(longest, width)
    for name in _LEAST_ASKED:
        if sum(widths.values()) + len(widths) - 1 <= width:
            break
        longest.pop(name, None)
        widths = _widths(longest, width)
    return widths


def _widths(longest: dict[str, int], width: int) -> dict[str, int]:
    """Returns how wide each column is: what does not fold as wide as it is, the others share what is left, in their order."""
    wanted = longest
    found = {name: min(length, max(_LEAST.get(name, length), _columns(name))) for name, length in wanted.items()}
    left = width - sum(found.values()) - len(found) + 1
    shrinking = [name for name in ("repository", "model", "errors", "agent", "by") if name in found]
    while left < 0 and shrinking:
        widest = max(shrinking, key=lambda name: found[name])
        if found[widest] <= _NARROWEST:
            break
        found[widest] -= 1
        left += 1
    for name in _LEAST:
        if name in found and left > 0:
            more = min(left, wanted[name] - found[name])
            found[name] += more
            left -= more
    return found


def _errors(tally: Tally) -> str:
    kinds = tally.errors.most_common()
    said = ", ".join(f"{number} {word}" if number > 1 else word for word, number in kinds[:_KINDS])
    rest = sum(number for _, number in kinds[_KINDS:])
    return f"{said}, {rest} more" if rest else said


def _tokens(given: int, cached: int, made: int, *, wide: bool) -> str:
    if not given and not made:
        return ""
    inside = f" ({words.count(cached)})" if cached and wide else ""
    return f"{words.count(given)}{inside}→{words.count(made)}"


def _short_repository(url: str) -> str:
    """Returns what tells a repository from others: `owner/name`."""
    return "/".join(url.removesuffix(".git").rstrip("/").replace(":", "/").split("/")[-2:])


def _size(cell: Cell, grouping: str) -> int:
    return cell.tools if grouping == "tool" else cell.input_tokens + cell.output_tokens or cell.turns


def _bar(size: int, longest: int) -> str:
    eighths = round(size * _BAR * 8 / longest) if longest else 0
    if size and not eighths:
        eighths = 1
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _columns(text: str) -> int:
    """Returns how many columns a text takes, of plain ASCII at a fifth of the cost."""
    return len(text) if text.isascii() else cell_len(text)
