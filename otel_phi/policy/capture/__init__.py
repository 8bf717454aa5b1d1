"""Contents as they may be said, where they may: selected, redacted, cut, in the convention's forms.

    event ─ Capture.admit ─▶ event that may be said, contents in it
             ├ content        derives the words and takes all out, as with content off
             ├ forms          puts back, in the convention's parts, what a span shows
             └ cutting        within the limits of an attribute, in one pass

Part forms: https://github.com/open-telemetry/semantic-conventions/tree/v1.41.1/docs/gen-ai
"""
