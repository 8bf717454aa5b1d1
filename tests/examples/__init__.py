"""Every example runs, as its reader would run it. The Rust agent, which has to be built first, runs in tests/e2e."""
