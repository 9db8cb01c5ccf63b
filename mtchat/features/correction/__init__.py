"""Corrections in words: what is one, which turn it is about, and what becomes of that turn."""
