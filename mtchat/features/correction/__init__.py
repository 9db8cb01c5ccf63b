"""Corrections in words: detects them, finds the turn they refer to, and changes it."""
