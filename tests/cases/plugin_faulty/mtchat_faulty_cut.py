"""A family that cannot read what its models write."""

from mtchat.generate.prompt.families.instruct import chunk, render, repair, revise

__all__ = ["chunk", "cut", "matches", "render", "repair", "revise"]


def matches(card):
    return card.architecture == "Mute"


def cut(text, language=None):
    return text
