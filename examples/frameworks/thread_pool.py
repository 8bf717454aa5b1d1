"""A pool of threads: a thread has no context of its own, so the loop's methods are used there, or the context is handed on."""

import contextvars
from concurrent.futures import ThreadPoolExecutor

import otel_phi

otel_phi.install(service_name="thread-pool")
CITIES = ("Lima", "Oslo", "Pune")


@otel_phi.tool
def weather(city: str) -> str:
    return f"22 degrees in {city}"


with otel_phi.loop(session="chat-1", agent="planner") as loop, ThreadPoolExecutor() as pool:

    def in_a_thread(city: str) -> str:
        """Is a tool of the loop in hand."""
        with loop.tool("weather", f"call-{city}"):
            return f"22 degrees in {city}"

    print(*pool.map(in_a_thread, CITIES), sep="\n")
    # A decorated function looks for the current loop: it needs a copy of the context, one for each call.
    calls = [pool.submit(contextvars.copy_context().run, weather, city) for city in CITIES]
    print(*[call.result() for call in calls], sep="\n")
