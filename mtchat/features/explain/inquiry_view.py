"""Shows the answer to a question: what is certain, then the model's words, marked as such."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from mtchat.console import slash
from mtchat.console.captions import short_path
from mtchat.console.console import Console
from mtchat.features.explain.answers import as_sentence
from mtchat.features.explain.fact import Fact, FactSource
from mtchat.features.explain.inquiry import Answer
from mtchat.features.explain.mentions import WORD, ProgramWords, find_mentions, same_word
from mtchat.features.explain.view import SIGN, StreamedParagraph

MOST_FILES = 3
SHORTEST_COMMAND = 4  # letters
LEGEND = f"lines with {SIGN.strip()} were written by the model and may be wrong; all others are certain"


def answer_question(console: Console, text: str) -> Answer:
    """Shows the answer to a question, which changes nothing."""
    shown = AnswerView(console)
    try:
        answer = console.chat.ask(text, known=tuple(console_facts(console, text)), on_part=shown.add)
    finally:
        shown.end()
    if answer.note:
        console.view.note(answer.note)
    if answer.words:
        console.view.note(LEGEND)
    return answer


@dataclass
class AnswerView:
    """Shows the parts of an answer as they come."""

    console: Console
    words: StreamedParagraph = field(init=False)

    def __post_init__(self) -> None:
        self.words = StreamedParagraph(self.console.view)

    def add(self, part: Fact | str) -> None:
        if isinstance(part, Fact):
            self.console.view.paragraph(as_sentence(part.text))
        else:
            self.words.on_piece(part)

    def end(self) -> None:
        self.words.end()


def console_facts(console: Console, text: str) -> Iterator[Fact]:
    """What a question names that is outside the program: files, and commands if it names nothing else."""
    words = [word.lower() for word in WORD.findall(text[:2000])]
    yield from file_facts(console, words)
    if not find_mentions(ProgramWords(console.session), text):
        yield from command_facts(words)


def command_facts(words: list[str]) -> Iterator[Fact]:
    """The commands whose names are among some words."""
    for each in slash.commands():
        if len(each.name) >= SHORTEST_COMMAND and each.name in words:
            yield Fact(f"{each.words}: {each.meaning}", FactSource.COMMAND)


def file_facts(console: Console, words: list[str]) -> Iterator[Fact]:
    """Where the files are that some words name."""
    outcome = console.session.outcome
    left = [console.files_folder / file.path for file in (outcome.files if outcome else ())]
    paths = {short_path(path): "is a file that the program wrote" for path in left if os.path.exists(path)}
    paths |= {file.name: f"is the attached file {file.path}" for file in console.session.attached}
    named = [
        path
        for path in paths
        if any(
            same_word(part, word) for part in WORD.findall(path.lower()) for word in words if len(word) > 2
        )
    ]
    for path in named[:MOST_FILES]:
        yield Fact(f"{path} {paths[path]}", FactSource.RUN)
