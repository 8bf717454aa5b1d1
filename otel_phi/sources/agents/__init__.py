"""Other agents' sessions as AgentEvents, one module a format. Pure: no clock, no files, no SQLite; imports `wire` alone.

record ─ adapter.fold ─▶ facts with times ─ LoopBuilder ─▶ AgentEvents in phi's order

Rule 1: an adapter knows its format, the LoopBuilder phi's order; no adapter writes an event.
Rule 2: a turn's events are given when the turn has closed, so that a fold killed at any record and rebuilt from its state goes on to
        the same events. The state names the first record that has to be given again.
Rule 3: a model call or a prompt is read once, whoever copied it: it belongs to the first loop that claims it.
Rule 4: what a format does not say is not made up: no time is a clock's, no number an estimate.
"""
