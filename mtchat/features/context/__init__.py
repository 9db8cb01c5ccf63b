"""Chooses what the model sees of each turn: all of it, only names and signatures, or nothing."""
