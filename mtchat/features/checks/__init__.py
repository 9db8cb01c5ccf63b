"""Checks of turns: how they are said, and whether they hold."""
