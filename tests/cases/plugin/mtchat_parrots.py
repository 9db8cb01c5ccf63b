"""Parrots are prompted as chat models are."""

from mtchat import ModelCard
from mtchat.generate.prompt.families.instruct import chunk, cut, mend, render, revise

__all__ = ["chunk", "cut", "matches", "mend", "render", "revise"]


def matches(card: ModelCard) -> bool:
    return card.name == "parrot"
