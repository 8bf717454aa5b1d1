"""What a provider's answer says of itself, whole or in pieces: tokens, model, finish reason, whether there is content yet.

Objects and dicts alike: nothing of a provider's package is imported.
"""

from otel_phi.front.responses.reading import Reading

__all__ = ["Reading"]
