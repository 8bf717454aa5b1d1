"""The fault matrix: issue 5, section 3. What shows which row is in docs/faults.md."""
