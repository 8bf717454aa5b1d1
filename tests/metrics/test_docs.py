"""docs/metrics.md says what is recorded: every metric, in the words of the table."""

from __future__ import annotations

import re

from otel_phi.metrics import instruments as i
from tests import golden

DOC = golden.PROJECT / "docs" / "metrics.md"
_KINDS = {"observable_counter": "counter", "observable_gauge": "gauge"}


def test_the_docs_list_every_metric_with_its_kind_unit_and_meaning() -> None:
    text = DOC.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\w+), `([^`]+)` \| [^|]*\| ([^|]+) \|$", text, re.MULTILINE)
    assert rows == [(one.name, _KINDS.get(one.kind, one.kind), one.unit, one.description) for one in i.TABLE]
