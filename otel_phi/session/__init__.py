"""The session: the recorder of phi-core in Python, the Session tree it makes, its canonical JSON and its files."""
