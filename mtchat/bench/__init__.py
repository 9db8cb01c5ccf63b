"""Measures: how fast it is, and how good."""
