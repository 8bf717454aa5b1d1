"""`otel-phi watch`: follows what agents write to disk and sends it as it completes; cursors make it resume."""
