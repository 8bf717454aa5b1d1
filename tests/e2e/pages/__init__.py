"""What a person sees: backends' pages in a headless Chromium, for the pictures in docs/ and for tests of what stands there.

`look(steps)` in `looking.py` runs `browser.py` under the Python of an environment that has Playwright; Chromium is the machine's own.
"""
