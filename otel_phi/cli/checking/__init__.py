"""What `otel-phi check` looks for: in files, at an endpoint, in the configuration.

rules.py      every rule once: id, severity, meaning, fix          (docs/check.md lists them)
findings.py   what was found, counted by rule and by what
files ─ places.py ─▶ events with their places ─ stream.py, tokens.py, secrets ─▶ findings
spans ─ sizes.py ─▶ findings
probe.py      an endpoint, step by step
effective.py  the configuration, where each value comes from, what waits
"""
