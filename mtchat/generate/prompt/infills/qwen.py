"""Qwen2.5-Coder: what stands before and after, each behind its mark, and the middle is written last.

Hui et al. 2024, arXiv:2409.12186. The marks are written into plain text, also for chat models.
"""

import re

from mtchat.generate.prompt.family import Cut
from mtchat.generate.prompt.infill import until
from mtchat.session.prompt import ModelCard, Prompt, SpecialToken, woven

PREFIX, SUFFIX, MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
ENDS = re.compile(r"<\|(?:fim_(?:prefix|suffix|middle|pad)|repo_name|file_sep|endoftext|im_end)\|>")


def matches(card: ModelCard) -> bool:
    return {PREFIX, SUFFIX, MIDDLE} <= card.marks


def render(prefix: str, suffix: str) -> Prompt:
    return woven(SpecialToken(PREFIX), prefix, SpecialToken(SUFFIX), suffix, SpecialToken(MIDDLE))


def cut(text: str) -> Cut:
    return until(ENDS, text)
