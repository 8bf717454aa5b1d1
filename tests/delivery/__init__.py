"""Delivery, against real servers on the loopback."""
