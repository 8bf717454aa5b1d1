"""A page read as the browser reads it: its parts, and the spans in its data."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from otel_phi.cli.report.objects import span_object
from otel_phi.mapping.span import Span

_DATA = re.compile(r'(<script type="application/x-otel-phi" id="data">\n)(.*?)(</script>)', re.DOTALL)


class Elements(HTMLParser):
    """Elements are those of a page, in order.

    Attributes:
        found: (tag, attributes, text), the text only of scripts, styles and the title.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self._open = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self._open = tag in {"script", "style", "title"}

    def handle_endtag(self, tag: str) -> None:  # none of the three holds another
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, attributes, text = self.found[-1]
            self.found[-1] = tag, attributes, text + data

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        """Returns attributes and texts of all elements of that tag."""
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


def shell(path: Path) -> str:
    """Returns a page without its data."""
    return _DATA.sub(r"\1\3", path.read_text(encoding="utf-8"))


def records(path: Path) -> list[Any]:
    """Returns the lines of a page's data."""
    found = _DATA.search(path.read_text(encoding="utf-8"))
    assert found is not None
    lines = zlib.decompress(base64.b64decode(found[2])).decode("ascii")
    return [json.loads(line) for line in lines.splitlines()]


def spans_in(path: Path) -> list[dict[str, Any]]:
    """Returns the spans of a page, as `show --json` writes them."""
    traces: list[tuple[str, int]] = []
    keys: list[list[str]] = []
    found = []
    for record in records(path):
        match record:
            case ["t", trace, base, _]:
                traces.append((trace, int(base)))
            case ["k", names]:
                keys.append(names)
            case ["s", number, *rest]:
                found.append(_span(traces[number], keys, rest))
            case _:
                assert isinstance(record, dict)
    return found


def _span(trace: tuple[str, int], keys: list[list[str]], rest: list[Any]) -> dict[str, Any]:
    base = trace[1]
    span, parent, start, lasted, kind, name, status, message, dropped, shape, values, events, links = rest
    return {
        "name": name,
        "trace_id": trace[0],
        "span_id": span,
        "parent_span_id": parent or None,
        "kind": kind,
        "start_ns": base + start,
        "end_ns": base + start + lasted,
        "status": status,
        "status_message": message,
        "attributes": _pairs(keys, shape, values),
        "events": [
            {"name": what, "time_ns": base + when, "attributes": _pairs(keys, shape, values)}
            for what, when, shape, values in events
        ],
        "links": [
            {"trace_id": where, "span_id": which, "attributes": _pairs(keys, shape, values)}
            for where, which, shape, values in links
        ],
        "dropped_events_count": dropped,
    }


def _pairs(keys: list[list[str]], shape: int, values: list[Any]) -> dict[str, Any]:
    assert len(keys[shape]) == len(values)
    return dict(zip(keys[shape], values, strict=True))


def written(span: Span) -> dict[str, Any]:
    """Returns a span as a page may hold it: what JavaScript's numbers cannot, as text."""
    whole = span_object(span)
    for bag in (whole, *whole["events"], *whole["links"]):
        bag["attributes"] = {key: _value(value) for key, value in bag["attributes"].items()}
    return whole


def _value(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    exact = abs(value) <= 2**53 if isinstance(value, int) else value - value == 0
    return value if exact else str(value)
