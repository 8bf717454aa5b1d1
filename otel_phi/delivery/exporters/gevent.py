"""gevent beside gRPC: gRPC waits in C, where a patched socket does not reach, and every greenlet stands still meanwhile.

gRPC can be made to wait gevent's way, before its first object exists. Where nobody has imported it yet, that is done here.
Where somebody has, nobody can tell whether objects exist, and a warning says what to do. OTLP over HTTP needs none of this.
"""

from __future__ import annotations

import importlib
import logging
import sys

logger = logging.getLogger("otel_phi")

_warned = False


def prepare_grpc_for_gevent() -> None:
    """Makes gRPC wait gevent's way in a process that gevent has patched; warns once where that is too late."""
    global _warned  # noqa: PLW0603  # once a process
    if not _is_patched() or "grpc.experimental.gevent" in sys.modules:  # whoever imports that calls what is in it
        return
    if "grpc" in sys.modules:
        if not _warned:
            _warned = True
            logger.warning(
                "gevent has patched this process, and gRPC was imported before otel-phi: while a request is under way all "
                "greenlets may stand still. Use protocol http/protobuf, or call grpc.experimental.gevent.init_gevent() "
                "behind monkey.patch_all() and before anything of gRPC is made"
            )
        return
    importlib.import_module("grpc.experimental.gevent").init_gevent()


def _is_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))
