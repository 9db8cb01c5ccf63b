"""mtchat builds Python programs by conversation: multi-turn program synthesis in a terminal."""

from mtchat.version import __version__

__all__ = ["__version__"]
