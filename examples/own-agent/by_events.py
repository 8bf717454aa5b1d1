"""An agent that knows nothing of phi-core, with the events that make a whole trace: session, loop, turns, chats, tool."""

import time
import uuid

import otel_phi
from otel_phi import events as e

hook = otel_phi.install(service_name="own-agent")


def ask_model(question: str) -> e.AssistantMessage:
    """Stands for your model; what it says of itself goes onto the chat span."""
    stop = "stop" if "22" in question else "toolUse"
    used = e.Usage(input=120, output=30)
    return e.AssistantMessage(model="my-model", stop_reason=stop, usage=used, timestamp=time.time_ns() // 10**6)


def answer(question: str) -> None:
    """Runs a loop: the model is asked, and asked again once its tool has run."""
    session = str(uuid.uuid4())
    loop = f"{session}.1"
    hook(e.AgentStart(session_id=session, loop_id=loop, timestamp=e.Instant(time.time_ns())))
    for index in range(2):
        hook(e.TurnStart(loop_id=loop, turn_index=index, timestamp=e.Instant(time.time_ns())))
        said = ask_model(question)
        hook(e.MessageEnd(loop_id=loop, message=said))
        if said.stop_reason == "toolUse":
            hook(e.ToolExecutionStart(loop_id=loop, tool_call_id="c1", tool_name="weather"))
            question += " It is 22 degrees."
            hook(e.ToolExecutionEnd(loop_id=loop, tool_call_id="c1", tool_name="weather"))
        hook(e.TurnEnd(loop_id=loop, message=said, timestamp=e.Instant(time.time_ns())))
    hook(e.AgentEnd(loop_id=loop, timestamp=e.Instant(time.time_ns())))


answer("How warm is it in Lima?")
