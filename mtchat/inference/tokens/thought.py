"""How a chat template lets its model think: its own switches, and what opens and closes a thought.

Nothing is known by the name of a model. The template is rendered with and without each option that it
reads, and with a thought in its last message; what changes says how a thought looks. Only where that says
nothing, the usual tags are looked for.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from mtchat.session.prompt import ABLE, ALWAYS, UNTRAINED, Piece

Values = Mapping[str, object]
# the text of the probe conversation: with a thought in its last answer, or None for one that has no answer
# yet; None where the template refuses it
Render = Callable[[Values, "Mapping[str, object] | None"], str | None]

OPTION = re.compile(r"\b[a-z_]*(?:think|reason)[a-z_]*\b")  # a variable of a template that may be a switch
MOST_OPTIONS = 12
COUNTS = re.compile(r"budget|tokens|length|max_")  # in the name of an option that takes a number
NONE = "none"
GRADES = (NONE, "minimal", "low", "medium", "high")
UNKNOWN = "probe6word"  # a value that no template knows
LOW, HIGH = 512, 2048  # tokens of a thought from which on the effort is medium, and high
THOUGHT, ANSWERED = "probe7word", "probe5word"
KEYS = ("reasoning_content", "reasoning", "thinking", "thought")  # of a message, for its thought
TAG = r"think(?:ing)?|thought|reason(?:ing)?|seed:think"
OPENED = re.compile(  # at the end of a context
    rf"(?P<open><(?:{TAG})>|\[THINK\]|<\|begin_of_thought\|>|<\|START_THINKING\|>)\s*\Z", re.IGNORECASE
)
CLOSING = {
    "[THINK]": "[/THINK]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
}
USUAL = ("<think>", *CLOSING, "<thinking>", "<seed:think>", "<thought>", "<reasoning>")
MARK = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")


@dataclass(frozen=True)
class Effort:
    """An option that says how much the model thinks: in words, or in tokens if it has none.

    `least` is its value for no thought, or for one as short as can be.
    """

    name: str
    words: tuple[str, ...] = ()
    least: object = 0

    def value(self, budget: int) -> object:
        """The value for a thought of so many tokens."""
        if not self.words:
            return budget
        low, medium, high = self.words[0], self.words[len(self.words) // 2], self.words[-1]
        return low if budget < LOW else medium if budget < HIGH else high


@dataclass(frozen=True)
class ThoughtFormat:
    """How a thought is written: what opens it after a rendered prompt, and what closes it before the reply.

    `on` and `off` are what the template is told to get a thought, or none; `efforts` say how long one.
    `left_open`: it opens a thought all the same. `thinks` is what `ModelCard` says.
    """

    opens: str = "<think>\n"
    closes: str = "\n</think>\n\n"
    on: Values = field(default_factory=dict)
    off: Values = field(default_factory=dict)
    efforts: tuple[Effort, ...] = ()
    left_open: bool = False
    thinks: str = UNTRAINED

    @property
    def empty(self) -> str:
        """What closes a thought that was opened and has no words."""
        return f"\n\n{self.closes.lstrip()}" if self.closes[0].isspace() else self.closes

    @property
    def end(self) -> str:
        """The text that ends a thought, as the model writes it."""
        found = MARK.search(self.closes)
        return found[0] if found else self.closes.strip()

    def values(self, budget: int) -> Values:
        """What the template is told for a thought of so many tokens; 0 for none."""
        if not budget:
            return self.off
        return {**self.on, **{each.name: each.value(budget) for each in self.efforts}}


def find_switches(source: str, render: Render) -> ThoughtFormat:
    """The options of a template that change how it ends, as a format that knows only these."""
    plain = render({}, None)
    on: dict[str, object] = {}
    off: dict[str, object] = {}
    efforts = []
    for name in list(dict.fromkeys(OPTION.findall(source)))[:MOST_OPTIONS]:
        if effort := find_effort(name, render):
            efforts.append(effort)
            off[name] = effort.least
            continue
        yes, no = render({name: True}, None), render({name: False}, None)
        if yes is None or no is None or yes == no:
            continue
        reverse = closes_more(yes, no)
        on[name], off[name] = not reverse, reverse
    # `plain` may be what one of the values gives; a template that refuses it has no format at all
    return ThoughtFormat(on=on, off=off, efforts=tuple(efforts)) if plain is not None else ThoughtFormat()


def closes_more(one: str, other: str) -> bool:
    """Whether a prompt has a closed thought at its end that another lacks."""
    return OPENED.search(one) is None and (
        OPENED.search(other) is not None
        or (one.startswith(other) and MARK.search(one[len(other) :]) is not None)
    )


def find_effort(name: str, render: Render) -> Effort | None:
    """The option if its values are grades or numbers of tokens."""
    numbers = [render({name: number}, None) for number in (0, 100, 200)]
    counted = None not in numbers and numbers[1] != numbers[2]
    if COUNTS.search(name):
        return Effort(name) if counted or (None not in numbers and numbers[0] != numbers[1]) else None
    found = {word: text for word in GRADES if (text := render({name: word}, None)) is not None}
    if len(set(found.values())) < 2:
        return None
    if render({name: UNKNOWN}, None) is not None:  # it prints whatever it is told
        return Effort(name, GRADES[2:], GRADES[2])
    words = tuple(word for word in found if word != NONE)
    return Effort(name, words, NONE if NONE in found else words[0])


def find_format(
    source: str, render: Render, asked: str, opening: Callable[[ThoughtFormat], str], names: Sequence[str]
) -> ThoughtFormat:
    """How thoughts look in a template.

    `asked` is the last message of the probe conversation, `opening` gives what must follow a prompt without a
    thought so that the reply is opened, and `names` are the special tokens of the vocabulary.
    """
    found = find_switches(source, render)
    on, off = render(found.values(LOW), None) or "", render(found.off, None) or ""
    tail = on.rpartition(asked)[2]
    answered = opening(found)
    marks = next(
        filter(
            None,
            (
                marks_of_record(render, found.values(LOW), asked, tail),
                marks_of_switch(tail, off.rpartition(asked)[2]),
                marks_of_prompt(tail, answered),
                marks_of_vocabulary(source, names),
            ),
        ),
        None,
    )
    if marks is None:
        return found
    graded = bool(found.efforts) and all(each.least in each.words for each in found.efforts)
    opens, closes = marks
    opened = OPENED.search(off) is not None or (not opens and off == on)
    thinks = ALWAYS if opened or (graded and not found.on) else ABLE
    left_open = opened and MARK.search(answered) is None
    return replace(found, opens=opens, closes=closes, left_open=left_open, thinks=thinks)


def marks_of_record(render: Render, values: Values, asked: str, tail: str) -> tuple[str, str] | None:
    """What surrounds a thought that the last answer has in a recorded conversation."""
    for answer in answers_with_thought():
        record = (render(values, answer) or "").rpartition(asked)[2]
        lead, thought, rest = record.partition(THOUGHT)
        closes, answered, _ = rest.partition(ANSWERED)
        if not (thought and answered and MARK.search(closes)):
            continue
        if lead.startswith(tail):
            return lead.removeprefix(tail), closes
        if lead.rstrip() == tail.rstrip():
            return "", closes
    return None


def answers_with_thought() -> Iterator[Mapping[str, object]]:
    """The last answer in the forms in which templates take its thought."""
    for key in KEYS:
        yield {"content": ANSWERED, key: THOUGHT}
    parts = ({"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": ANSWERED})
    yield {"content": [dict(part) for part in parts]}


def marks_of_switch(on: str, off: str) -> tuple[str, str] | None:
    """What opens and closes the empty thought at the end of a prompt with the switch off, `off`."""
    shared = next((at for at, (one, two) in enumerate(zip(on, off, strict=False)) if one != two), len(on))
    extra = [mark for mark in MARK.finditer(off) if mark.end() > shared]
    if on == off or not extra:
        return None
    first, last = extra[0], extra[-1]
    space = "\n" if off[: last.start()].endswith("\n") else ""
    closes = space + off[last.start() :]
    if OPENED.search(on):  # an empty thought may lack the line ends that a model writes after one
        return "", closes if closes[-1].isspace() or not space else closes + "\n\n"
    if first is last or not off.startswith(on):
        return None
    words = off[first.end() : extra[1].start()].rstrip()  # such as the name of a channel
    return off[len(on) : first.end()] + words + space, closes


def marks_of_prompt(on: str, opening: str) -> tuple[str, str] | None:
    """The end of a thought that every prompt opens: as answers have it, or as it is usually written."""
    opened = OPENED.search(on)
    if opened is None:
        return None
    tag = opened["open"]
    return "", opening if MARK.search(opening) else f"\n{closing_tag(tag)}\n\n"


def marks_of_vocabulary(source: str, names: Sequence[str]) -> tuple[str, str] | None:
    """The usual tags, if the template or the vocabulary has one that closes a thought."""
    for tag in USUAL:
        end = closing_tag(tag)
        if end in source or (end in names and tag in names):
            return f"{tag}\n", f"\n{end}\n\n"
    return None


def closing_tag(tag: str) -> str:
    """What closes a thought that a usual tag opens."""
    return CLOSING.get(tag, tag.replace("<", "</"))


def cut_thoughts(pieces: Iterator[tuple[int, Piece]], end: str) -> Iterator[tuple[int, Piece]]:
    """The pieces of thoughts, each with its number, up to the text that ends a thought.

    A text that may be the beginning of it is held back. A thought that is ended has `finish` "stop", and
    further pieces of it are dropped.
    """
    held: dict[int, str] = {}
    ended: set[int] = set()
    with closing_stream(pieces):
        for number, piece in pieces:
            if number in ended:
                continue
            text = held.pop(number, "") + piece.text
            before, found, _ = text.partition(end)
            if found:
                ended.add(number)
                yield number, Piece(before, replace(piece.usage, finish="stop"))
                continue
            if not piece.usage.finish:
                held[number] = kept = text[len(text) - overlap(text, end) :]
                text = text[: len(text) - len(kept)]
            yield number, Piece(text, piece.usage)


@contextmanager
def closing_stream(stream: Iterator[tuple[int, Piece]]) -> Iterator[None]:
    """Close a stream that can be closed when it is no longer read."""
    try:
        yield
    finally:
        if isinstance(stream, Generator):
            stream.close()


def overlap(text: str, end: str) -> int:
    """How many characters at the end of a text may be the beginning of `end`."""
    most = min(len(text), len(end) - 1)
    return next((count for count in range(most, 0, -1) if text.endswith(end[:count])), 0)
