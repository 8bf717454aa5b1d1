"""The smallest agent that has a whole trace; its model is a dict, where yours is a provider's answer."""

import otel_phi

otel_phi.install(service_name="hello")


@otel_phi.tool
def weather(city: str) -> str:
    return f"22 degrees in {city}"


with otel_phi.loop(model="gpt-5", provider="openai", agent="planner") as loop:
    for finish in ("tool_calls", "stop"):
        with loop.model_call() as call:
            answer = {"choices": [{"message": {}, "finish_reason": finish}], "usage": {"prompt_tokens": 9}}
            call.response(answer)
        if finish == "tool_calls":
            weather("Lima")
