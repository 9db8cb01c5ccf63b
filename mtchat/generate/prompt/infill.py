"""The formats in which models fill a hole in code (FIM, fill in the middle), and the choice of one.

Qwen2.5-Coder (Hui et al. 2024, arXiv:2409.12186): prefix and suffix, each behind its token; the middle is
written last. The tokens stand in plain text for chat models too.
CodeGen2 and 2.5 (Nijkamp et al. 2023, arXiv:2305.02309): a mask stands for the hole, and its content is
asked for after the text. It ends with <eom>.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mtchat.generate.prompt.family import Cut
from mtchat.session.prompt import ModelCard, Prompt, SpecialToken, join_parts

PREFIX, SUFFIX = "prefix", "suffix"


@dataclass(frozen=True)
class InfillFormat:
    """A format: `layout` has special tokens and, for the text around the hole, PREFIX and SUFFIX."""

    layout: tuple[SpecialToken | str, ...]
    ends: re.Pattern[str]
    needs: frozenset[str]

    def matches(self, card: ModelCard) -> bool:
        """Whether a model knows the format: its tokenizer has the tokens that the format needs."""
        return self.needs <= card.marks

    def render(self, prefix: str, suffix: str) -> Prompt:
        """The prompt that asks for the code between two pieces of text, exactly as the model knows it."""
        texts = {PREFIX: prefix, SUFFIX: suffix}
        return join_parts(*(each if isinstance(each, SpecialToken) else texts[each] for each in self.layout))

    def cut(self, text: str) -> Cut:
        """The content of the hole in a completion, or in as much of it as has been written."""
        end = self.ends.search(text)
        return Cut(text[: end.start()], finished=True) if end else Cut(text, finished=False)


FORMATS: Mapping[str, InfillFormat] = MappingProxyType(
    {
        "codegen2": InfillFormat(
            (
                PREFIX,
                SpecialToken("<mask_1>"),
                SUFFIX,
                SpecialToken("<|endoftext|>"),
                SpecialToken("<sep>"),
                SpecialToken("<mask_1>"),
            ),
            re.compile(r"<eom>|<mask_|<sep>|<\|endoftext\|>"),
            frozenset(["<mask_1>", "<sep>", "<eom>"]),
        ),
        "qwen": InfillFormat(
            (
                SpecialToken("<|fim_prefix|>"),
                PREFIX,
                SpecialToken("<|fim_suffix|>"),
                SUFFIX,
                SpecialToken("<|fim_middle|>"),
            ),
            re.compile(r"<\|(?:fim_(?:prefix|suffix|middle|pad)|repo_name|file_sep|endoftext|im_end)\|>"),
            frozenset(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]),
        ),
    }
)


def choose(card: ModelCard) -> InfillFormat | None:
    """The format in which a model fills holes: the first that it knows, or None."""
    return next((each for each in FORMATS.values() if each.matches(card)), None)
