"""From notices to spans: ids, words, tokens, limits."""
