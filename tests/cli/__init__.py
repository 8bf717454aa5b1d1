"""The command line, through its own door: click's runner, and real processes where signals and pipes matter."""
