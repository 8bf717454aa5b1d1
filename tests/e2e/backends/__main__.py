"""`python -m tests.e2e.backends`: builds what is not yet built, and says where it is. `--pin`: writes the Collector's sums anew."""

from __future__ import annotations

import sys

from tests.e2e.backends import CannotBuild, programs
from tests.e2e.backends.go import BuildError
from tests.e2e.backends.pin import pin


def main() -> None:
    """Builds or pins. Exit code 0 also where this machine cannot build: the tests then skip and say why."""
    try:
        if sys.argv[1:] == ["--pin"]:
            pin(_say)
        else:
            _say("\n".join(map(str, programs(_say))))
    except CannotBuild as reason:
        _say(f"the real backends cannot be built here, their tests will be SKIPPED: {reason}")
    except BuildError as error:
        sys.exit(str(error))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
