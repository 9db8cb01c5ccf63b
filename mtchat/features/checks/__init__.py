"""Checks: what must hold after a turn, in Python or in a sentence, and whether it does."""
