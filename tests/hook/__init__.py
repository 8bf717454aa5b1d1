"""The live hook: its promises, against a real receiver and in real processes."""
