"""The cut rule of CodeGen against its restatements; a reply cut as it arrives is cut as its whole is."""

import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mtchat import plugins
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.family import FAMILIES, Family, load
from tests import SHARED
from tests.support.generate import assert_cut_as_it_arrives

DATA = Path(os.environ.get("MTCHAT_DATA", SHARED))
SAMPLES = DATA / "codet" / "codegen16B_solutions.jsonl.gz"
TOKENIZER = DATA / "codegen-tokenizer"

TERMINALS = ["^#", re.escape("<|endoftext|>"), "^'''", '^"""', "\n\n\n"]
README = ["\n\n^#", "^'''", "\n\n\n"]  # of CodeGen, in its example of `truncate_before_pattern`
CODE = [
    *("print", "print(x)\n", "\nprint", " print(y)", "def", "def f(x):\n", "\ndef g", "    return x\n"),
    *("#", "# note\n", " #", "'''", '"""', "'", '"', "\\", "<|endoftext|>", "<|endof", "text|>", "|"),
    *("\n", "\n\n", "\n\n\n", " \n", "\r\n", "\r", "\t", " ", "x = 1\n", "class A:\n", "é", "词", "\x0c", ""),
]
CHAT = [
    *(
        "```",
        "```python\n",
        "```\n",
        "```py",
        "```bash\n",
        "~~~\n",
        "``",
        "`",
        "`x`",
        "\n",
        "\n\n",
        "\r\n",
        " ",
    ),
    *('"""', "'''", '"', "'", "\\", "#", "# note\n", "x = 1\n", "    y = 2\n", 's = "```"\n', "f'", "rb'"),
    *("Here is the code:\n", "It's done.", "Sure", "- item\n", "### Heading\n", "pip install numpy\n"),
    *(
        ">>> x\n",
        "... ",
        "以下是代码：\n",
        "Voilà !\n",
        "def f():\n",
        "    return 1\n",
        "print(x)",
        "\r",
        "\t",
    ),
    *("<think>\n", "</think>\n", "<answer>\n", "</answer>\n", "<|im_end|>", "</s>", "[/INST]", "<"),
    *("main.py\n", "python\n", "Step 1\n", "(1)\n", "x = 3 \u2212 1\n", "\u200b"),
]


def truncated(text: str) -> str:
    """CodeGen's `truncate` (codegen1/benchmark, salesforce/CodeGen @6f09e49), said again step by step."""
    prints = [match.start() for match in re.finditer("^print", text, re.MULTILINE)]
    text = text[: prints[1]] if len(prints) > 1 else text
    defs = [match.start() for match in re.finditer("^def", text, re.MULTILINE)]
    text = text[: defs[1]] if len(defs) > 1 else text
    found = [match.start() for each in TERMINALS for match in re.finditer(each, text, re.MULTILINE)]
    return text[: min(found, default=len(text))]


def texts(fragments: list[str], count: int, seed: int) -> Iterator[str]:
    draw = random.Random(seed)
    for _ in range(count):
        yield "".join(draw.choices(fragments, k=draw.randint(1, 14)))


@cache
def samples() -> tuple[str, ...]:
    if not SAMPLES.is_file():
        pytest.skip(f"no CodeGen-16B samples at {SAMPLES}; MTCHAT_DATA names the folder that has codet/")
    with gzip.open(SAMPLES, "rt", encoding="utf-8") as lines:
        return tuple(sample for line in lines for sample in json.loads(line)["samples"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1\nprint(x)\ny = 2\nprint(y)\n", "x = 1\nprint(x)\ny = 2\n"),
        ("def f():\n    return 1\n\ndef g():\n    return 2\n", "def f():\n    return 1\n\n"),
        ("print(1)\ndef f():\n    pass\n", "print(1)\ndef f():\n    pass\n"),
        ("x = 1\n# now y\ny = 2\n", "x = 1\n"),
        ("# at once\n", ""),
        ("x = 1  # beside\n    # inside\n", "x = 1  # beside\n    # inside\n"),
        ("x = 1<|endoftext|>y", "x = 1"),
        ("x = 1\n'''\n", "x = 1\n"),
        ('x = 1\n"""\n', "x = 1\n"),
        ('x = """a"""\n', 'x = """a"""\n'),
        ("x = 1\n\n\ny = 2", "x = 1"),
        ("x = 1\n\ny = 2", "x = 1\n\ny = 2"),
        ("printer = 1\nprint(printer)\n", "printer = 1\n"),
        ("define = 1\ndef f(): pass\n", "define = 1\n"),
        ("", ""),
    ],
)
def test_a_completion_of_a_base_model_ends_where_codegen_ends_it(text: str, code: str):
    assert codegen.cut(text).code == code == truncated(text)
    assert codegen.cut(text).finished == (code != text)


@pytest.mark.slow
def test_the_cut_of_a_hundred_thousand_random_texts_is_that_of_the_restated_rule():
    for text in texts(CODE, 100_000, seed=16):
        cut = codegen.cut(text)
        code = truncated(text)
        assert cut.code == code, text
        assert cut.finished == (code != text), text


def test_the_cut_is_that_of_transformers_when_it_is_handed_the_same_terminals():
    """Transformers has the print and def rules built in, but takes the terminals from its caller.

    Its own example leaves `^\"\"\"` out, so the two agree only where all five are given. `truncate` is a
    method that never looks at its tokenizer.
    """
    from transformers import CodeGenTokenizer

    for text in texts(CODE, 20_000, seed=17):
        assert codegen.cut(text).code == CodeGenTokenizer.truncate(None, text, TERMINALS), text


def test_the_cut_is_that_of_decoding_with_codegens_own_tokenizer():
    if not TOKENIZER.is_dir():
        pytest.skip(f"no CodeGen tokenizer at {TOKENIZER}; MTCHAT_DATA names the folder that has it")
    from transformers import CodeGenTokenizer

    tokenizer = CodeGenTokenizer.from_pretrained(TOKENIZER)
    for text in texts(CODE, 500, seed=18):
        decoded = tokenizer.decode(tokenizer(text)["input_ids"], truncate_before_pattern=TERMINALS)
        assert codegen.cut(text).code == decoded, text


def test_every_real_sample_of_codegen_16b_is_cut_as_transformers_truncates_it():
    """The patterns of CodeGen's README cut later, or at the blank lines before a comment."""
    from transformers import CodeGenTokenizer

    def theirs(sample: str, patterns: list[str]) -> str:
        return CodeGenTokenizer.truncate(None, sample, patterns)

    same = 0
    for sample in samples():
        code = codegen.cut(sample).code
        assert code == theirs(sample, TERMINALS)
        longer = theirs(sample, README)
        assert longer.startswith(code.rstrip("\n"))
        same += longer.rstrip() == code.rstrip()
    assert (same, len(samples())) == (15_989, 16_400)


def test_every_real_sample_of_codegen_16b_is_cut_as_the_restated_rule_cuts_it():
    for sample in samples():
        assert codegen.cut(sample).code == truncated(sample)


@pytest.mark.slow
@pytest.mark.parametrize("family", [codegen, instruct], ids=["codegen", "instruct"])
def test_every_real_sample_of_codegen_16b_gives_a_chunk(family: Family):
    for sample in samples():
        chunk = family.chunk(sample, "")
        assert chunk == chunk.strip("\n").rstrip()


@pytest.mark.slow
@pytest.mark.parametrize("name", plugins.names(FAMILIES))
@pytest.mark.parametrize("fragments", [CODE, CHAT], ids=["code", "chat"])
def test_a_reply_cut_as_it_arrives_gives_what_the_whole_gives(name: str, fragments: list[str]):
    family, draw = load(name), random.Random(19)
    for text in texts(fragments, 4_000, seed=20):
        assert_cut_as_it_arrives(family, text, draw)


@pytest.mark.parametrize("name", plugins.names(FAMILIES))
def test_a_reply_once_finished_stays_as_it_is_at_every_character(name: str):
    family = load(name)
    for text in texts(CHAT + CODE, 400, seed=21):
        cuts = [family.cut(text[:end]) for end in range(len(text) + 1)]
        finished = [cut for cut in cuts if cut.finished]
        assert all(cut == finished[0] for cut in finished), text
        assert finished == cuts[len(cuts) - len(finished) :], text
