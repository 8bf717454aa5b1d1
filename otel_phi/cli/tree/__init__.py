"""The tree of a trace as the terminal draws it: spans to rows, rows to lines."""
