"""The front door for agents of one's own."""
