"""Writes code again for the same instructions: completed, refactored, or the whole program at once."""
