"""Decoding is lenient (WIRE section 4), keeps what it does not know, and never raises."""

from __future__ import annotations

import pytest

from otel_phi.events import AgentStart, Undecodable, decode_event


@pytest.mark.parametrize("time", ["[]", "{}", "1779786842118", "1.5", "true", '"2026-05-25T17:20:00"', '"soon"'])
def test_a_time_that_is_no_rfc_3339_text_with_a_zone_is_refused_without_raising(time: str) -> None:
    line = f'{{"type":"AgentStart","session_id":"s","loop_id":"l","timestamp":{time}}}'
    assert isinstance(decode_event(line), Undecodable)
    assert isinstance(decode_event(line.replace(time, '"2026-05-25T17:20:00Z"')), AgentStart)
