"""Corrections in words: what becomes of the program, by the model or, for a rename, by its syntax tree."""
