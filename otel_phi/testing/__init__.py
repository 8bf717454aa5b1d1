"""For tests: a real OTLP collector of one's own on the loopback, which decodes what it gets and fails on demand.

    from otel_phi.testing import Receiver, render_tree

    with Receiver() as receiver:
        run_my_agent(endpoint=receiver.endpoint)
        receiver.wait_for(3)
        print(render_tree(receiver.spans))

Nothing of it leaves the machine, and every port it listens on is a free one.
"""

from otel_phi.testing.answers import Answer
from otel_phi.testing.receiver import Receiver, Request
from otel_phi.tree import render_tree

__all__ = ["Answer", "Receiver", "Request", "render_tree"]
