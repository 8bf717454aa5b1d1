"""Sessions as one page for a browser, to look at and to hand on: it needs nothing but itself."""
