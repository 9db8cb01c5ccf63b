"""What becomes of a chat model's reply: the chunk is code, never Markdown, and never the program again."""

import ast
import io
import random
import sysconfig
import textwrap
import time
import tokenize
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtchat.generate.prompt import reply
from mtchat.session.language import parse_language

REPLIES = {
    "code that closes its fence": ("x = 1\n```", "x = 1"),
    "code that never closes it": ("x = 1\nprint(x)", "x = 1\nprint(x)"),
    "code that talks on": ("x = 1\n```\n\nThis sets x to 1.\n", "x = 1"),
    "code that shows its output": ("print(1)\n```\n\nOutput:\n```\n1\n```\n", "print(1)"),
    "two blocks": ("x = 1\n```\nThe whole program:\n```python\nx = 1\ny = 2\n```", "x = 1"),
    "a fence opened again": ("```python\nx = 1\n```\n", "x = 1"),
    "a thought in brackets": ("[THINK]I need x.[/THINK]x = 1\n```", "x = 1"),
    "lines of a thought in brackets, with code": ("[THINK]\ny = 3\n[/THINK]\n```python\nx = 1\n```", "x = 1"),
    "a thought in brackets that began before": ("y = 3?\n[/THINK]\nx = 1\n```", "x = 1"),
    "a thought in tags of a maker": ("<seed:think>\ny = 2\n</seed:think>\n```python\nx = 1\n```", "x = 1"),
    "a thought in capitals": ("<Think>\ny = 2\n</Think>\nx = 1\n```", "x = 1"),
    "a thought in a tag that says more": ('<think depth="1">\ny = 2\n</think>\nx = 1\n```', "x = 1"),
    "a thought in marks": ("<|START_THINKING|>y = 2<|END_THINKING|><|START_RESPONSE|>x = 1\n```", "x = 1"),
    "a channel of thoughts": (
        "<|channel|>analysis<|message|>y = 2<|end|><|start|>assistant<|channel|>final<|message|>"
        "x = 1<|return|>",
        "x = 1",
    ),
    "a channel of thoughts, its start too": (
        "<|start|>assistant<|channel|>analysis<|message|>y = 2\n<|end|>"
        "<|start|>assistant<|channel|>final<|message|>"
        "```python\nx = 1\n```",
        "x = 1",
    ),
    "a channel of thoughts that closes itself": ("<|channel>thought\ny = 2\n<channel|>x = 1\n```", "x = 1"),
    "a thought's marks in strings": (
        "a = '[THINK]'\nb = '''\n[THINK]\n<|channel|>analysis\n[/THINK]\n'''\n```",
        "a = '[THINK]'\nb = '''\n[THINK]\n<|channel|>analysis\n[/THINK]\n'''",
    ),
    "a list with one name that is given a value": (
        "[ANSWER] = [42]\n[THINK] = [1]\n```",
        "[ANSWER] = [42]\n[THINK] = [1]",
    ),
    "a list with a name of thoughts": ("[THINK] = [1]\nprint(THINK)\n```", "[THINK] = [1]\nprint(THINK)"),
    "code in brackets": ("[PYTHON]\nx = [1]\n[/PYTHON]\n[TESTS]\nassert x\n[/TESTS]", "x = [1]"),
    "code in a page's tags": ('<pre><code class="language-python">\nx = 1\n</code></pre>', "x = 1"),
    "the name of a version": ("python3\nx = 1\n```", "x = 1"),
    "the next turn of Granite": ("x = 1\n<|start_of_role|>user<|end_of_role|>more", "x = 1"),
    "a blank line and a fence opened again": ("\n```python\nx = 1\n```\n", "x = 1"),
    "a fence with a file name": ("```python:main.py\nx = 1\n```", "x = 1"),
    "a fence with attributes": ('```{.python title="main"}\nx = 1\n```', "x = 1"),
    "a fence in capitals": ("```Python\nx = 1\n```", "x = 1"),
    "a fence without a language": ("```\nx = 1\n```", "x = 1"),
    "tilde fences": ("~~~python\nx = 1\n~~~\nDone.", "x = 1"),
    "long fences": ("````python\nx = 1\n````", "x = 1"),
    "a fence at the end of a line": ("x = 1\nprint(x)```\nIt prints x.", "x = 1\nprint(x)"),
    "prose, then a fence": ("Sure! Here is the code:\n\n```python\nx = 1\n```\nIt sets x.", "x = 1"),
    "one word, then a fence": ("Certainly!\n```python\nx = 1\n```", "x = 1"),
    "a sentence of keywords, then a fence": ("This is it:\n```python\nx = 1\n```", "x = 1"),
    "a heading, then a fence": ("### Step 1: Import\n\n```python\nimport os\n```", "import os"),
    "bold words, then a fence": ("**Solution**\n```python\nx = 1\n```", "x = 1"),
    "a list, then a fence": ("1. Set `x`\n- then print it\n---\n```python\nx = 1\n```", "x = 1"),
    "code named in prose, then a fence": ("You can use ```x``` like this:\n```python\nx = 1\n```", "x = 1"),
    "a closing fence at once, then prose and code": ("```\nYou need x:\n\n```python\nx = 1\n```", "x = 1"),
    "a shell block, then a Python block": (
        "First install it:\n```bash\npip install numpy\n```\nThen:\n```python\nimport numpy\n```",
        "import numpy",
    ),
    "a shell block that closes itself by the next": ("```bash\nls\n```python\nx = 1\n```", "x = 1"),
    "a shell command in the Python fence": (
        "pip install numpy\n```\nThen:\n```python\nimport numpy\n```",
        "import numpy",
    ),
    "a fence in a docstring": (
        'def f():\n    """Show.\n\n    ```\n    f()\n    ```\n    """\n    return 1\n```\nDone.',
        'def f():\n    """Show.\n\n    ```\n    f()\n    ```\n    """\n    return 1',
    ),
    "a fence in a text that starts at the margin": (
        "page = '''\n```python\nx = 1\n```\n'''\nprint(page)\n```",
        "page = '''\n```python\nx = 1\n```\n'''\nprint(page)",
    ),
    "a fence in a string": (
        'a = "```"\nb = f(\'```\', "\\"```")\n```',
        'a = "```"\nb = f(\'```\', "\\"```")',
    ),
    "a fence in a comment": ("# ```python\nx = 1  # ```\n```", "# ```python\nx = 1  # ```"),
    "a fence after an apostrophe": ("Here's what you need:\n```python\nx = 'a'\n```", "x = 'a'"),
    "an indented block in a list": ("1. Set x:\n   ```python\n   x = 1\n   y = 2\n   ```", "x = 1\ny = 2"),
    "an indented block of Markdown": (
        "This is the code:\n\n    x = 1\n\n    y = 2",
        "# This is the code:\n\nx = 1\n\ny = 2",
    ),
    "a quoted block": ("> Like this:\n> ```python\nx = 1\n```", "x = 1"),
    "a first line that is indented": ("    x = 1\n    y = 2\n```", "x = 1\ny = 2"),
    "only an explanation": (
        "The mean is a sum divided by a count.\n\nIt's small.",
        "# The mean is a sum divided by a count.\n\n# It's small.",
    ),
    "only an explanation, closed": ("This computes the mean.\n```", "# This computes the mean."),
    "only an explanation, closed at once": ("```\nThe code is right.", "# The code is right."),
    "thanks for thanks": (  # as starter-small says it, like the next two
        "You're welcome! If you have any more questions, feel free to ask.",
        "# You're welcome! If you have any more questions, feel free to ask.",
    ),
    "an output instead of code": ("The mean of the list is: 3.0\n```", "# The mean of the list is: 3.0"),
    "only comments, closed": ("# The mean\n# is small.\n```\n", "# The mean\n# is small."),
    "only headings and lists": ("### Why\n1. **Speed**\n* `x`", "### Why\n# 1. **Speed**\n# * `x`"),
    "only a shell block": ("```bash\npip install numpy\n```", "# pip install numpy"),
    "an explanation in French": (
        "Voici le code :\n```python\nx = 1\n```\nÀ bientôt !",
        "x = 1",
    ),
    "only an explanation in French": (
        "L'appel échoue.\nÉvitez-le !\nC'est tout à fait normal",
        "# L'appel échoue.\n# Évitez-le !\n# C'est tout à fait normal",
    ),
    "an explanation in Chinese": ("以下是代码：\n```python\nx = 1\n```", "x = 1"),
    "only an explanation in Chinese": ("这段代码计算平均值。", "# 这段代码计算平均值。"),
    "code, then prose without a fence": ("x = 1\n\nThis sets x to 1.", "x = 1\n\n# This sets x to 1."),
    "prose, then code without a fence": ("First, import it:\nimport os", "# First, import it:\nimport os"),
    "prose between code": (
        "import os\nNow we list the files:\nprint(os.listdir())\n```",
        "import os\n# Now we list the files:\nprint(os.listdir())",
    ),
    "prose with inline code": ("`x` is set.\nx = 1", "# `x` is set.\nx = 1"),
    "prose beside a docstring that reads alike": (
        'Here is the class:\ndef f():\n    """Return the sum.\n\n    It is the sum of all.\n    """',
        '# Here is the class:\ndef f():\n    """Return the sum.\n\n    It is the sum of all.\n    """',
    ),
    "a notebook's commands": (
        "!pip install numpy\n%matplotlib inline\nimport numpy",
        "# !pip install numpy\n# %matplotlib inline\nimport numpy",
    ),
    "a session of the interpreter": (
        ">>> for i in range(2):\n...     print(i)\n...\n0\n1\n>>> i + 1\n2\n```",
        "for i in range(2):\n    print(i)\n\ni + 1",
    ),
    "prompts in a docstring": (
        'def f():\n    """\n    >>> f()\n    1\n    """\n    return 1\n```',
        'def f():\n    """\n    >>> f()\n    1\n    """\n    return 1',
    ),
    "lines that end as on Windows": ("x = 1\r\nprint(x)\r\n```\r\nDone.\r\n", "x = 1\nprint(x)"),
    "nothing": ("", ""),
    "blank lines": ("\n  \n\n", ""),
    "a closing fence": ("```", ""),
    "a closing fence and its newline": ("```\n", ""),
    "an empty block": ("```python\n```", ""),
    "a fence that was being written": ("x = 1\n``", "x = 1"),
    "a fence that was being written, and an end": ("x = 1\n  `\n\n", "x = 1"),
    "code cut at the token limit": ("x = 1\nprint('a long tex", "x = 1\nprint('a long tex"),
    "prose, then code cut at the token limit": (
        "Here is the code:\nprint('not at an end",
        "# Here is the code:\nprint('not at an end",
    ),
    "a string alone": ('"This is a sentence."\n```', '"This is a sentence."'),
    "a name alone": ("Result\n```", "Result"),
    "names that read as prose": (
        "not_a is not b\nprint(Sure, here)\n```",
        "not_a is not b\nprint(Sure, here)",
    ),
    "a long condition": ("if a and b or not c in d:\n    pass", "if a and b or not c in d:\n    pass"),
    "Python 2": ("print x", "print x"),
    "words of the match statement": (
        "match command:\n    case Point(x=0) if type is match:\n        pass",
        "match command:\n    case Point(x=0) if type is match:\n        pass",
    ),
    "a line of Ellipsis": ("def f():\n    ...\n...", "def f():\n    ...\n..."),
    "an escape that Python warns of": (
        'import re\nre.match("\\d", x) is 1',
        'import re\nre.match("\\d", x) is 1',
    ),
    "a thought, then a block": (
        "<think>\nMaybe:\n```python\ny = 2\n```\nNo, it isn't.\n</think>\n```python\nx = 1\n```",
        "x = 1",
    ),
    "a thought that began before the reply": (
        "Hmm, it's y.\n</think>\n\n```python\nx = 1\n```",
        "x = 1",
    ),
    "an empty thought, then code": ("<think>\n\n</think>\nx = 1\n```", "x = 1"),
    "a thought on the line of the code": ("<thinking>why</thinking>x = 1\n```", "x = 1"),
    "a thought after a closing fence": ("```\n<think>\ny = 2\n</think>\n```python\nx = 1\n```", "x = 1"),
    "a thought that never ends": ("<think>\nPerhaps:\n```python\ny = 2\n```\nor else", ""),
    "a thought's tag in a string": ("x = '''\n</think>\n'''\ny = 1\n```", "x = '''\n</think>\n'''\ny = 1"),
    "an answer in tags": ("<answer>\nx = 1\n</answer>\nDone.", "x = 1"),
    "a block in tags": ("<answer>\n```python\nx = 1\n```\n</answer>", "x = 1"),
    "a name alone, then an explanation": ("Result\n```\n\nThis shows it.\n", "Result"),
    "a name, then what it shows": ("x\n```\n[1, 2]\n```\n", "x"),
    "an answer on one line": ("<think>\nx\n</think>\n\n<answer>x = 1</answer>", "x = 1"),
    "a channel": ("<|channel|>final<|message|>x = 1<|return|>", "x = 1"),
    "a name, then a bare fence and code": ("main.py\n```\nx = 1\n```\n", "x = 1"),
    "the language again": ("python\nx = 1\n```", "x = 1"),
    "a minus sign": ("x = 3 \u2212 1\nprint(x)\n```", "x = 3 - 1\nprint(x)"),
    "a sign without width": ("\u200bx = 1\n```", "x = 1"),
    "a no-break space": ("x\u00a0= 1\n```", "x = 1"),
    "brackets of full width": ("print\uff083\uff0c4\uff09\n```", "print(3,4)"),
    "odd signs in a string": ("x = '\u2212\u200b' \u2212 1", "x = '\u2212\u200b' - 1"),
    "a sign that could mean anything": ("x = [1, \u2026]\ny = 1\n```", "x = [1, \u2026]\ny = 1"),
    "an arrow between names": ("a = x \u2192 y\n```", "a = x \u2192 y"),
    "the end of a turn": ("x = 1[/INST]\nfoo", "x = 1"),
    "the end of a turn, then another": ("x = 1\n<|eot_id|>user\nhi", "x = 1"),
    "the beginning of a turn": ("<|im_start|>assistant\nx = 1\n<|im_end|>", "x = 1"),
    "the end of a text": ("x = 1</s>", "x = 1"),
    "an end of Gemma's": ("x = 1<end_of_turn>\n", "x = 1"),
    "an end of DeepSeek's": ("x = 1<\uff5cend\u2581of\u2581sentence\uff5c>", "x = 1"),
    "an end mark in a string": ("x = '<|im_end|>'\ny = 1\n```", "x = '<|im_end|>'\ny = 1"),
    "prompts with tabs": (">>>\tx = 1\n>>>\ty = 2\n1", "x = 1\ny = 2"),
    **{
        f"{name!r} before a fence": (f"{name}\n```python\nx = 1\n```\n", "x = 1")
        for name in (
            *("main.py", "python", "app/main.py", "main.py:", "Solution", "code:", "Step 1", "(1)", "py"),
            *("javascript", "src/my-app.py", "1.", "v1.2", "[main.py]", "Step 1\nmain.py"),
        )
    },
}

REPETITIONS = {
    "the program, then more": ("x = 1\nprint(x)", "x = 1\nprint(x)\ny = 2\n```", "y = 2"),
    "with other spacing, quotes and comments": (
        "import os\n\n\ndef f(a,b):\n  return 'a'",
        'import os  # files\ndef f(a, b):\n    """not said before"""\n\n\n',
        'import os  # files\ndef f(a, b):\n    """not said before"""',
    ),
    "with other spacing and comments": (
        "import os\n\n\ndef f(a,b):\n  return 'a'",
        'import os  # files\ndef f(a, b):\n    # answer\n    return "a"\n\n# show it\nprint(f(1, 2))\n```',
        "# show it\nprint(f(1, 2))",
    ),
    "then a decorated function": (
        "import os",
        "import os\n\n@cache\ndef f():\n    pass",
        "@cache\ndef f():\n    pass",
    ),
    "in a block after prose": ("x = 1", "The whole program:\n```python\nx = 1\ny = 2\n```", "y = 2"),
    "with prose in between": ("x = 1", "x = 1\nNow set the other:\ny = 2", "# Now set the other:\ny = 2"),
    "nothing but the program": ("x = 1\ny = 2", "x = 1\ny = 2\n```", "x = 1\ny = 2"),
    "only a part of the program": ("x = 1\ny = 2", "x = 1\nz = 3", "x = 1\nz = 3"),
    "the program changed": ("x = 1\ny = 2", "x = 2\ny = 2\nz = 3", "x = 2\ny = 2\nz = 3"),
    "a program that is not Python": ("x = (", "x = (\ny = 2", "x = (\ny = 2"),
    "no program": ("", "x = 1", "x = 1"),
    "more on the same line": ("x = 1", "x = 1; y = 2", "x = 1; y = 2"),
    "statements nested too deeply to compare": (
        "x = " + "-" * 1500 + "1",
        "x = " + "-" * 1500 + "1\ny = 2",
        "x = " + "-" * 1500 + "1\ny = 2",
    ),
}

STRINGS = ["'a'", '"it\'s"', 'f"{x} of the things"', "r'\\d'", "'''two\nlines of text'''", '"#"', "b'x'"]
LINES = [
    *("x = 1", "import numpy as np", "# a note of mine", "", "print(x)", "del x", "x", "pass", "...", "@f"),
    *("def f(a, b):\n    return a if a else b", "class A:\n    # here it is\n    b: int = 1"),
    *("for x in y:\n    print(x)\nelse:\n    pass", "try:\n    x\nfinally:\n    pass", "lambda x: x"),
    *(
        "x = (1\n     - y\n     * z)",
        "match x:\n    case 1:\n        pass",
        "x = 1 \\\n    + 2",
        "not x is not y",
    ),
    *("async def f():\n    await x", "from a import b as c", "x @ y % z != w", "été = 'À !'", "变量 = 1"),
    *(f"x = {string}" for string in STRINGS),
]
FRAGMENTS = [
    *(
        "```",
        "```python\n",
        "~~~\n",
        "`",
        "\n",
        "\r\n",
        " ",
        "    ",
        '"""',
        "'",
        '"',
        "#",
        "\\",
        "\x00",
        "\ud800",
    ),
    *(
        "Here is the code:\n",
        "It's",
        "以下：\n",
        "pip install x\n",
        ">>> ",
        "... ",
        "- ",
        "1. ",
        "**",
        "%%time\n",
    ),
    *LINES,
]


def inside_strings(code: str) -> set[int]:
    """The lines that lie wholly in strings, as Python's own tokenizer finds them."""
    found = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.STRING:
            found.update(range(token.start[0] + 1, token.end[0] + 1))
    return found


@pytest.mark.parametrize(("text", "code"), REPLIES.values(), ids=REPLIES.keys())
def test_the_chunk_is_the_code_of_the_reply(text: str, code: str):
    assert reply.chunk(text, "") == code


ELSEWHERE = [
    ("bash", "cat <<'EOF' > README.md\n# T\n```bash\nit's\n```\nEOF\necho 1"),
    ("bash", "cat <<-A <<B\n```\n\tA\n```\nB\necho $((1<<2)) <<<x  # it's"),
    ("bash", 'echo "\n```bash\nls\n```\n" # it\'s'),
    ("ruby", "text = <<~MD\n  # T\n```ruby\nputs 1\n```\nMD\nlist << item\nputs text"),
    ("ruby", "=begin\n```\n=end\nputs 1"),
    ("julia", '"""\n```julia\nf()\n```\n"""\nf(x) = x\''),
    ("julia", "#= a #= b =#\n```\n=#\nx = 1"),
    ("rust", "/* a /* b */\n```\n*/\nfn f<'a>(x: &'a str) {}"),
    ("rust", 'let s = r#"\n```\n"\n"#;'),
    ("java", 'String s = """\n```java\n```\n""" + \'"\';'),
    ("kotlin", 'val s = """\n```\n""".trim()'),
    ("csharp", 'var s = @"\n```\n";'),
    ("swift", 'let s = """\n```\n"""'),
    ("go", "s := `\nhere:\n` + x"),
    ("javascript", "/*\n```js\nf()\n```\n*/\nfunction f() {}"),
    ("typescript", "const s = `\n\\`\\`\\`\n`;"),
    ("c", "/*\n```\n*/\nint x = '\"';"),
    ("cpp", 'auto s = R"md(\n```\n)md";'),
    ("sql", "-- it's\nselect 'a\n```\n''b';"),
    ("lua", "--[[\n```\n]]\nlocal s = [==[\n```\n]==]"),
    ("haskell", "{- a {- b -}\n```\n-}\nx' = 1"),
    ("perl", "my $s = <<~'MD';\n```\n  MD\nprint $s;\n=pod\n```\n=cut\nprint 1;"),
    ("r", "s <- r\"(\n```\n)\"\nx <- 'a\n```\n'"),
    ("scala", 'val s = """\n```\n"""'),
]


@pytest.mark.parametrize(("name", "code"), ELSEWHERE)
def test_fences_in_strings_and_comments_of_other_languages_are_their_own(name: str, code: str):
    language = parse_language(name)
    for text in (f"{code}\n```\nDone.", f"Here it is:\n\n```{name}\n{code}\n```\nIt's done."):
        cuts = [reply.cut(text[:end], language) for end in range(len(text) + 1)]
        assert cuts[-1].finished
        assert all(cut == cuts[-1] for cut in cuts if cut.finished)
        assert reply.chunk(text, "", language) == code


def test_what_only_looks_like_a_string_holds_nothing_up():
    assert reply.chunk("x=$((1<<y))\n```\nDone.", "", parse_language("bash")) == "x=$((1<<y))"


@pytest.mark.parametrize(("before", "text", "code"), REPETITIONS.values(), ids=REPETITIONS.keys())
def test_a_program_that_is_said_again_is_left_out(before: str, text: str, code: str):
    assert reply.chunk(text, before) == code


@pytest.mark.parametrize("text", [text for text, _ in REPLIES.values()], ids=REPLIES.keys())
def test_what_is_shown_of_a_reply_that_has_ended_does_not_change_any_more(text: str):
    cuts = [reply.cut(text[:end]) for end in range(len(text) + 1)]
    finished = [cut for cut in cuts if cut.finished]
    assert all(cut == cuts[-1] for cut in finished)


@pytest.mark.slow
@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=8))
def test_python_without_fences_comes_through_as_it_is(lines: list[str]):
    code = "\n".join(lines)
    assert reply.chunk(code, "") == code.strip("\n").rstrip()
    assert reply.chunk(f"{code}\n```\nThat is all there is to it.", "") in (
        code.strip("\n").rstrip(),
        "# That is all there is to it.",  # where there was no code but comments
    )


@pytest.mark.parametrize(
    "name", ["argparse", "ast", "difflib", "doctest", "pydoc", "textwrap", "tokenize", "turtle"]
)
def test_a_module_of_the_standard_library_comes_through_as_it_is(name: str):
    code = Path(sysconfig.get_paths()["stdlib"], f"{name}.py").read_text(encoding="utf-8")
    assert reply.chunk(code, "") == code.strip("\n").rstrip()


@pytest.mark.slow
def test_no_statement_of_the_standard_library_is_taken_for_prose():
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-d]*.py")):
        code = path.read_text(encoding="utf-8")
        doctests = {number for number, line in enumerate(code.split("\n")) if line.startswith(">>>")}
        for number, (line, bare) in enumerate(
            zip(code.split("\n"), reply.masked(code).split("\n"), strict=True)
        ):
            assert number in doctests or not reply.is_prose(bare), f"{path.name}: {line}"


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
@example(">>> x = 1\n>>> ```\n")
@example(">>> ~~~\n")
@example(">>>  >>> ")
@example("x = 1\n`\n`\n")
@example("Voici\n    x = 1\n    y = 2")
def test_a_chunk_is_its_own_chunk_and_holds_no_fence(text: str):
    code = reply.chunk(text, "")
    if reply.parse_module(code) is not None or ('"""' not in code and "'''" not in code):
        assert reply.chunk(code, "") == code  # else a comment may have swallowed where a string opens
    fences = {
        at for at, line in enumerate(code.split("\n"), 1) if line.lstrip(" \t").startswith(("```", "~~~"))
    }
    if '"""' not in code and "'''" not in code:
        assert not fences or code.find("\\\n") >= 0
    elif reply.parse_module(code) is not None:
        assert fences <= inside_strings(code)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.text(), st.text())
def test_no_reply_at_all_makes_it_fail(text: str, before: str):
    assert isinstance(reply.chunk(text, before), str)


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        *(
            "A a ",
            "a",
            "`",
            "```\n",
            '"""\n```\n',
            "'\"",
            '\\"',
            " '\\",
            " ",
            "Here it is\n```\n",
            "(",
            "-",
            "not ",
        ),
        *(
            "**a",
            ">>> ",
            "... \n",
            "#\n",
            "\r",
            "'''\"\"\"",
            "`\n",
            "~~~ `\n",
            "a.",
            "a+",
            "1. ",
            "x = 1\n``\n",
            "é ",
        ),
        *("lambda:", "[", "a\n b\n", "x = 1\n```bash\n", "\\\n", "\x00", "f'", "if x:\n ", "Done.", "%%a"),
    ],
)
def test_fifty_kilobytes_of_anything_take_less_than_a_second(unit: str):
    text = (unit * 50_000)[:50_000]
    started = time.process_time()
    for whole in (text, f"{text}\n```\n", f"x = '\n{text}"):
        reply.chunk(whole, "x = 1")
    assert time.process_time() - started < 3


def test_code_that_python_warns_of_is_read_without_a_word():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert reply.chunk('x = "\\d"\nx is 1\ny = 2', 'x = "\\d"\nx is 1') == "y = 2"
    assert said == []


@pytest.mark.slow
def test_a_repetition_of_a_random_program_is_left_out_however_it_is_spaced():
    draw = random.Random(22)
    for _ in range(300):
        before = "\n".join(draw.choices(LINES[:-1], k=5)) + "\nlast = 0"
        if reply.parse_module(before) is None:
            continue
        again = ast.unparse(ast.parse(before))
        said = textwrap.indent(f"{again}\n\n# more\nmore = 1", "    ")
        assert reply.chunk(f"{said}\n```", before) == "# more\nmore = 1"
