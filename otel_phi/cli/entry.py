"""Where the process `otel-phi` begins: what needs no command line library is answered before one is loaded.

Rule 1: Ctrl-C is quiet from here on: the process ends by the signal itself, as a shell expects (it shows 130).
Rule 2: an output that nobody reads any more is no error: the process ends quietly with 141, as if by SIGPIPE.
Rule 3: nothing is imported up here but what Python has loaded already.
"""

from __future__ import annotations

import os
import sys

from otel_phi.version import __version__

SHELLS = ("bash", "zsh", "fish")
TYPE_CHECKING = False  # as `typing` has it, without loading that
if TYPE_CHECKING:
    from collections.abc import Callable
CLOSED_PIPE = 141  # 128 and SIGPIPE's number, which Python ignores and turns into an exception


def run() -> None:
    """Runs the command line of this process, and leaves it."""
    try:
        _run(sys.argv[1:])
    except KeyboardInterrupt:
        end_by_interrupt()
    except BrokenPipeError:
        end_by_closed_pipe()
    except OSError as error:  # what is said before click is loaded: it says its own errors
        sys.stderr.write(f"otel-phi: {error}\n")
        _flush_quietly()
        os._exit(1)


def _run(arguments: list[str]) -> None:
    text = _at_once(arguments)
    if text is None:
        from otel_phi.cli.group import main

        main()
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def _at_once(arguments: list[str]) -> str | None:
    """Returns what is answered without a command line library, None where that needs one."""
    if arguments in (["--version"], ["-V"]):
        return f"otel-phi {__version__}\n"
    if len(arguments) == 2 and arguments[0] == "completion" and arguments[1] in SHELLS:
        return completion(arguments[1])
    return None


def completion(shell: str) -> str:
    """Returns the script that makes a shell complete our commands: click's own, kept as a file.

    Args:
        shell: `bash`, `zsh` or `fish`.
    """
    path = os.path.join(os.path.dirname(__file__), "completion", f"otel-phi.{shell}")  # noqa: PTH118, PTH120  # rule 3
    with open(path, encoding="utf-8") as file:  # noqa: PTH123  # rule 3
        return file.read()


def end_by_interrupt() -> None:
    """Ends this process as Ctrl-C does where nobody catches it, without a word."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _flush_quietly()
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(130)


def end_by_closed_pipe() -> None:
    """Ends this process as one whose output nobody reads any more."""
    _flush_quietly()
    os._exit(CLOSED_PIPE)


def end_if_unread(file: str | None) -> None:
    """Ends this process where what it writes to standard output is read by nobody any more.

    Args:
        file: where spans are written to, `-` for standard output.
    """
    if file == "-" and reader_gone():
        end_by_closed_pipe()


def reader_gone() -> bool:
    """Tells whether nobody reads standard output any more."""
    import select

    if not hasattr(select, "poll"):  # Windows
        return False
    watched = select.poll()
    watched.register(1, 0)
    return any(event & select.POLLERR for _, event in watched.poll(0))


# What is to be put away however the process ends; each is a function without arguments.
at_end: list[Callable[[], object]] = []


def _flush_quietly() -> None:
    while at_end:
        at_end.pop()()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # noqa: PERF203  # nobody reads there any more
            continue
