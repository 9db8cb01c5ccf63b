"""Fills holes in code that the user wrote, by a model."""
