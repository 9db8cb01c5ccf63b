"""Edits of Python code on a syntax tree that keeps its text: what is not edited stays as it was."""
