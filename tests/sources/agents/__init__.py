"""Tests of other agents' sessions."""
