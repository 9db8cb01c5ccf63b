"""Questions to the user: whether code may run, what an instruction means, which candidate to keep.

A command or a next step that is typed in place of an answer is none, and is done next.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from mtchat.console.captions import one_line
from mtchat.console.view import View
from mtchat.features.checks.expression import IDEOGRAPH
from mtchat.generate.execute import Declined
from mtchat.generate.interpretations import COMPARABLE_SHARE, Clarification, Interpretation

ReadReply = Callable[[str], str | None]

CHOICES = "[Enter run, e edit, r retry, u undo, a auto] "
EXPLAINED = (
    "Enter runs the code, e edits the instruction, r regenerates the code, u removes the turn, "
    "a runs all code from now on, a 5 runs this turn and the next 5; Ctrl-C keeps it without running it"
)
COMMANDS = {"e": "edit", "edit": "edit", "r": "retry", "retry": "retry", "u": "undo", "undo": "undo"}

AUTO, ALWAYS, NEVER = "auto", "always", "never"
NEXT, THIS = "next", "this"
WHICH = f"Is that a clarification of this step, or a new one? [{THIS}] or {NEXT}: "
EITHER = f"type {THIS} or {NEXT}; a command skips the question, Ctrl-C repeats it"
WAYS = "Enter a number or rephrase. Enter = 1, Ctrl-C = skip."
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
CHOICE = re.compile(
    r"(?:please )?"
    r"(?:(?:i(?:'d)? (?:want|take|prefer|like)|use|take|pick|choose|keep|make|try|show(?: me)?) )?"
    r"(?:the )?(?:number |try |one )?"
    rf"(?:(?P<number>\d{{1,9}})(?:st|nd|rd|th)?|(?P<ordinal>{'|'.join(ORDINALS)}|last))"
    r"(?: one| try)?(?: live)?(?:,? please)?[.!]?",
    re.IGNORECASE | re.ASCII,
)


def press_enter(label: str) -> str:
    """The answer where nobody can be asked."""
    return ""


@dataclass
class UserQuestions:
    """Asks on a screen. `confirm` asks whether code may run: an interrupt is a no. `answer` asks all else,
    and gives None after Ctrl-C; it is None where nobody can be asked.

    The next `runs_left` turns run without a question, all of them if `always` is on. `declined` says that
    the last answer was no; `chosen` is what the user wanted instead of a run: edit, retry or undo. What they
    typed instead of an answer is done `later`; if they stop what comes before, it is `unsent`, and the next
    prompt begins with it. `when` gives the setting `ask`, and `commands` the names of the slash commands.
    """

    view: View
    when: Callable[[], str] = lambda: AUTO
    confirm: Callable[[str], str] = press_enter
    answer: ReadReply | None = None
    runs_left: int = 0
    always: bool = False
    declined: bool = False
    chosen: str = ""
    later: str = ""
    unsent: str = ""
    can_choose: bool = True
    commands: Callable[[], Collection[str]] = tuple

    def is_command(self, words: str) -> bool:
        return words.startswith("/") and words[1:].partition(" ")[0] in self.commands()

    def hold_back(self) -> None:
        """What was to be done later is not done unasked: the next prompt begins with it."""
        if self.later:
            self.unsent, self.later = self.later, ""

    # Whether code may run

    def approve(self) -> None:
        """Comes back where the code may run, and raises Declined where it may not."""
        self.reset()
        if self.always:
            return
        if self.runs_left:
            self.runs_left -= 1
            return
        self.view.erase()
        try:
            while not self.read_approval(self.confirm(CHOICES)):
                self.view.note(EXPLAINED)
        except (KeyboardInterrupt, EOFError):
            self.view.erase()
            self.declined = True
            raise Declined from None
        if self.chosen:
            self.declined = True
            raise Declined

    def reset(self) -> None:
        self.declined, self.chosen = False, ""

    def read_approval(self, answer: str) -> bool:
        """Takes an answer; whether it is one."""
        word, *rest = answer.lower().removeprefix("/").split() or [""]
        if word in COMMANDS and not rest:
            self.chosen = COMMANDS[word]
        elif word in ("a", "auto") and not rest:
            self.always = True
            self.view.note("Auto-run is on. /set run ask restores confirmation.")
        elif word in ("a", "auto") and len(rest) == 1 and is_count(rest[0]):
            self.runs_left = int(rest[0])
            self.view.note(f"this turn and the next {self.runs_left} run without confirmation")
        else:
            return not word
        return True

    # What is meant

    def clarification(self) -> Clarification | None:
        """How the user is asked what an instruction means; None where that is off or nobody is there."""
        answer = self.answer
        if answer is None or self.when() == NEVER:
            return None
        always = self.when() == ALWAYS

        def ask(instruction: str, found: Sequence[Interpretation]) -> int | str | None:
            return self.ask_meaning(answer, found)

        return Clarification(ask, 0.0 if always else COMPARABLE_SHARE, always)

    def choose_reading(self, choices: str, count: int, text: str) -> int | None:
        """The place, from 0, of the reading that is meant; the first where nobody is to be asked.

        None if the user typed something else to be done instead, or stopped; the text is then not lost.
        """
        if self.answer is None or self.when() == NEVER:
            return 0
        choice = read_choice(self.view, self.answer, f"{choices}  (Enter = 1) ", count, 0)
        if isinstance(choice, str) and (place := parse_ordinal(choice, count)) is not None and place < count:
            return place
        if isinstance(choice, str):
            self.postpone(choice, "not a number")
        elif choice is None:
            self.unsent = text
        return choice if isinstance(choice, int) else None

    def ask_meaning(self, answer: ReadReply, found: Sequence[Interpretation]) -> int | str | None:
        """The place of the reading that is meant, or other words for it; None where that is left open."""
        self.view.erase()
        self.view.heading("This instruction is ambiguous. It can mean:")
        for number, each in enumerate(found, start=1):
            self.view.say(f"  {number}  {each.summary}")
        self.view.note(WAYS)
        while isinstance(choice := read_choice(self.view, answer, "Which one? ", len(found), 0), str):
            later = self.next_instruction(answer, choice)
            if later:
                self.postpone(later, "skipped the question")
                return None
            if later is not None:
                return choice
            self.view.note(WAYS)
        return choice

    def choose(self, found: Sequence[Interpretation], live: str) -> int | None:
        """The place of the try that the user wants; None where the live one stays."""
        show_candidates(self.view, found, live)
        return None if self.answer is None else self.ask_candidate(self.answer, found)

    def ask_candidate(self, answer: ReadReply, found: Sequence[Interpretation]) -> int | None:
        label = "Which one? (Enter keeps the current one) "
        while isinstance(choice := read_choice(self.view, answer, label, len(found), None), str):
            index = parse_ordinal(choice, len(found))
            if index is not None and index < len(found):
                return index
            if index is None and (self.is_command(choice) or is_sentence(choice)):
                self.postpone(choice, "not a number")
                return None
            self.view.note(f"type a number from 1 to {len(found)}, or Enter")
        return choice

    def next_instruction(self, answer: ReadReply, words: str) -> str | None:
        """What words say to do next; "" if they say what this step means; None if neither."""
        if self.is_command(words):
            return words
        if words.startswith("/") or words.endswith(("?", "？")):
            return None
        while (text := answer(WHICH)) is not None:
            word = text.strip()
            if THIS.startswith(word.lower()):
                return ""
            if NEXT.startswith(word.lower()):
                return words
            if self.is_command(word) or len(word.split()) > 1:
                self.unsent = words  # which nobody has said what to do with
                return word
            self.view.note(EITHER)
        return None

    def postpone(self, words: str, why: str) -> None:
        """Keeps what was typed in place of an answer: it is done as soon as this turn is over."""
        self.later = words
        self.view.note(f"{why}; next: {one_line(words)}")


def is_sentence(words: str) -> bool:
    """Whether words typed in place of a number say what to do: several, or of a language without blanks."""
    several = len(words.split()) > 1 or IDEOGRAPH.search(words) is not None
    return several and not words.startswith("/") and not words.endswith(("?", "？"))


def is_count(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 5 and int(word) >= 1


def read_choice(
    view: View, answer: ReadReply, label: str, most: int, default: int | None
) -> int | str | None:
    """A place as typed, the default where nothing is typed; other words as they are; None after Ctrl-C."""
    while True:
        text = answer(label)
        if text is None:
            return None
        word = text.strip()
        if not word:
            return default
        if not (word.isascii() and word.isdecimal()):
            return word
        if 1 <= int(word[:9]) <= most:
            return int(word) - 1
        view.note(f"there are {most}; type a number from 1 to {most}")


def parse_ordinal(words: str, most: int) -> int | None:
    """The place, from 0, that words such as "use the second one" choose, which may be none of so many."""
    found = CHOICE.fullmatch(words)
    if found is None:
        return None
    ordinal = (found["ordinal"] or "").lower()
    if ordinal == "last":
        return most - 1
    number = ORDINALS.index(ordinal) + 1 if ordinal else int(found["number"])
    return number - 1 if number else most


def show_candidates(view: View, found: Sequence[Interpretation], live: str) -> None:
    """What several candidates do, each thing once, with the code of the likeliest one that does it."""
    for number, each in enumerate(found, start=1):
        now = ", current" if each.candidate.turn.chunk == live else ""
        count = f"{each.count} candidate{'' if each.count == 1 else 's'}"
        view.heading(f"{number}  {each.summary}  ({count}{now})")
        view.code(each.candidate.turn.chunk)
