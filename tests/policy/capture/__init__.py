"""Tests of contents as they may be said."""
