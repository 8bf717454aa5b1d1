"""The hook: the door that an agent leaves on in production. It never raises, never prints and never makes the agent wait.

    hook = otel_phi.install(service_name="my-agent")
    hook(event)                          # from any thread or task: an event of otel_phi.events, a dict, str or bytes
    for event in hook.tap(events): ...   # records and passes on, sync and async

an agent's thread:   hook ─▶ recording ─▶ one line in the journal, a file
the live thread:     journal ─▶ JournalExport (recorder, mapping) ─▶ batches ─▶ sender ─▶ collector ─▶ mark in the journal
"""

from otel_phi.hook.hook import Event, Hook
from otel_phi.hook.installed import install
from otel_phi.hook.stats import HookStats

__all__ = ["Event", "Hook", "HookStats", "install"]
