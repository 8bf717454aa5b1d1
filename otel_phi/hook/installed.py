"""One hook a process: made by the first `install`, found again by the next."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_phi.config import Config, Options, resolve
from otel_phi.config.values import check_types
from otel_phi.delivery.exporters.open import open_exporters_again, resource_of
from otel_phi.errors import ConfigError
from otel_phi.hook import leaving
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.hook import Hook, hook_of
from otel_phi.hook.live import LiveDelivery
from otel_phi.hook.recording import Recording

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from 3.11 on

logger = logging.getLogger("otel_phi")


class _Installed(NamedTuple):
    hook: Hook
    recording: Recording
    options: dict[str, Any]


# One entry at most. Changed by single steps of C alone: a lock could be left held by an interrupt, or by a thread that is no
# more in a forked child.
_installed: dict[str, _Installed] = {}


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
    found = _installed.get("hook")
    if found is None or found.recording.closed:
        found = _put(_made(resolve(**options), given), found)
    _reject_others(given, found.options)
    leaving.watch(_current, flush_on_sigterm=flush_on_sigterm and not found.recording.off)
    return found.hook


def _put(made: _Installed, closed: _Installed | None) -> _Installed:
    """Keeps what was made, unless another thread was faster: then its stays, and what was made here is shut down."""
    if closed is not None and _installed.get("hook") is closed:
        _installed.pop("hook", None)
    kept = _installed.setdefault("hook", made)
    if kept is not made:
        made.recording.shutdown(0.0)
    return kept


def current() -> Hook | None:
    """Returns this process's hook, None before the first `install`."""
    found = _installed.get("hook")
    return None if found is None else found.hook


def _current() -> Recording | None:
    found = _installed.get("hook")
    return None if found is None else found.recording


def _reject_others(given: dict[str, Any], before: dict[str, Any]) -> None:
    names = [key for key in sorted({*before, *given}) if before.get(key) != given.get(key)]
    if names:
        raise ConfigError(
            f"otel_phi.install was called before with other options ({', '.join(names)}); a process has one hook: "
            "use the one that is installed, or call its shutdown() first"
        )


def _made(config: Config, given: dict[str, Any]) -> _Installed:
    recording = _recording(config)
    return _Installed(hook_of(recording), recording, given)


def _delivery_of(config: Config) -> Callable[[Complaints], LiveDelivery]:
    """Returns what makes the live delivery, here and again in each forked child."""
    resource, pid = resource_of(config), os.getpid()

    def make(complaints: Complaints) -> LiveDelivery:
        # Nobody can catch an error in a child: it was raised from `install`, in its parent, or not at all.
        opened = None if os.getpid() == pid else open_exporters_again(config)
        return LiveDelivery(config, resource, complaints, exporters=opened)

    return make


def _recording(config: Config) -> Recording:
    if config.disabled:
        return Recording(config, None, off="sdk_disabled")
    try:
        return _kind(config)(config, _delivery_of(config))
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  # a resource detector can fail, a disk be odd: the agent runs all the same
        logger.warning("otel-phi records nothing: it could not start (%s)", type(error).__name__)
        return Recording(config, None, off="not_started")


def _kind(config: Config) -> type[Recording]:
    if config.strict == "off" and config.record is None:
        return Recording
    from otel_phi.hook.watched import (
        WatchedRecording,  # for development and tests: whoever does not ask for it loads nothing
    )

    return WatchedRecording
