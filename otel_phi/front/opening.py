"""The functions of the front door: what is opened where, with the current loop in mind."""

from __future__ import annotations

import uuid

from otel_phi.front import scopes
from otel_phi.front.calls import ModelCall
from otel_phi.front.door import installed
from otel_phi.front.loops import Attributes, Loop, loop_of
from otel_phi.front.off import OFF_CALL, OFF_LOOP


def loop(
    session: object = None,
    *,
    model: str | None = None,
    provider: str | None = None,
    agent: str | None = None,
    attributes: Attributes | None = None,
    traceparent: str | None = None,
) -> Loop:
    """Returns a loop, one run of an agent, to be entered with `with` or `async with`.

    Inside a tool of another loop it is a sub-agent: in the same session below that tool, in another one linked both ways. Else
    it is the next loop of its session, whoever ran the one before.

    Args:
        session: id of the conversation; a UUID is the trace's id too. Not given: the current loop's, else a new one.
        model: the model it asks.
        provider: that model's provider, such as `openai` or `anthropic`.
        agent: name of the agent, of low cardinality.
        attributes: what else its span is to say.
        traceparent: W3C trace context of whoever called the agent; not given: the current OpenTelemetry span's.

    Returns:
        The loop; one that does nothing where no hook is installed.
    """
    door = installed()
    if door is None:
        return OFF_LOOP
    outer = scopes.current()
    if session is None:
        session = uuid.uuid4() if outer is None else loop_of(outer).session
    return Loop(
        door,
        str(session),
        model=model or "",
        provider=provider or "",
        agent=agent,
        attributes=attributes,
        traceparent=traceparent,
        outer=outer,
    )


def model_call(
    model: str | None = None, provider: str | None = None, *, session: object = None, agent: str | None = None
) -> ModelCall:
    """Returns a model call of the current loop, to be entered; outside of any it is a loop of one turn.

    Args:
        model: the model asked; the loop's where not given.
        provider: its provider; the loop's where not given.
        session: as in `loop`, for a call outside of any loop; inside one it says nothing.
        agent: as in `loop`, likewise.
    """
    outer = scopes.current()
    if outer is not None:
        return loop_of(outer).model_call(model, provider)
    if installed() is None:
        return OFF_CALL
    own = loop(session, model=model, provider=provider, agent=agent)
    return ModelCall(own, own.model, own.provider, whole=True)


def current_loop() -> Loop:
    """Returns the loop that is current in this context; outside of any one that does nothing."""
    outer = scopes.current()
    return OFF_LOOP if outer is None else loop_of(outer)
