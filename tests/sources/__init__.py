"""Files and folders to events: one bad line costs itself alone."""
