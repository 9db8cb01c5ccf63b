"""Parrots are prompted as chat models are."""

from mtchat import ModelCard
from mtchat.generate.prompt.families.instruct import chunk, cut, render, repair, revise

__all__ = ["chunk", "cut", "matches", "render", "repair", "revise"]


def matches(card: ModelCard) -> bool:
    return card.name == "parrot"
