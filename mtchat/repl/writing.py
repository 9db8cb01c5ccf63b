"""Shows a turn while it is made: lines as they are finished, then how the program ran."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mtchat.core.names import parses
from mtchat.core.outcome import Outcome
from mtchat.core.turn import INTERRUPTED, Turn
from mtchat.repl import highlight
from mtchat.repl.escape import escaped
from mtchat.repl.view import YELLOW, View, cost, reading
from mtchat.synthesis import Chose, Event, Made, Mending, Ran, Read, Running, Weighing, Wrote


@dataclass
class Writing:
    """Shows one turn while it is made: a watcher for the synthesizer.

    Lines appear when they are whole; the one being written is a transient line below them. A reply that
    begins by repeating the program is held back until it says something new.
    """

    view: View
    before: str = ""
    place: str = ""
    hint: Callable[[Outcome], str] = lambda outcome: ""
    printed: list[str] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        match event:
            case Read(usage):
                self.view.transient(reading(usage))
            case Wrote(code):
                self.wrote(code)
            case Made():
                self.made(event.turn)
            case Running():
                self.view.transient("running…")
            case Ran(outcome, _):
                self.view.erase()
                self.view.outcome(outcome, self.place, self.hint(outcome))
            case Weighing(count, _):
                self.view.transient(f"weighing {count} candidates…")
            case Chose(_, turn, outcome, count):
                self.chose(turn, count)
                self.view.outcome(outcome, self.place, self.hint(outcome))
            case Mending(round, rounds, number, _):
                self.view.note(f"mending turn {number}, round {round} of {rounds}")

    def wrote(self, code: str) -> None:
        code, known = code.lstrip("\n"), self.before.strip()
        if known and known.startswith(code.rstrip()):
            self.view.transient("…")
            return
        if known and code.startswith(known):
            code = code[len(known) :].lstrip("\n")
        whole, _, partial = code.rpartition("\n")
        lines = whole.rstrip().split("\n") if whole.strip() else []
        if lines[: len(self.printed)] == self.printed and len(lines) > len(self.printed):
            self.view.erase()
            self.print(lines)
        self.view.transient(partial)

    def print(self, lines: list[str]) -> None:
        shown = highlight.lines(escaped("\n".join(lines)), color=self.view.color)
        for line in shown[len(self.printed) :]:
            self.view.out.write(line + "\n")
        self.view.out.flush()
        self.printed = lines

    def made(self, turn: Turn) -> None:
        self.view.erase()
        lines = turn.chunk.split("\n") if turn.chunk else []
        if lines[: len(self.printed)] != self.printed:
            self.view.note("… kept as:")
            self.printed = []
        if lines:
            self.print(lines)
        else:
            self.view.note("the model wrote no code; /retry asks again")
        self.printed = []
        if cost(turn.usage):
            self.view.note(cost(turn.usage))
        if turn.status == INTERRUPTED and turn.making.mends:
            self.view.line("■ interrupted", YELLOW)
        elif turn.status == INTERRUPTED:
            broken = "" if parses(turn.chunk) else ", though it is not whole; /code finishes it by hand"
            self.view.line(f"■ interrupted; what was written is kept{broken}", YELLOW)
            self.view.note("/complete finishes it, /retry asks again, /undo takes it back")
        elif turn.usage.finish == "length":
            self.view.line(
                "■ stopped at max_tokens; /complete goes on with it, /set max_tokens N allows longer replies",
                YELLOW,
            )

    def chose(self, turn: Turn, count: int) -> None:
        self.view.erase()
        self.view.note(f"the best of {count} candidates is another:")
        self.printed = []
        self.print(turn.chunk.split("\n"))
        self.printed = []
