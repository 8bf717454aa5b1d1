"""What a command's exit code says, for all commands; beside these 130 for Ctrl-C and 141 for an unread output, see `entry`."""

DELIVERED = 0
BROKEN = 1  # the machine failed: a full disk, say
USAGE = 2  # as click has it
REJECTED = 3
GAVE_UP = 4
# What `check` says of what it looked at.
CLEAN = 0
WARNINGS = 5
ERRORS = 6
