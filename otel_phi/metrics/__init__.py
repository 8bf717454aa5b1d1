"""Metrics: what an agent did and how its spans fare, as numbers. Made of the recorder's notices, by the process that wrote their facts.

Rule 1: nothing of it happens on the agent's thread, and nothing at all unless it is asked for.
Rule 2: no id, path or text stands on a metric, and the series of each are bounded (`series`).
"""
