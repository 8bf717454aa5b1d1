"""The page: what it says, what it is made of, and how it is used."""
