"""What each of the servers does: one loop of one call."""

from __future__ import annotations

import otel_phi


def answer(session: str) -> str:
    """Runs a loop, and says in which process."""
    with otel_phi.loop(session=session, model="gpt-5", provider="openai") as loop, loop.model_call() as call:
        call.usage(input=7, output=2)
    return session
