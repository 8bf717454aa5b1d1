"""Sending: batches, retry, backoff, dead letters, counts: the one sender of all doors."""
