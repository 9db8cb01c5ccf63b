"""Explanations and lessons on the screen."""
