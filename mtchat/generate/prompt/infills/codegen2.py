"""CodeGen2 and 2.5: a mask stands for the hole, and what it stands for is asked after the text.

Nijkamp et al. 2023, arXiv:2305.02309. What is written ends with <eom>.
"""

import re

from mtchat.generate.prompt.family import Cut
from mtchat.generate.prompt.infill import until
from mtchat.session.prompt import ModelCard, Prompt, SpecialToken, woven

MASK, END, SEPARATOR, ENDED = "<mask_1>", "<|endoftext|>", "<sep>", "<eom>"
ENDS = re.compile(r"<eom>|<mask_|<sep>|<\|endoftext\|>")


def matches(card: ModelCard) -> bool:
    return {MASK, SEPARATOR, ENDED} <= card.marks


def render(prefix: str, suffix: str) -> Prompt:
    return woven(
        prefix, SpecialToken(MASK), suffix, SpecialToken(END), SpecialToken(SEPARATOR), SpecialToken(MASK)
    )


def cut(text: str) -> Cut:
    return until(ENDS, text)
