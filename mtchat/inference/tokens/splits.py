"""How a GGUF file's byte-level vocabulary splits text before pairs are merged, by the name in the file.

The names and what they stand for are llama.cpp's (src/llama-vocab.cpp). Each pattern splits what the one
before it left; what lies between two matches is a piece of its own.
"""

from dataclasses import dataclass

SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
PATHS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
QWEN2 = rf"{SHORT}|{WORD}|\p{{N}}|{SIGNS}|{SPACES}"
ACCENTED = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
QWEN35 = rf"{SHORT}|{ACCENTED}|{SPACES}"
LLAMA3 = rf"{SHORT}|{WORD}|\p{{N}}{{1,3}}|{SIGNS}|{SPACES}"
TEKKEN = rf"{LOWER}|{UPPER}|\p{{N}}|{PATHS}|{SPACES}"
GPT4O = rf"{LOWER}{SHORT}?|{UPPER}{SHORT}?|\p{{N}}{{1,3}}|{PATHS}|{SPACES}"
SEED = rf"{SHORT}|{WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{SPACES}"
BAILING = rf"'(?i:[sdmt]|ll|ve|re)|{WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
CJK = r"[一-龥぀-ゟ゠-ヿ]+"
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{SPACES}"
)
HAN = r"[一-龥ࠀ-一가-퟿]+"


@dataclass(frozen=True)
class Split:
    """Patterns in their order; a `whole` piece that is a token is not merged; `bos` opens each text."""

    patterns: tuple[str, ...]
    whole: bool = False
    bos: bool = False


DEFAULT = Split((r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"))
DIGITS = Split((r"\p{N}", GPT2))
PLAIN = Split((GPT2,))

SPLITS = {
    "default": DEFAULT,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling"), PLAIN),
    **dict.fromkeys(("gigachat", "a.x-4.0", "mellum", "exaone4"), PLAIN),
    **dict.fromkeys(("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone"), DIGITS),
    "minerva-7b": DIGITS,
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2"), Split((QWEN2,))),
    **dict.fromkeys(("hunyuan", "grok-2"), Split((QWEN2,))),
    "qwen35": Split((QWEN35,)),
    **dict.fromkeys(
        ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
        Split((LLAMA3,), whole=True, bos=True),
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), Split((LLAMA3,))),
    "tekken": Split((TEKKEN,), whole=True, bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2"), Split((GPT4O,))),
    "seed-coder": Split((SEED,)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), Split((BAILING,))),
    "falcon": Split((r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]")),
    "deepseek-coder": Split((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN, r"\p{N}")),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), Split((r"\p{N}{1,3}", CJK, DEEPSEEK3))),
}
