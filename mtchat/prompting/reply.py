"""Takes the code out of a chat model's reply: fences, prose, prompts and repetitions of the program go."""

import ast
import keyword
import re
from itertools import pairwise

from mtchat.core.language import PYTHON, Language
from mtchat.core.names import tree
from mtchat.prompting.family import Cut

LITERAL = re.compile(
    r"""(?P<long>\"{3}|'{3})(?:\\.|(?!(?P=long)).)*+(?P=long)?   # to its end, or to the end of the text
    | (?P<short>\"|(?<!\w)'|(?<=\b[bfru])'|(?<=\b[bfr]{2})')     # an apostrophe opens no string
      (?:\\[^\n]|(?!(?P=short))[^\n])*+(?P=short)?              # to its end, or to the end of the line
    | \#[^\n]*""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
FENCE = re.compile(r"`{3,}|^[ \t>.]*~{3,}")
OWN_LINE = re.compile(r"^[ \t>]*(?:`{3,}|~{3,})")  # a fence where the strings of a language are not known
PYTHON_BLOCK = r"i?py"
PROMPT = re.compile(r"[ \t]*(?:(?:>>>|\.\.\.)(?: |$))+")
WORD = re.compile(r"\w+(?:['’]\w+)*|\S")
GRAMMAR = {*keyword.kwlist, *keyword.softkwlist, "type"}
PYTHON_2 = re.compile(r"^\s*(?:print|exec)\b")  # statements there, so for the run to complain of
FOREIGN = re.compile(r"[?$`]|!(?!=)|[^\x00-\x7f\w\s‘’“”]")  # signs that Python has only in strings
SHAPE = re.compile(
    r"""(?:(?:\d+[.)]|[-*+•>])\s+)?                       # an item of a list, which is
    (?: [^\W\d_a-z][\w\s,'’-]*[.:!?]                      # a sentence or its heading,
      | \*\*\w[^*]*[\w:.!?]\*\*.* | -{3,} | ={3,}         # bold words, a rule,
      | %%?[a-z]{2}.* )""",  # or a notebook's command
    re.VERBOSE,
)


def cut(text: str, language: Language = PYTHON) -> Cut:
    """The first block in the language of a reply whose own opening fence is already in the context.

    Until a fence comes, the text is code. The first fence ends it, unless no code stands before it: then
    the fence opens the block. Blocks of other languages are passed over, and strings may hold fences.
    """
    text = re.sub(r"\r\n?", "\n", text)
    fences, bares = (FENCE, masked(text)) if language.runs else (OWN_LINE, text)
    lines = list(zip(text.split("\n"), bares.split("\n"), strict=True))
    code: list[str] = []
    found = foreign = False
    for number, (line, bare) in enumerate(lines):
        fence = fences.search(bare)
        head = bare if fence is None else bare[: fence.start()]
        found = found or is_code(head, language)
        if fence is None:
            code.append(line)
        elif foreign:
            found, foreign, code = False, False, []
        elif found:
            return Cut("\n".join([*code, line[: fence.start()]]), finished=True)
        elif number == len(lines) - 1:
            return Cut("", finished=False)
        elif "`" not in bare[fence.end() :]:
            foreign, code = not opens(bare[fence.end() :], language), []
    return Cut("" if foreign else "\n".join(code), finished=False)


def opens(words: str, language: Language) -> bool:
    """Whether what follows a fence begins a block in a language; no word says nothing against it."""
    names = PYTHON_BLOCK if language.runs else rf"(?:{'|'.join(map(re.escape, language.names))})(?![\w+#])"
    return re.match(rf"[ \t{{.]*(?:{names}|$)", words, re.IGNORECASE) is not None


def chunk(text: str, before: str, language: Language = PYTHON) -> str:
    """The code of a whole reply: never Markdown, and less the program `before` where it is repeated.

    A reply without code is kept as comments.
    """
    lines = cut(text, language).code.split("\n")
    while lines and lines[-1].strip() in ("", "`", "``", "~", "~~"):  # a fence that was being written
        lines.pop()
    code = "\n".join(lines)
    if not code.strip():
        said = (line for line in text.splitlines() if FENCE.search(line) is None)
        code = "\n".join(comment(line, language.sign) for line in said)
    if not language.runs and not any(is_code(line, language) for line in code.split("\n")):
        code = "\n".join(comment(line, language.sign) for line in code.split("\n"))
    if language.runs and tree(code) is None:
        code = dedented(commented(unprompted(code)))
    return without(before, code.strip("\n").rstrip(), language)


def masked(text: str) -> str:
    """The text with its strings made of quotes and its comments of hashes, each line as long as it was."""
    return LITERAL.sub(lambda each: re.sub(".", "#" if each[0][0] == "#" else '"', each[0]), text)


def is_code(bare: str, language: Language = PYTHON) -> bool:
    """Whether a masked line holds code: it is neither blank nor a comment nor prose.

    In other languages than Python, a line is prose where it reads like a sentence or its heading.
    """
    if not language.runs:
        line = bare.strip()
        return bool(line) and not line.startswith(language.sign) and SHAPE.fullmatch(line) is None
    return bool(bare.strip(" \t#>")) and not is_prose(bare)


def is_prose(bare: str) -> bool:
    """Whether a masked line cannot be Python, but reads as prose or a shell's command.

    In every language two words side by side are prose where neither of them belongs to Python's grammar.
    """
    plain = [word[0].isalpha() and word not in GRAMMAR for word in WORD.findall(PYTHON_2.sub("", bare))]
    beside = any(one and two for one, two in pairwise(plain))
    return beside or bool(FOREIGN.search(bare) or SHAPE.fullmatch(bare.strip()))


def comment(line: str, sign: str = PYTHON.sign) -> str:
    text = line.strip()
    return f"{sign} {text}" if text and not text.startswith(sign) else text


def commented(code: str) -> str:
    """Code with its lines of prose made comments."""
    lines = zip(code.split("\n"), masked(code).split("\n"), strict=True)
    return "\n".join(comment(line) if is_prose(bare) else line for line, bare in lines)


def unprompted(code: str) -> str:
    """What was typed in an interpreter's session, without its prompts and what it answered."""
    if not code.lstrip().startswith(">>>"):
        return code
    return "\n".join(PROMPT.sub("", line, count=1) for line in code.split("\n") if PROMPT.match(line))


def dedented(code: str) -> str:
    """Code without the indentation that all its lines share, comments aside."""
    lines = code.split("\n")
    margins = [len(line) - len(line.lstrip()) for line in lines if line.strip() and line.lstrip()[0] != "#"]
    margin = min(margins, default=0)
    return "\n".join(line[min(margin, len(line) - len(line.lstrip())) :] for line in lines)


def without(before: str, code: str, language: Language = PYTHON) -> str:
    """The code less a repetition of the whole program before it, statement by statement.

    Only a whole repetition goes: leaving out a part could change what the rest means. In other languages than
    Python it goes where it is repeated as it stands.
    """
    if not language.runs:
        known = before.strip()
        repeated = bool(known) and code.startswith(f"{known}\n")
        return code[len(known) :].strip("\n") if repeated else code
    old, said = tree(before), tree(code)
    if old is None or said is None or not old.body or len(said.body) <= len(old.body):
        return code
    if not all(same(one, two) for one, two in zip(old.body, said.body, strict=False)):
        return code
    first = said.body[len(old.body)]
    start = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", []))])
    return "\n".join(code.split("\n")[comment_above(code, start) - 1 :]).strip("\n")


def same(old: ast.stmt, new: ast.stmt) -> bool:
    """Whether two statements differ in spacing and comments only; no, where they are too deep to tell."""
    try:
        return ast.dump(old) == ast.dump(new)
    except RecursionError:
        return False


def comment_above(code: str, line: int) -> int:
    """Where the comment right above a line begins; the line itself when there is none."""
    lines = code.split("\n")
    while line > 1 and lines[line - 2].startswith("#"):
        line -= 1
    return line
