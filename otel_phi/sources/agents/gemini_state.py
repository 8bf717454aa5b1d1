"""What outlives a fold of Gemini CLI's sessions."""

from __future__ import annotations

import msgspec

from otel_phi.sources.agents.fold import FoldState
from otel_phi.wire.messages import Usage

MAX_PROMPTS = 32  # that can be gone back to: 36 bytes each
MAX_GIVEN = 8  # messages whose turns were told and that may still change
MAX_TITLE = 256


class Given(msgspec.Struct, array_like=True):
    """A given is what was told of a message.

    Attributes:
        id: the message's.
        usage: its input, output, reasoning and cached tokens.
        calls: how many tool calls.
    """

    id: str
    usage: tuple[int, int, int, int] = (0, 0, 0, 0)
    calls: int = 0

    def and_more(self, usage: Usage, calls: int) -> Given:
        """Returns what was told when that has been told, too."""
        had = self.usage
        whole = (had[0] + usage.input, had[1] + usage.output, had[2] + usage.reasoning, had[3] + usage.cache_read)
        return Given(id=self.id, usage=whole, calls=self.calls + calls)


class GeminiState(FoldState, kw_only=True):
    """A gemini state is the state of a session.

    Attributes:
        element: the number of a document's first message that has not been told.
        child_id: of the sub-agent whose file this is, "" for a main file.
        prompts: the ids of the prompts that began loops, in their order.
        given: the last messages whose turns were told.
        rewound: whether the next prompt begins a branch.
        back_to: the loop that it is a branch of, "" where unknown.
    """

    element: int = 0
    child_id: str = ""
    prompts: list[str] = msgspec.field(default_factory=list)
    given: list[Given] = msgspec.field(default_factory=list)
    rewound: bool = False
    back_to: str = ""


states = msgspec.json.Decoder(GeminiState)


def less(usage: Usage, before: tuple[int, int, int, int]) -> Usage:
    """Returns what a message has used since the last time."""
    if not any(before):
        return usage
    now = (usage.input, usage.output, usage.reasoning, usage.cache_read)
    more = [max(one - had, 0) for one, had in zip(now, before, strict=True)]
    if not any(more):
        return Usage()
    return Usage(input=more[0], output=more[1], reasoning=more[2], cache_read=more[3], cached="in")
