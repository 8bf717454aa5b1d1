"""The journal: the durable log of a live process, and what processes of one machine share."""
