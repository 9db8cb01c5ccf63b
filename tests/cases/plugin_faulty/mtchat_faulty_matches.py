"""A family that cannot say whether a model is its own."""

from mtchat.generate.prompt.families.instruct import chunk, cut, render, repair, revise

__all__ = ["chunk", "cut", "matches", "render", "repair", "revise"]


def matches(card):
    raise RuntimeError("boom in matches")
