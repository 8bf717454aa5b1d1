"""Builds the real backends, once a machine: the OpenTelemetry Collector and Jaeger, from pinned sources.

    programs()   the paths of both, built where they are not yet; raises CannotBuild where this machine cannot

    python_of("phoenix", say)   the Python of a backend that is a package, in a virtual environment of its own (`packages.py`)

The recipe is the three folders here, each a Go module with every sum: `builder` (the Collector's own builder), `otelcol` (its
manifest) and `jaeger`. What was built is kept in `$OTEL_PHI_E2E_CACHE`, else in the platform's cache folder, under the hash of its recipe.
"""

from tests.e2e.backends.build import Programs, programs
from tests.e2e.backends.go import CannotBuild

__all__ = ["CannotBuild", "Programs", "programs"]
