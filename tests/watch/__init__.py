"""Files that agents write to, followed."""
