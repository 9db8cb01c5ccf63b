"""Fills holes in code with what a model writes there."""
