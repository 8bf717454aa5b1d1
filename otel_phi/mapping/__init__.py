"""From a notice to spans: ids, names, times, usage, status. Pure functions, no I/O and no state.

This room imports the recorder's notices and the words of `wire` they are made of, nothing else of ours.
"""
