"""What `otel-phi ls` says: sessions counted as their spans pass, chosen, ordered, summed, and laid out for a terminal.

spans ─▶ tally (a session's counts, by day, model and tool) ─▶ choice (filters, order) ─▶ rows, or sums ─▶ columns or JSON
"""
