"""Patches of libraries, applied when the program first imports them."""
