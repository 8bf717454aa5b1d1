"""The front door for an agent of one's own: three `with`s and two decorators over the public event API.

with otel_phi.loop(session=chat_id, model="gpt-5", provider="openai", agent="planner") as loop:
    with loop.model_call() as call:             # a turn: it closes when the next call begins, or the loop ends
        call.response(client.chat.completions.create(...))
    with loop.tool("weather", call_id) as tool:
        tool.result(weather("Lima"))

@otel_phi.tool      a call of the function is a tool execution of the current loop
@otel_phi.agent     a call of the function is a loop

loop, call, tool ─ events ─▶ hook(event)        what an event says is the hook's to decide, and what leaves is policy's

Rule 1: nothing here raises into the agent, and an exception on its way through is never held up or changed.
Rule 2: an exception out of a `with` is the error of what it left; a cancellation is a cancellation (`outcomes`).
Rule 3: what is current is a matter of the context (`scopes`); who has none, a thread say, uses the methods of the loop.
Rule 4: without an installed hook all of it does nothing, at next to no cost (`off`).
"""

from otel_phi.front.calls import ModelCall
from otel_phi.front.decorated import agent, tool
from otel_phi.front.loops import Loop
from otel_phi.front.opening import current_loop, loop, model_call
from otel_phi.front.tools import Tool

__all__ = ["Loop", "ModelCall", "Tool", "agent", "current_loop", "loop", "model_call", "tool"]
