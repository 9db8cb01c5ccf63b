"""Asks a chat model to explain in words, and keeps of its reply what is fit to be shown.

The reply is opened for the model where its form matters: line by line, each after its code, so that no line
is left out and none is invented. What is certain is part of the question.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mtchat.generate.complete import CompleteStream
from mtchat.generate.prompt.reply import without_thoughts
from mtchat.session.language import PYTHON, Language
from mtchat.session.names import parse_module
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling

LONGEST_ANSWER = 160  # tokens
LONGEST_LINE = 64
MOST_ANNOUNCED = 8  # lines after one that ends with a colon
COLONS = (":", "：")
LEAST_WORDS = 3  # of an answer; "1." explains nothing


SYSTEM = (
    "You explain Python to people who have never programmed. You use short, plain sentences and say only "
    "what the code that you are given really does."
)
TUTOR = (
    "You are a patient programming tutor. You never write code. You tell me in one or two short, plain "
    "sentences what to do next, so that I can find the code myself."
)
EXAMPLE = (
    Message(
        "user",
        "The program:\n\n```python\nnames = ['Ada', 'Bob']\nlengths = {n: len(n) for n in names}\n"
        "print(max(lengths, key=lengths.get).upper())\n```\n\nIt was asked to: show the longest name\n\n"
        "Say of each line what it does, in one short sentence of plain words.",
    ),
    Message(
        "assistant",
        "`names = ['Ada', 'Bob']`\n- Sets `names` to a list of 2 items.\n"
        "`lengths = {n: len(n) for n in names}`\n- Makes a dictionary of how many letters each name "
        "has.\n`print(max(lengths, key=lengths.get).upper())`\n- Finds the name with the most letters and "
        "shows it in capital letters.\nIn short: The program shows the longest name in capital letters.",
    ),
)
SUBJECT = "The program"
LONGEST_PROGRAM = 6000  # characters; of a longer one only the end is shown
SENTENCE = re.compile(r"(?<=[.!?])\s+")
INLINE = re.compile(r"`+[^`\n]*`+")
MARKS = re.compile(r"\*\*|__|^#+\s*|^\s*(?:[-*•]|\d+[.)])\s+", re.MULTILINE)
LEAST_REPEATED = 12  # characters that a sentence must share with an earlier one
MARKER = re.compile(r"^(?:\d{1,2}[.)]?(?:\s+|$)|[-*•](?:\s+|$))")  # of a list item, also an incomplete one
BULLET = re.compile(r"^[-*•](?:\s+|$)")
SHOWS = re.compile(r"\b(?:show|print|display)s?\b", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
WINDOW = 6  # words that occur a third time when a model loops
CODE = re.compile(
    r"^\s*(?:>>>|def |class |import |from \w+ import|for .+:\s*$|while .+:\s*$|if .+:\s*$|return\b)"
)


def stream_answer(
    complete: CompleteStream,
    prompt: Prompt,
    sentences: int,
    max_tokens: int = LONGEST_ANSWER,
    least: int = LEAST_WORDS,
) -> Iterator[str]:
    """The words of an answer as they are generated, at temperature 0, at most `sentences` sentences.

    Yields nothing if the answer has fewer than `least` words; if that is 1, a number alone is an answer.
    """
    text, shown, finish = "", 0, ""
    stream = complete(prompt, Sampling(max_tokens=max_tokens))
    try:
        for piece in stream:
            text, finish = text + piece.text, piece.usage.finish
            good = trim_reply(without_thoughts(text, PYTHON), sentences, listed=least > 1)
            if has_enough_words(good.text, least):
                yield good.text[shown:]
                shown = max(shown, len(good.text))
            if good.finished:
                return
        good = trim_reply(without_thoughts(text, PYTHON), sentences, whole=True, listed=least > 1)
        if has_enough_words(good.text, least):
            yield good.text[shown:] + (" …" if finish == "length" and not good.finished else "")
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def has_enough_words(text: str, least: int = LEAST_WORDS) -> bool:
    if least == 1:
        return any(sign.isalnum() for sign in text)
    words = [word for word in text.split() if any(sign.isalpha() for sign in word)]
    return len(words) >= LEAST_WORDS


def read_answer(complete: CompleteStream, prompt: Prompt, max_tokens: int = LONGEST_ANSWER) -> str:
    """The whole answer as the model wrote it."""
    stream = complete(prompt, Sampling(max_tokens=max_tokens))
    try:
        return without_thoughts("".join(piece.text for piece in stream), PYTHON)
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


@dataclass(frozen=True)
class Explanation:
    """Some code with its explanation."""

    code: str
    words: str


def line_prompt(program: str, step: str, explained: Sequence[Explanation], code: str) -> Prompt:
    """Asks what some lines of a program do; `explained` explains the lines before them.

    Values of variables are left out on purpose: small models repeat them instead of explaining. The opening
    ends without a space because the first token of a word includes it; after a space, models begin with a
    number.
    """
    return Prompt(
        messages=explain_messages(program, step), opening=f"{join_explanations(explained)}`{code.strip()}`\n-"
    )


def summary_prompt(program: str, step: str, explained: Sequence[Explanation]) -> Prompt:
    """Asks for one sentence about the whole program, which continues from SUBJECT."""
    return Prompt(
        messages=explain_messages(program, step), opening=f"{join_explanations(explained)}In short: {SUBJECT}"
    )


def explain_messages(program: str, step: str) -> tuple[Message, ...]:
    wish = "Say of each line what it does, in one short sentence of plain words."
    question = f"The program:\n\n{fence_program(program)}\n\nIt was asked to: {step}\n\n{wish}"
    return (Message("system", SYSTEM), *EXAMPLE, Message("user", question))


def join_explanations(explained: Sequence[Explanation]) -> str:
    return "".join(f"`{each.code.strip()}`\n- {as_sentence(each.words)}\n" for each in explained)


def failure_prompt(program: str, facts: str) -> Prompt:
    """Asks why a program fails and what would fix it."""
    question = (
        f"The program:\n\n{fence_program(program)}\n\nIt fails. What is known for certain:\n{facts}\n\n"
        "Explain in two short sentences, without code, why this happens and what would have to change."
    )
    return Prompt(messages=(Message("system", SYSTEM), Message("user", question)))


def hint_prompt(goal: str, program: str, hints: Sequence[str]) -> Prompt:
    """Asks for a hint at the next step towards a goal; each hint says more than the one before it."""
    known = (
        f"The program so far:\n\n{fence_program(program)}" if program.strip() else "There is no program yet."
    )
    question = f"{known}\n\nI want to: {goal}\n\nGive me a hint at the next step. No code."
    messages = [Message("system", TUTOR), Message("user", question)]
    for number, each in enumerate(hints, start=1):
        more = "Give me another hint that helps more: name the part of Python that I need. No code."
        if number > 1:
            more = "Give me another hint, as close to the solution as words can be. No code."
        messages += [Message("assistant", each), Message("user", more)]
    return Prompt(messages=tuple(messages))


def fence_program(program: str, language: Language = PYTHON) -> str:
    """A program as the model sees it; only the end of a very long one."""
    code = program.strip("\n")
    if len(code) > LONGEST_PROGRAM:
        code = f"{language.sign} …\n" + code[-LONGEST_PROGRAM:].partition("\n")[2]
    return f"```{language.name}\n{code}\n```"


def as_sentence(words: str) -> str:
    """Words as a sentence, with a capital letter and a full stop."""
    words = words.strip()
    first = words[:1].upper() + words[1:]
    return first if first.endswith((".", "!", "?")) else f"{first}."


@dataclass(frozen=True)
class TrimmedReply:
    """The part of a reply to show so far, and whether it is final."""

    text: str
    finished: bool


def trim_reply(text: str, sentences: int, whole: bool = False, listed: bool = True) -> TrimmedReply:
    """The first sentences of a reply, up to code, a second paragraph, or a repetition.

    Until the reply is `whole`, text that may yet turn out to be one of these is held back. A number at its
    start is that of a list item if the reply may be `listed`.
    """
    text = (MARKER if listed else BULLET).sub("", text.lstrip())
    if not listed:
        text = join_announced(text, whole)
    end = min((at for at in (text.find("```"), text.find("\n")) if at >= 0), default=len(text))
    finished = end < len(text)
    parts = SENTENCE.split(text[:end])
    good: list[str] = []
    for part in parts[:sentences]:
        if is_repeated(part, good, exactly=finished or whole or part is not parts[-1]):
            last = part is parts[-1] and not (finished or whole)
            return TrimmedReply(" ".join(good), not last)
        good.append(part)
    said = " ".join(good)
    if len(parts) > sentences or is_looping(said):
        return TrimmedReply(said, True)
    return TrimmedReply(said if finished or whole else said.rstrip("`"), finished)


def join_announced(text: str, whole: bool) -> str:
    """A text whose first line ends with a colon with the next lines on the same line, without fences."""
    head, _, rest = text.partition("\n")
    if not head.rstrip().endswith(COLONS):
        return text
    lines = [line.strip() for line in rest.split("\n")]
    if not whole and lines[-1] in ("`", "``"):  # which may yet be a fence
        lines.pop()
    kept = [line for line in lines if line and not line.startswith("```")][:MOST_ANNOUNCED]
    return " ".join([head.rstrip(), *kept])


def is_repeated(part: str, before: Sequence[str], exactly: bool) -> bool:
    """Whether a sentence repeats an earlier one, or, while incomplete, may become one."""
    if exactly:
        return part in before
    return len(part) >= LEAST_REPEATED and any(each.startswith(part) for each in before)


def is_grounded(words: str, known: str) -> bool:
    """Whether each number in an explanation is known, and printing is mentioned only if the code prints.

    Small models invent both.
    """
    if SHOWS.search(words) and "print" not in known:
        return False
    return set(NUMBER.findall(words)) <= set(NUMBER.findall(known))


def is_looping(text: str) -> bool:
    """Whether the last words of a text have already occurred twice."""
    words = text.split()
    tail = words[-WINDOW:]
    if len(tail) < WINDOW:
        return False
    return sum(words[at : at + WINDOW] == tail for at in range(len(words) - WINDOW + 1)) > 2


def strip_code(reply: str, sentences: int) -> str:
    """A reply without code: no blocks, lines of Python or longer code between backticks."""
    text = re.sub(r"```.*?(?:```|\Z)", "\n", reply, flags=re.DOTALL)
    lines = [
        line
        for line in text.split("\n")
        if line.strip() and not line.rstrip().endswith(":") and not is_code(line)
    ]
    plain = " ".join(MARKS.sub("", line).strip() for line in lines)
    found: list[str] = []
    for part in SENTENCE.split(plain):
        shown = INLINE.sub(shorten_code, part).strip()
        if shown and not shown.endswith(":") and shown not in found:
            found.append(shown)
    return " ".join(found[:sentences])


def is_code(line: str) -> bool:
    """Whether a line is Python rather than words: a word or number alone is not code."""
    text = line.strip()
    if CODE.match(line):
        return True
    return parse_module(text) is not None and re.fullmatch(r"[\w\s.,!?'’-]*", text) is None


def shorten_code(match: re.Match[str]) -> str:
    """Keeps a name between backticks; replaces other code by an ellipsis."""
    inside = match[0].strip("`").strip()
    return match[0] if re.fullmatch(r"[\w.]+(?:\(\))?", inside) else "…"
