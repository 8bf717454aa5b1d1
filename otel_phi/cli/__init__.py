"""The command line: `otel-phi show`, `export`, `pipe`, `status`, `flush`, `demo`. Reads flags, prints; all else is done by the rooms below.

Rule 1: results on stdout, talk on stderr.
Rule 2: an error is one line that says what was found and what to do, and an exit code; never a traceback.
Rule 3: text from outside goes to the terminal only through `otel_phi.tree.clean`.
Rule 4: a command loads what it uses: `main`, click's group of them, is made when it is asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, whose import would take longer than `otel-phi --version` may
if TYPE_CHECKING:
    from otel_phi.cli.group import main

__all__ = ["main"]


def __getattr__(name: str) -> object:
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otel_phi.cli.group import main

    return main
