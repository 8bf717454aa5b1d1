"""For tests: a real OTLP collector of one's own on the loopback, which decodes what it gets and fails on demand.

from otel_phi.testing import Receiver

with Receiver() as receiver:
    run_my_agent(endpoint=receiver.endpoint)
    receiver.wait_for(3)
    assert receiver.spans[0].name == "invoke_agent my-agent"
"""

from otel_phi.testing.answers import Answer
from otel_phi.testing.receiver import Receiver, Request

__all__ = ["Answer", "Receiver", "Request"]
