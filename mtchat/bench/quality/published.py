"""Rates that others have published, to stand beside ours, and why the two are not quite comparable."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A model's rate on all problems of a suite, in parts of one; `short` is its name in a picture."""

    suite: str
    model: str
    short: str
    rate: float


PUBLISHED = (
    Published("mtpb", "CodeGen-Mono 350M", "CodeGen 350M", 0.1698),
    Published("mtpb", "CodeGen-Mono 2.7B", "CodeGen 2.7B", 0.3872),
    Published("mtpb", "CodeGen-Mono 6.1B", "CodeGen 6.1B", 0.4352),
    Published("mtpb", "CodeGen-Mono 16.1B", "CodeGen 16.1B", 0.4734),
    Published("mtpb", "code-davinci-002", "davinci-002", 0.5986),
    Published("humaneval", "Qwen2.5-Coder-0.5B-Instruct", "Qwen 0.5B bf16", 0.616),
    Published("humaneval", "Qwen2.5-Coder-1.5B-Instruct", "Qwen 1.5B bf16", 0.707),
    Published("mbpp", "Qwen2.5-Coder-0.5B-Instruct", "Qwen 0.5B bf16", 0.524),
    Published("mbpp", "Qwen2.5-Coder-1.5B-Instruct", "Qwen 1.5B bf16", 0.692),
)

SOURCES: Mapping[str, str] = {
    "mtpb": "CodeGen, Nijkamp et al. 2023, arXiv:2203.13474: raw samples on all 115 problems, so not "
    "directly comparable with a run on other problems, such as the 65 for development",
    "humaneval": "Qwen2.5-Coder, bfloat16, with the prompts of EvalPlus, on all 164 problems",
    "mbpp": "Qwen2.5-Coder, bfloat16, with the prompts and base tests of EvalPlus on the problems that it "
    "keeps, so not directly comparable",
}


def of(suite: str) -> tuple[Published, ...]:
    return tuple(each for each in PUBLISHED if each.suite == suite)
