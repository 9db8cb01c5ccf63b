"""Shows explanations of turns, lines and errors: first the facts, then the model's words if it can chat."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mtchat.console.console import Console
from mtchat.console.text import display_width
from mtchat.console.view import View
from mtchat.errors import MtchatError
from mtchat.features.explain import answers, failure
from mtchat.features.explain.answers import LONGEST_LINE, Explanation, as_sentence, stream_answer
from mtchat.features.explain.statements import CodePart, code_parts
from mtchat.generate.execute import excused
from mtchat.session import source
from mtchat.session.outcome import Outcome, Reason, Variable
from mtchat.session.program import Program, assemble
from mtchat.session.prompt import Prompt
from mtchat.session.text import escape_controls

SIGN = "≈ "  # before words that may be wrong
INDENT = "  "
PLAINEST = 130  # characters of a description; the model rephrases longer ones
LONGEST_VALUE = 40
PLAIN_KINDS = ("int", "float", "str", "bool", "list", "dict", "tuple", "set", "Counter", "defaultdict")
LEGEND = (
    f"lines with {SIGN.strip()} were written by the model and may be wrong; all others come from the code"
)

LEGEND_OF_ERRORS = f"text after {SIGN.strip()} was written by the model and may be wrong; the rest is certain"


@dataclass
class StreamedParagraph:
    """The model's words on the screen as they come, wrapped and marked; `said` is the text so far."""

    view: View
    indent: str = ""
    column: int = 0
    said: str = ""
    pending: str = ""
    width: int = field(default_factory=lambda: max(shutil.get_terminal_size().columns - 1, 20))

    def say(self, pieces: Iterator[str]) -> str:
        """Shows all pieces; after an interrupt what was shown stays."""
        try:
            for piece in pieces:
                self.on_piece(piece)
        finally:
            self.end()
        return self.said

    def on_piece(self, piece: str) -> None:
        self.said += piece
        *whole, self.pending = (self.pending + piece).split(" ")
        for word in whole:
            self.word(word)

    def word(self, word: str) -> None:
        word = escape_controls(word).replace("\n", " ")
        if not word:
            return
        if not self.column:
            self.put(self.indent + SIGN + word)
        elif self.column + 1 + display_width(word) > self.width:
            self.view.out.write("\n")
            self.column = 0
            self.put(" " * (len(self.indent) + len(SIGN)) + word)
        else:
            self.put(f" {word}")
        self.view.out.flush()

    def put(self, text: str) -> None:
        self.view.out.write(text)
        self.column += display_width(text)

    def end(self) -> None:
        self.word(self.pending)
        self.pending = ""
        if self.column:
            self.view.out.write("\n")
            self.view.out.flush()
        self.column = 0


def explain_turn(console: Console, number: int) -> None:
    """Shows every line of a turn with its explanation below it."""
    turn = console.session.turn_at(number)
    console.view.heading(f"{number}› {turn.instruction}")
    if not turn.chunk.strip():
        console.view.say("this turn has no code to explain; /retry asks the model again")
        return
    explaining = TurnExplainer.of(console, number)
    explaining.lines()
    explaining.summary()
    explaining.farewell(f"/explain {number}:LINE says more about one line (counted from 1)")


def explain_line(console: Console, number: int, line: int) -> None:
    """Shows one line of a turn, its explanation and the values that it uses."""
    lines = source.split_lines(console.session.turn_at(number).chunk)
    if not 1 <= line <= len(lines):
        raise MtchatError(f"turn {number} has no line {line}; its last line is {len(lines)}")
    if not lines[line - 1].strip() or lines[line - 1].lstrip().startswith("#"):
        console.view.code(lines[line - 1])
        console.view.say(f"{INDENT}Python ignores this line: it is empty, or a comment for readers.")
        return
    explaining = TurnExplainer.of(console, number)
    explaining.line(line)
    explaining.farewell(f"/explain {number} explains the whole turn")


def explain_error(console: Console) -> None:
    """Shows why the program fails and what can be done."""
    outcome = console.session.outcome
    if outcome is None:
        raise MtchatError("the program has not run, so there is no error to explain; /run runs it")
    if outcome.ok:
        raise MtchatError("the program runs without an error; /explain explains its last turn")
    if outcome.reason in (Reason.INTERRUPTED, Reason.SANDBOX):
        raise MtchatError("the last run was interrupted; /run runs the program again")
    program, view = console.session.program, console.view
    variables = variables_at_failure(console, outcome)
    facts = list(failure_facts(console, program, outcome, variables))
    where = failure.describe_place(program, outcome)
    if where:
        view.line(where)
        view.code(INDENT + failure.failing_line(program, outcome.frames[-1]).strip())
    for fact in facts:
        view.paragraph(fact)
    if not failure.is_settled(program, outcome, variables) and can_chat(console):
        explained = "\n".join(["- " + where, *(f"- {fact}" for fact in facts)])
        show_answer(
            console,
            StreamedParagraph(view),
            stream_answer(console.chat.complete, answers.failure_prompt(program.source, explained), 2),
        )
        view.note(LEGEND_OF_ERRORS)
    number = outcome.turn or len(console.session.path)
    repair = "" if excused(outcome) else "/fix asks the model to repair it, "
    steps = f"{repair}/edit {number} changes the instruction of turn {number}"
    view.note(f"{steps}, /undo removes the last turn")


def failure_facts(
    console: Console, program: Program, outcome: Outcome, variables: Sequence[Variable]
) -> Iterator[str]:
    """Facts about a failure, in sentences."""
    yield from failure.describe_failure(program, outcome, variables)
    remedy = console.hint(outcome)
    if remedy:
        yield f"What helps: {remedy}."


def variables_at_failure(console: Console, outcome: Outcome) -> tuple[Variable, ...]:
    """The variables when the program failed; none if running it again cannot tell."""
    if outcome.limit or not console.chat.can_dry_run:
        return ()
    again = console.chat.run_for_variables()
    return again.variables if again.error == outcome.error else ()


def can_chat(console: Console) -> bool:
    """Whether the model can answer in words; says so if it cannot."""
    try:
        console.chat.await_model()
    except MtchatError as error:
        console.view.note(f"the model is not available, so only the facts are shown: {error}")
        return False
    if not console.chat.model.card().chat:
        console.view.note(
            f"{console.chat.model.name} only continues code and cannot chat, so only the facts are shown; "
            "/model starter switches to one that can"
        )
        return False
    return True


def show_answer(console: Console, speech: StreamedParagraph, words: Iterator[str]) -> str:
    """Shows the model's words as they come, or why there are none."""
    try:
        return speech.say(words)
    except MtchatError as error:
        console.view.note(f"the model could not answer: {error}")
        return ""


def normalise_code(code: str) -> str:
    """Code without spaces and with one kind of quotes, for comparison."""
    return "".join(code.split()).replace('"', "'")


def is_plain(words: str) -> bool:
    """Whether a description is easy to read: neither long nor with words in brackets."""
    return len(words) <= PLAINEST and not any(sign in words for sign in ("(`", "(the ", "(what "))


@dataclass
class TurnExplainer:
    """Explains one turn: its parts, the outcome of its run, and the explanations so far."""

    console: Console
    number: int
    step: str
    code: str
    program: Program
    parts: tuple[CodePart, ...]
    outcome: Outcome | None
    chats: bool
    explained: list[Explanation] = field(default_factory=list)
    spoke: bool = False

    @classmethod
    def of(cls, console: Console, number: int) -> "TurnExplainer":
        session = console.session
        program = assemble(session.path[:number], session.preamble)
        outcome = dry_run(console, program)
        turn = session.turn_at(number)
        found = code_parts(turn.chunk, program.source)
        return cls(console, number, turn.instruction, turn.chunk, program, found, outcome, can_chat(console))

    def lines(self) -> None:
        """Shows each part of the code with its explanation below it."""
        rows = source.split_lines(self.code)
        if not self.parts:
            self.console.view.code(self.code)
            self.console.view.say(f"{INDENT}This is not valid Python; /explain error says where.")
            return
        shown = 0
        for part in self.parts:
            self.console.view.code("\n".join(rows[shown : part.last]))
            self.say(part, "\n".join(rows[part.first - 1 : part.last]))
            shown = part.last
        if any(row.strip() for row in rows[shown:]):
            self.console.view.code("\n".join(rows[shown:]))
        said = self.outcome.outputs[-1] if self.outcome and self.reached() else ""
        if said.strip():
            self.console.view.line("It printed:")
            self.console.view.output(said)

    def line(self, number: int) -> None:
        """Shows the part that a line belongs to: description, values, and always the model's words."""
        rows = source.split_lines(self.code)
        part = next((each for each in self.parts if each.first <= number <= each.last), None)
        if part is None:
            self.console.view.code(rows[number - 1])
            self.console.view.say(f"{INDENT}This is not valid Python; /explain error says why.")
            return
        code = "\n".join(rows[part.first - 1 : part.last])
        self.console.view.code(code)
        self.certain(part)
        used = failure.names_in_line(code) - set(part.names)
        for each in self.outcome.variables if self.outcome else ():
            if each.name in used and each.kind in PLAIN_KINDS:
                self.console.view.paragraph(f"After the turn {failure.describe_variable(each)}.")
        if self.chats:
            self.before(part)
            prompt = answers.line_prompt(self.program.source, self.step, self.explained, code)
            words = show_answer(
                self.console,
                StreamedParagraph(self.console.view, INDENT),
                stream_answer(self.console.chat.complete, prompt, 2),
            )
            self.spoke = bool(words)

    def before(self, part: CodePart) -> None:
        """Gives the model the certain explanations of the parts above."""
        rows = source.split_lines(self.code)
        for each in self.parts:
            if each.last < part.first and each.sure:
                self.explained.append(Explanation("\n".join(rows[each.first - 1 : each.last]), each.words))

    def say(self, part: CodePart, code: str) -> None:
        """Says what a part does: from its syntax tree if that is complete, else in the model's words."""
        words = part.words
        if not self.chats or (part.sure and is_plain(part.words)):
            self.certain(part)
        else:
            prompt = answers.line_prompt(self.program.source, self.step, self.explained, code)
            words = self.thought(prompt)
            if words:
                self.spoke = True
                StreamedParagraph(self.console.view, INDENT).say(iter([as_sentence(words)]))
                if value := self.value(part):
                    self.console.view.paragraph(as_sentence(value))
            else:
                words = part.words
                self.certain(part)
        self.explained.append(Explanation(code, words))

    def certain(self, part: CodePart) -> None:
        value = self.value(part)
        self.console.view.paragraph(as_sentence(f"{part.words}{'; ' if value else ''}{value}"))

    def value(self, part: CodePart) -> str:
        """The value of a variable after the turn, given once, at its last assignment."""
        if self.outcome is None or not self.outcome.ok:
            return ""
        rows = "\n".join(source.split_lines(self.code)[part.first - 1 : part.last])
        later = {name for each in self.parts if each.first > part.first for name in each.names}
        explained = [
            f"`{each.name}` is {each.value}"
            for each in self.outcome.variables
            if each.name in part.names and each.name not in later
            if each.kind in PLAIN_KINDS and len(each.value) <= LONGEST_VALUE
            if normalise_code(each.value) not in normalise_code(rows)
        ]
        return f"after the turn {' and '.join(explained)}" if explained else ""

    def reached(self) -> bool:
        """Whether the run completed this turn."""
        return self.outcome is not None and len(self.outcome.outputs) == len(self.program.chunks)

    def summary(self) -> None:
        """Shows one sentence about the whole turn."""
        if self.chats and len(self.parts) > 1:
            prompt = answers.summary_prompt(self.program.source, self.step, self.explained)
            words = self.thought(prompt)
            if words:
                self.spoke = True
                StreamedParagraph(self.console.view).say(iter([f"In short: {answers.SUBJECT} {words}"]))

    def thought(self, prompt: Prompt) -> str:
        """The model's sentence; "" if it has none, or contains an unfounded number."""
        try:
            with self.console.view.waiting(lambda: "thinking"):
                words = "".join(stream_answer(self.console.chat.model.complete, prompt, 1, LONGEST_LINE))
        except MtchatError as error:
            self.console.view.note(f"the model could not answer, so only the facts follow: {error}")
            self.chats = False
            return ""
        return words if answers.is_grounded(words, self.known()) else ""

    def known(self) -> str:
        """All text that numbers can come from: the program, the instruction, the outcome."""
        outcome = self.outcome or Outcome()
        values = " ".join(each.value for each in outcome.variables)
        return f"{self.program.source} {self.step} {values} {''.join(outcome.outputs)}"

    def farewell(self, step: str) -> None:
        self.console.view.note(LEGEND if self.spoke else "all of this is derived from the code and its run")
        self.console.view.note(step)


def dry_run(console: Console, program: Program) -> Outcome | None:
    """The outcome of a program with its variables; None if programs are not run."""
    if not console.chat.can_dry_run:
        return None
    with console.view.waiting(lambda: "running"):
        outcome = console.chat.dry_run(program)
    if outcome.stopped:
        raise KeyboardInterrupt
    return outcome
