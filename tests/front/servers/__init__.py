"""Programs as docs/in-your-server.md has them, for tests/front/test_servers.py."""
