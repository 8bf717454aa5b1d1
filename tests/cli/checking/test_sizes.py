"""`SizeCheck`: what of spans is too large, cut or left out."""

from __future__ import annotations

from otel_phi.cli.checking.findings import Findings
from otel_phi.cli.checking.sizes import SizeCheck
from otel_phi.mapping.span import Span, SpanKind


def test_events_that_a_span_could_not_hold_are_counted() -> None:
    findings = Findings()
    check = SizeCheck(findings, None, now_ns=10)
    check.add(Span("invoke_agent", 1, 2, 0, SpanKind.INTERNAL, 1, 2, dropped_events_count=7))
    (group,) = findings
    assert (group.rule.id, group.count) == ("events-dropped", 7)


def test_a_span_of_four_mebibytes_is_too_large_and_one_below_is_not() -> None:
    for length, expected in ((4 << 20, ["span-too-large"]), ((4 << 20) - 8_192, [])):
        findings = Findings()
        SizeCheck(findings, None, now_ns=10).add(
            Span("chat", 1, 2, 0, SpanKind.INTERNAL, 1, 2, (("text", "x" * length),))
        )
        assert [group.rule.id for group in findings] == expected
