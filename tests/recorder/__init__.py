"""What is open, what has closed: one claim a test."""
