"""What agents do while somebody looks on: rows that change on a terminal, lines elsewhere; told by the spans that leave.

spans ─▶ Work (a session's row: turns, tokens, last tool, errors) ─▶ LiveView (a terminal's rows, and lines above them) or plain lines
"""
