"""One hook a process: made by the first `install`, found again by the next."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from otel_phi.config import Config, Options, resolve
from otel_phi.config.values import check_types
from otel_phi.delivery.exporters.open import resource_of
from otel_phi.delivery.live import LiveDelivery
from otel_phi.errors import ConfigError
from otel_phi.hook import leaving
from otel_phi.hook.hook import Hook

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from 3.11 on

logger = logging.getLogger("otel_phi")


class _Installed:
    """Holds the process's hook and what it was made of."""

    def __init__(self) -> None:
        self.renew()
        self.hook: Hook | None = None
        self.options: dict[str, Any] = {}

    def renew(self) -> None:
        """Takes a lock of its own: in a forked child, a thread that is no more can hold the old one."""
        self.lock = threading.Lock()


_installed = _Installed()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_installed.renew)


def install(*, flush_on_sigterm: bool = True, **options: Unpack[Options]) -> Hook:
    """Makes this process's hook; with the same options again, returns it.

    Args:
        flush_on_sigterm: send what waits before SIGTERM kills the process, within 2 s. Only where the signal's action is
            the default one when this is called, from the main thread; a handler of the agent's own is never touched.
        **options: as `otel_phi.resolve` takes them: `service_name`, `endpoint`, `headers`, `exporter`, ...

    Raises:
        ConfigError: an option is wrong, or the hook is installed with others; the message says how to mend it.
    """
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    given["flush_on_sigterm"] = flush_on_sigterm
    check_types(given)
    with _installed.lock:
        if _installed.hook is not None and not _installed.hook.closed:
            _reject_others(given)
            return _installed.hook
        hook = _made(resolve(**options))
        _installed.hook, _installed.options = hook, given
    leaving.watch(current, flush_on_sigterm=flush_on_sigterm and not hook.off)
    return hook


def current() -> Hook | None:
    """Returns this process's hook, None before the first `install`."""
    return _installed.hook


def _reject_others(given: dict[str, Any]) -> None:
    before = _installed.options
    names = [key for key in sorted({*before, *given}) if before.get(key) != given.get(key)]
    if names:
        raise ConfigError(
            f"otel_phi.install was called before with other options ({', '.join(names)}); a process has one hook: "
            "use the one that is installed, or call its shutdown() first"
        )


def _made(config: Config) -> Hook:
    if config.disabled:
        return Hook(config, config.mapping, None, off="sdk_disabled")
    try:
        resource = resource_of(config)
        return Hook(config, config.mapping_for(resource.get("service.name")), LiveDelivery(config, resource))
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  # a resource detector can fail, a disk be odd: the agent runs all the same
        logger.warning("otel-phi records nothing: it could not start (%s)", type(error).__name__)
        return Hook(config, config.mapping, None, off="not_started")
