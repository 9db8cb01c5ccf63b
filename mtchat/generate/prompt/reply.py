"""Extracts the code from a chat model's reply, without fences, prose, prompts and repetitions."""

import ast
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mtchat.generate.prompt import lexer, odd_characters
from mtchat.generate.prompt.family import Cut
from mtchat.generate.prompt.lexer import START, LexerState
from mtchat.session.language import PYTHON, Language
from mtchat.session.names import dump, parse_module, parts_of

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
LABELS, LONGEST_LABEL = 3, 100
NAME = re.compile(r"[\w./\\+#-]+:?|\w+ \d+[.:]?|\(\w+\)")  # of a file, a language or a step
THINKS = r"(?i:(?:[a-z]+:|ant)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad))"
CHANNEL = r"(?:<\|start\|>\w+)?<\|channel\|?>(?:analysis|commentary|thought)\b"
THOUGHTS = 8
THOUGHT = re.compile(  # a line that begins with one: in angles, in brackets (Mistral), as a mark or a channel
    rf"^[ \t]*(?:<{THINKS}(?:\s[^<>\n]*)?>|\[(?=[A-Z]){THINKS}\](?![ \t]*=)|<\|START_{THINKS}\|>|{CHANNEL})",
    re.MULTILINE,
)
THOUGHT_ENDS = rf"</{THINKS}>|\[/{THINKS}\]|<\|END_{THINKS}\|>|<channel\|>"
THOUGHT_END = re.compile(rf"(?:{THOUGHT_ENDS})[ \t]*\n?")
CHANNEL_END = re.compile(r"(?:<\|end\|>|<channel\|>)[ \t]*\n?")
ANSWERS = r"(?:answer|output|response|solution|code)"
BLOCKS = r"(?:PYTHON|CODE|ANSWER)"  # in brackets, as Code Llama's
MARK = (  # that a chat template puts around turns
    r"<\|(?:im_start|start_header_id|start_of_role|start|channel)\|>\w*|<\|[\w-]{2,40}\|>|<｜[^｜\n]{2,40}｜>"
    rf"|\[/?INST\]|\[/{BLOCKS}\]|</?s>|<</?SYS>>|<(?:start|end)_of_turn>"
)
TAGS = (
    rf"(?P<thought>{THOUGHT_ENDS})|(?P<mark>{MARK}|</ANY>|^[ \t]*<{THINKS}>)"
    rf"|(?P<opens>^[ \t]*(?:<ANY(?:\s+[\w-]+=[^<>]*)?>|\[{BLOCKS}\](?![\w.\[(]|[ \t]*=)))"
)
TAG = re.compile(TAGS.replace("ANY", r"[A-Za-z][\w.-]*"))
TAG_ELSEWHERE = re.compile(TAGS.replace("ANY", ANSWERS))
PROMPT = re.compile(r"[ \t]*(?:(?:>>>|\.\.\.)(?:[ \t]|$))+(?:[ \t]*>>>(?:[ \t]|$))*")
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

    Text before the first fence is code. That fence ends it, unless there is no code before it or only a name,
    such as a file's; then the fence opens the block. Blocks of other languages are skipped, and strings may
    contain fences. Thoughts of the model, its tags and the marks of its turns are not part of the code.
    """
    return scan_reply(without_thoughts(re.sub(r"\r\n?", "\n", text), language), language).cut


@dataclass
class ReplyScan:
    """The state of reading a reply: `label` is code before a fence that may only name what follows."""

    code: list[str] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    state: LexerState = START
    found: bool = False
    foreign: bool = False
    finished: bool = False

    @property
    def cut(self) -> Cut:
        return Cut("" if self.foreign else "\n".join(self.code or self.label), self.finished)

    def begin(self, foreign: bool = False) -> None:
        """Discard what was read so far: it is not the code."""
        self.code, self.label, self.found, self.foreign, self.state = [], [], False, foreign, START

    def end(self, last: str = "") -> "ReplyScan":
        self.code, self.finished = self.label or [*self.code, last], True
        return self


def scan_reply(text: str, language: Language, strings: bool = True) -> ReplyScan:
    """A reply read line by line, up to where its code ends; with or without other languages' `strings`."""
    fences, bares = (FENCE, masked(text)) if language.runs else (OWN_LINE, text)
    tags = TAG if language.runs else TAG_ELSEWHERE
    lines = list(zip(text.split("\n"), bares.split("\n"), strict=True))
    now = ReplyScan()
    for number, (line, bare) in enumerate(lines):
        last = number == len(lines) - 1
        if not now.foreign:
            if strings and not language.runs and in_code(bare, now, language):
                bare, now.state = lexer.masked(bare, language, now.state)
            bare, end = past_marks(bare, now, fences, tags, language)
            line = line[len(line) - len(bare) :]
            if end < len(bare):
                return now.end(line[:end])
        fence = fences.search(bare)
        head = bare if fence is None else bare[: fence.start()]
        words = "" if fence is None else bare[fence.end() :].strip()
        if now.foreign:
            if fence is not None:
                now.begin()
        elif now.label:
            if last or not (head + words).strip():
                continue
            if words and not head.strip():
                now.begin(foreign=not opens(words, language))
            elif fence is None and acting(head, language):
                now.begin()
                now.found, now.code = True, [line]
            else:
                return now.end()
        elif fence is None:
            if not (now.code or last) and names(head.strip(), language):
                continue  # the word that the fence has already
            now.found = now.found or is_code(head, language)
            now.code.append(line)
        elif now.found or is_code(head, language):
            code = [*now.code, line[: fence.start()]]
            if not labels(code, language):
                return now.end(line[: fence.start()])
            now.begin(foreign=bool(words) and not opens(words, language) and not last)
            if last or not words:
                now.label = code
        elif last:
            now.begin()
        elif "`" not in words:
            now.begin(foreign=not opens(words, language))
    return now


def names(word: str, language: Language) -> bool:
    """Whether a word is the language's name; for Python also with a version."""
    versions = language.runs and re.fullmatch(r"i?python[\d.]+", word, re.IGNORECASE) is not None
    return versions or word.lower() in language.names


def in_code(line: str, now: ReplyScan, language: Language) -> bool:
    """Whether to look for strings and comments on a line; in prose an apostrophe opens none."""
    if now.state.open:
        return True
    begins = now.found or is_code(line, language) or line.lstrip().startswith(language.sign)
    return begins and OWN_LINE.match(line) is None


def past_marks(
    bare: str, now: ReplyScan, fences: re.Pattern[str], tags: re.Pattern[str], language: Language
) -> tuple[str, int]:
    """The part of a masked line after leading marks, and where a mark ends the code.

    Leading marks are those of the turn before, the tag that opens an answer, a thought begun in the prompt.
    """
    while True:
        fence, mark = fences.search(bare), tags.search(bare)
        if mark is None or (fence is not None and fence.start() < mark.start()):
            return bare, len(bare)
        if mark["thought"]:
            now.begin()
        elif now.found or now.label or is_code(bare[: mark.start()], language):
            return bare, len(bare) if mark["opens"] else mark.start()
        bare = bare[mark.end() :]


def acting(line: str, language: Language) -> bool:
    """Whether a line below a name and a fence is code, and not output shown under that name."""
    if not is_code(line, language):
        return False
    return not language.runs or parse_module(line.strip()) is None or not odd_characters.does_nothing(line)


def labels(code: Sequence[str], language: Language) -> bool:
    """Whether lines of code only name what a fence below them opens: files, steps, languages."""
    said = [line for line in code if line.strip()]
    if len(said) > LABELS or any(len(line) > LONGEST_LABEL for line in said):
        return False
    if language.runs and parse_module("\n".join(code)) is not None:
        return odd_characters.does_nothing("\n".join(code))
    if language.runs:
        return all(map(odd_characters.does_nothing, said))
    return all(NAME.fullmatch(line.strip()) for line in said)


def without_thoughts(text: str, language: Language) -> str:
    """A reply without the thoughts before the code, in tags; a thought may never end."""
    for _ in range(THOUGHTS):
        opened = THOUGHT.search(text)
        if opened is None:
            break
        before = text[: opened.start()]
        if any(is_code(line, language) for line in masked(before).split("\n")):
            break
        ends = CHANNEL_END if "channel" in opened[0] else THOUGHT_END
        ended = ends.search(text, opened.end())
        text = before + (text[ended.end() :] if ended else "")
    return text


def opens(words: str, language: Language) -> bool:
    """Whether the text after a fence begins a block in a language; no word counts as yes."""
    names = PYTHON_BLOCK if language.runs else rf"(?:{'|'.join(map(re.escape, language.names))})(?![\w+#])"
    return re.match(rf"[ \t{{.]*(?:{names}|$)", words, re.IGNORECASE) is not None


def chunk(text: str, before: str, language: Language = PYTHON) -> str:
    """The code of a whole reply, without Markdown and without a repetition of the program `before`.

    A reply without code is kept as comments.
    """
    text = without_thoughts(re.sub(r"\r\n?", "\n", text), language)
    read = scan_reply(text, language)
    if read.state.open and not read.finished:  # a string without an end, or what only looked like one
        read = scan_reply(text, language, strings=False)
    lines = read.cut.code.split("\n")
    while lines and lines[-1].strip() in ("", "`", "``", "~", "~~"):  # a fence that was being written
        lines.pop()
    code = "\n".join(lines)
    if not code.strip():
        said = (line for line in text.split("\n") if FENCE.search(line) is None)
        code = "\n".join(comment(line, language.sign) for line in said)
    if not language.runs and not any(is_code(line, language) for line in code.split("\n")):
        code = "\n".join(comment(line, language.sign) for line in code.split("\n"))
    if language.runs and parse_module(code) is None:
        code = with_plain_characters(code)
    if language.runs and parse_module(code) is None:
        code = with_plain_characters(dedented(with_prose_commented(without_prompts(code))))
    return without_program(before, code.strip("\n").rstrip(), language)


def masked(text: str) -> str:
    """The text with strings masked by quotes and comments by hashes; lines keep their length."""
    return LITERAL.sub(lambda each: re.sub(".", "#" if each[0][0] == "#" else '"', each[0]), text)


def is_code(bare: str, language: Language = PYTHON) -> bool:
    """Whether a masked line is code: neither blank nor a comment nor prose.

    In languages other than Python, a line is prose if it reads like a sentence or a heading.
    """
    if not language.runs:
        line = bare.strip()
        return bool(line) and not line.startswith(language.sign) and SHAPE.fullmatch(line) is None
    return bool(bare.strip(" \t\f\v#>")) and not is_prose(bare)


def is_prose(bare: str) -> bool:
    """Whether a masked line is prose or a shell command and cannot be Python.

    Two adjacent words are prose if neither is a keyword of Python.
    """
    plain = [word[0].isalpha() and word not in GRAMMAR for word in WORD.findall(PYTHON_2.sub("", bare))]
    beside = any(one and two for one, two in pairwise(plain))
    if beside or SHAPE.fullmatch(bare.strip()):
        return True
    return FOREIGN.search(bare) is not None and not odd_characters.is_statement(bare)


def comment(line: str, sign: str = PYTHON.sign) -> str:
    text = line.strip()
    return f"{sign} {text}" if text and not text.startswith(sign) else text


def with_prose_commented(code: str) -> str:
    """Code with lines of prose turned into comments."""
    lines = zip(code.split("\n"), masked(code).split("\n"), strict=True)
    return "\n".join(comment(line) if is_prose(bare) else line for line, bare in lines)


def with_plain_characters(code: str) -> str:
    """Code with odd characters replaced; unchanged if it does not parse then."""
    lines = zip(code.split("\n"), masked(code).split("\n"), strict=True)
    text = "\n".join(odd_characters.replace_odd_characters(line, bare) for line, bare in lines)
    return code if parse_module(text) is None else text


def without_prompts(code: str) -> str:
    """The input of an interpreter session, without prompts and answers."""
    if not code.lstrip().startswith(">>>"):
        return code
    return "\n".join(PROMPT.sub("", line, count=1) for line in code.split("\n") if PROMPT.match(line))


def dedented(code: str) -> str:
    """Code without the indentation that all lines but comments share."""
    lines = code.split("\n")
    margins = [len(line) - len(line.lstrip()) for line in lines if line.strip() and line.lstrip()[0] != "#"]
    margin = min(margins, default=0)
    return "\n".join(line[min(margin, len(line) - len(line.lstrip())) :] for line in lines)


def without_program(before: str, code: str, language: Language = PYTHON) -> str:
    """The code without a repetition of the whole program before it, compared by statement.

    Only a complete repetition is removed: removing a part could change the rest. In other languages the
    repetition must be verbatim.
    """
    if not language.runs:
        known = before.strip()
        repeated = bool(known) and code.startswith(f"{known}\n")
        return code[len(known) :].strip("\n") if repeated else code
    said = parse_module(code)
    if said is None or not said.body or not may_begin(before, said.body[0]):
        return code
    old = parse_module(before)
    if old is None or not old.body or len(said.body) <= len(old.body):
        return code
    if not all(same(one, two) for one, two in zip(old.body, said.body, strict=False)):
        return code
    first = said.body[len(old.body)]
    start = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", []))])
    return "\n".join(code.split("\n")[comment_above(code, start) - 1 :]).strip("\n")


def may_begin(program: str, statement: ast.stmt) -> bool:
    """Whether a program may begin with a statement, as far as its first part shows."""
    first = parse_module(parts_of(program)[0])
    return first is None or not first.body or same(first.body[0], statement)


def same(old: ast.stmt, new: ast.stmt) -> bool:
    """Whether two statements differ only in spacing and comments; no if they are nested too deeply."""
    try:
        return dump(old) == dump(new)
    except RecursionError:
        return False


def comment_above(code: str, line: int) -> int:
    """The first line of the comment right above a line; the line itself if there is none."""
    lines = code.split("\n")
    while line > 1 and lines[line - 2].startswith("#"):
        line -= 1
    return line
