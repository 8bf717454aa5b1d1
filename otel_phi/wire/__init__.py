"""What phi-core writes: `AgentEvent`s, messages, log lines. Decoding is lenient, encoding exact.

This room imports nothing of ours and does no I/O. Wire spellings appear here and nowhere else.
"""
