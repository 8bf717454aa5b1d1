"""Redaction: what is a secret in a text, and what stands in its place.

    text ─ escapes decoded ─ finding ─▶ hits ─▶ marks in their place
                               ├ tokens    vendors' formats, told by how they begin
                               ├ keys      values behind a key that tells
                               └ blocks    private keys, URLs, headers, cookies

Own rules, the standard library alone: the packages there are find fewer, take many times longer, or cry wolf over most clean texts.
"""
