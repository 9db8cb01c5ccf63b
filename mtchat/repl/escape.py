"""The signs of the terminal's own, by the name that this room knows them under."""

from mtchat.core.escape import ODD, escaped, held, named, unnamed

__all__ = ["ODD", "escaped", "held", "named", "unnamed"]
