"""How the text of a byte-pair vocabulary is split before pairs are merged, by the name in the GGUF file.

The names and the patterns follow llama.cpp (src/llama-vocab.cpp, src/unicode.cpp), with its limits: only
ASCII letters have a case, only ASCII digits are `[0-9]`, and no white space counts as CJK. Each pattern
splits what the one before it left; the text between two matches is a piece of its own.
"""

from dataclasses import dataclass


def letters(ranges: str) -> str:
    """The inside of a regular expression's set, from code points and ranges of them in hexadecimal."""
    pairs = (each.partition("-") for each in ranges.split())
    return "".join(chr(int(first, 16)) + (last and "-" + chr(int(last, 16))) for first, _, last in pairs)


SHORT = r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
PATHS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LOWER = r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*"
MARKED_LOWER = LOWER.replace(r"\p{L}&&", r"[\p{L}\p{M}]&&")
MARKED_UPPER = UPPER.replace(r"\p{L}&&", r"[\p{L}\p{M}]&&")
ANY_CASE = rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+(?:{SHORT})?"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
QWEN2 = rf"{SHORT}|{WORD}|\p{{N}}|{SIGNS}|{SPACES}"
ACCENTED = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
QWEN35 = rf"{SHORT}|{ACCENTED}|{SPACES}"
LLAMA3 = rf"{SHORT}|{WORD}|\p{{N}}{{1,3}}|{SIGNS}|{SPACES}"
TEKKEN = rf"{LOWER}|{UPPER}|\p{{N}}|{PATHS}|{SPACES}"
GPT4O = rf"{LOWER}(?:{SHORT})?|{UPPER}(?:{SHORT})?|\p{{N}}{{1,3}}|{PATHS}|{SPACES}"
GRANITE_97M = rf"{MARKED_LOWER}(?:{SHORT})?|{MARKED_UPPER}(?:{SHORT})?|\p{{N}}{{1,3}}|{PATHS}|{SPACES}"
AYA = rf"{ANY_CASE}|\p{{N}}{{1,3}}|{PATHS}|{SPACES}"
YOUTU = rf"{ANY_CASE}|\p{{N}}|{PATHS}|{SPACES}"
SEED = rf"{SHORT}|{WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{SPACES}"
BAILING = rf"{SHORT}|{WORD}|\p{{N}}|{SIGNS}|\s*[\r\n]|\s+(?!\S)|\s+"
UFAKZEKA = rf"{WORD}|\p{{N}}|{SIGNS}|{SPACES}"
MINICPM5 = rf"{SHORT}|{WORD}|\p{{N}}+|{SIGNS}|{SPACES}"
HORIZON = (
    rf"{SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}\x{{200C}}\x{{200D}}]+|\p{{N}}{{1,3}}|{SIGNS}|{SPACES}"
)
PHRASE = r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+"
EXAONE_MOE = rf"{SHORT}|{PHRASE}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
RUNS = "|".join(rf"\s{{{count}}}(?!\S)" for count in (512, 256, 128, 64, 32, 16, 8, 4))
JAIS2 = rf"{SHORT}|{WORD}|\p{{N}}{{1,3}}|{SIGNS}|\s*[\r\n]+|{RUNS}|\s{{1,2}}(?!\S)|\s"

HAN = letters("4E00-9FFF 3400-4DBF 20000-2A6DF 2A700-2EBEF F900-FAFF 2F800-2FA1F")
NOT_HAN = rf"[\p{{L}}&&[^{HAN}]]+"
KIMI = rf"[{HAN}]+|[^\r\n\p{{L}}\p{{N}}]?{NOT_HAN}(?:{SHORT})?|\p{{N}}{{1,3}}|{SIGNS}|{SPACES}"
CJK = f"[{letters('4E00-9FA5 3040-309F 30A0-30FF')}]+"
ASIAN = rf"[[{letters('4E00-9FA5 800-4E00 AC00-D7FF')}]&&[^\s]]+"
EAST_ASIAN = letters(
    "4E00-9FFF 3400-4DBF 8C48-FAFF 3040-309F 30A0-30FF FF65-FF9F 2F00-2FDF E40-E7F E80-EFF 1780-17FF "
    "1000-109F AA60-AA7F A9E0-A9FF AC00-D7AF 1100-11FF"
)
HANGUL, BOPOMOFO = letters("AC00-D7A3 3131-318E"), letters("3105-312F")
CJK_SIGNS = letters("FF01 2026 201C 201D 2018 2019 2014 FF1A FF1B FF0C 3001-303F FE30-FE4F")
PUNCTUATED = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
DEEPSEEK3 = rf"{PUNCTUATED}| ?[\p{{P}}\p{{S}}]+[\r\n]*|{SPACES}"
SPARK = rf"{PUNCTUATED}| ?[\p{{P}}\p{{S}}]+|[\r\n]|\s+(?!\S)|\s+"
THOUSANDS = r"\P{N}*\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
CASED = letters(  # deepseek-llm's letters
    "41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A "
    "38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF "
    "1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D "
    "1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 "
    "1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F "
    "2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F "
    "A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 "
    "104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"
)
DEEPSEEK_SIGNS = letters("21-2F 3A-7E FF01-FF0F FF1A-FF5E 2018-201F 3001-3002")
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
LINES = r"[^\n]+|\n+"


@dataclass(frozen=True)
class SplitRule:
    """How text is split: `patterns` in order.

    With `whole`, a piece that is a token is not merged; `bos` starts each text by default. `raw`
    vocabularies hold the text itself with ▁ for a space, and not letters that stand for bytes. With
    `lines`, a run of line breaks is one token where the vocabulary has it, and each text starts with BOS.
    """

    patterns: tuple[str, ...]
    whole: bool = False
    bos: bool = False
    raw: bool = False
    lines: bool = False


def rules(names: str, *patterns: str, **changes: bool) -> dict[str, SplitRule]:
    return dict.fromkeys(names.split(), SplitRule(patterns, **changes))


SPLIT_RULES = {
    **rules("default", r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    **rules("gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat a.x-4.0 mellum exaone4", GPT2),
    **rules("jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe modern-bert", GPT2),
    **rules("starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", r"\p{N}", GPT2),
    **rules("qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan grok-2 solar-open", QWEN2),
    **rules("qwen35", QWEN35),
    **rules(
        "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
        LLAMA3,
        whole=True,
        bos=True,
    ),
    **rules("dbrx smaug-bpe chatglm-bpe", LLAMA3),
    **rules("glm4 glm5", LLAMA3, whole=True),
    **rules("jais-2", JAIS2),
    **rules("tekken", TEKKEN, whole=True, bos=True),
    **rules("gpt-4o llama4 kanana2 talkie minimax-m2", GPT4O),
    **rules("granite-embed-multi-97m", GRANITE_97M, whole=True),
    **rules("tiny_aya cohere2moe", THOUSANDS, AYA),
    **rules("youtu", f"[{HANGUL}]+|[{CJK_SIGNS}]+|[{BOPOMOFO}]+|{CJK}", YOUTU, whole=True),
    **rules("seed-coder", SEED),
    **rules("bailingmoe bailingmoe2 llada-moe", BAILING),
    **rules("ufakzeka", UFAKZEKA),
    **rules("minicpm5", r"\p{N}{1,3}", MINICPM5, whole=True),
    **rules("k2-horizon", HORIZON),
    **rules("exaone-moe", EXAONE_MOE),
    **rules("falcon", r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"),
    **rules("kimi-k2", KIMI),
    **rules("superbpe", r"\p{N}+", "(?=(?:[0-9]{3})+(?![0-9]))"),
    **rules("afmoe", THOUSANDS, f"[{EAST_ASIAN}]+", DEEPSEEK3),
    **rules("laguna", LINES, QWEN2),
    **rules("deepseek-coder", r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", ASIAN, r"\p{N}"),
    **rules(
        "deepseek-llm",
        *(r"[\r\n]", rf"\s?[{CASED}]+", rf"\s?[{DEEPSEEK_SIGNS}]+", r"\s+\z", ASIAN, r"\p{N}+"),
    ),
    **rules("deepseek-v3 hunyuan-dense hy_v4 joyai-llm", r"\p{N}{1,3}", CJK, DEEPSEEK3),
    **rules("spark2_5", r"\p{N}{1,3}", CJK, SPARK, r"\p{N}"),
    **rules("poro-chat bloom gpt3-finnish", BLOOM),
    **rules("viking", BLOOM, r"\p{N}"),
    **rules(
        "chameleon",
        *("<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", r"[\t\n]|    |  ", r"\p{N}"),
        *(r"[\p{P}!-/:-@\[-`{-~]", GPT2),
        bos=True,
    ),
    **rules("gemma4 granite-embed-multi-311m", LINES, raw=True, lines=True),
    **rules("sarvam-moe", LINES, raw=True),
}
