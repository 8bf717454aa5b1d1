"""The command line: `otel-phi show`, `export`, `pipe`, `status`, `flush`, `demo`. Reads flags, prints; all else is done by the rooms below.

Rule 1: results on stdout, talk on stderr.
Rule 2: an error is one line that says what was found and what to do, and an exit code; never a traceback.
Rule 3: text from outside goes to the terminal only through `otel_phi.tree.clean`.
"""

from otel_phi.cli.group import main

__all__ = ["main"]
