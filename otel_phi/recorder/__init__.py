"""What is open and what has closed: a state machine from events to notices.

This room imports `wire` alone and has no I/O, clock, randomness, environment, thread or logging.
"""
