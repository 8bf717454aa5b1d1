"""`python -m tests.e2e.backends`: builds what is not yet built, and says where it is.

`--pin`: writes the Collector's sums anew. `--pin phoenix`, `mlflow` or `rotel`: the list of what comes with that package.
"""

from __future__ import annotations

import sys

from tests.e2e.backends import CannotBuild, programs
from tests.e2e.backends.packages import PACKAGES
from tests.e2e.backends.pin import pin, pin_list
from tests.e2e.backends.step import BuildError


def main() -> None:
    """Builds or pins. Exit code 0 also where this machine cannot build: the tests then skip and say why."""
    try:
        match sys.argv[1:]:
            case ["--pin"]:
                pin(_say)
            case ["--pin", package] if package in PACKAGES:
                pin_list(package, _say)
            case _:
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
