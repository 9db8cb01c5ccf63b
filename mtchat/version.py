"""The version of this package, by itself so that every part can read it."""

__version__ = "0.2.0"
