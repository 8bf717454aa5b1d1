"""The outbox as the command line sees it: read beside processes that live, sent, sent again, purged."""
