"""mtchat builds Python programs by conversation: multi-turn program synthesis in a terminal."""

__version__ = "0.1.0"
