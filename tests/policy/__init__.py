"""What may be said: nothing that a person or a model wrote, and all that the trace needs."""
