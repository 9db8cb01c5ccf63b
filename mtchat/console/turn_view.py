"""Shows a turn while it is generated: each line once it is complete, then how the program ran."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mtchat.console.captions import describe_prefill, describe_time
from mtchat.console.view import YELLOW, View
from mtchat.features.context.view import folded_note
from mtchat.features.correction.view import (
    describe_choice,
    describe_correction,
    describe_effect,
    describe_later_turn,
)
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    CandidateProgress,
    CandidatesStarted,
    CodeWritten,
    ContextFitted,
    CorrectionCompared,
    CorrectionFinished,
    CorrectionStarted,
    Event,
    LaterTurnChanged,
    NamesReplaced,
    PrefillFinished,
    RepairStarted,
    RunFinished,
    RunStarted,
    ThoughtWritten,
    TurnWritten,
)
from mtchat.generate.execute import failed
from mtchat.session.names import parses
from mtchat.session.outcome import Outcome, ReplacedName
from mtchat.session.program import assemble
from mtchat.session.provenance import Repair, Rework, Rewrite
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED, Turn

MOST_REPLACED = 3
RULE = 8  # columns of the line below a thought
STOPS = "Ctrl-C keeps the first"


@dataclass
class HeldAttempts:
    """Repairs that are not shown yet: once the shown code has `failed`, only a repair that works is shown.

    `repairing` names the repair round in progress, "" for none; the best of `turns` is shown at the end.
    """

    failed: bool = False
    repairing: str = ""
    turns: list[Turn] = field(default_factory=list)


@dataclass
class ThoughtView:
    """Shows a thought while it is written: its lines, dim, or one line that counts its tokens."""

    view: View
    whole: bool
    printed: int = 0  # characters
    rest: str = ""

    def show(self, text: str, count: str) -> None:
        if not self.whole:
            self.view.transient(count)
            return
        lines, _, self.rest = text[self.printed :].rpartition("\n")
        if lines:
            self.view.erase()
            self.view.note(lines)
            self.printed = len(text) - len(self.rest)
        self.view.transient(self.rest)

    def end(self) -> None:
        """The last line, which nothing can follow any more."""
        if self.whole and (self.printed or self.rest):
            self.view.erase()
            if self.rest.strip():
                self.view.note(self.rest)
            self.view.note("─" * RULE)
        self.printed, self.rest = 0, ""


@dataclass
class TurnView:
    """Shows one turn while it is generated, event by event.

    The line being written is a transient line below the complete ones. A reply that begins by repeating the
    program is held back until it says something new. `beside`: the turn is not on the live path if it is
    interrupted. If an earlier turn is changed, `since` is its number: the output of that turn and later ones
    is shown, unless it is among the `known_outputs`. `remove_repeats` removes from an outcome what was shown
    before, and says what differs from it. `preambles` is 1 if a preamble precedes the turns. `correcting`: a
    correction has begun; `fixing`: its repair is shown.
    """

    view: View
    before: str = ""
    folder: str = ""
    hint: Callable[[Outcome], str] = lambda outcome: ""
    beside: bool = False
    printed: list[str] = field(default_factory=list)
    correcting: bool = False
    since: int | None = None
    known_outputs: tuple[str, ...] = ()
    preambles: int = 0
    fixing: bool = False
    way_out: str = ""
    same: bool = False  # whether it was said that the new code is the same
    held: HeldAttempts = field(default_factory=HeldAttempts)
    remove_repeats: Callable[[Outcome], tuple[Outcome, str]] = lambda outcome: (outcome, "")
    thoughts: bool = False  # whether thoughts are shown

    def __post_init__(self) -> None:
        self.thought = ThoughtView(self.view, self.thoughts)

    def __call__(self, event: Event) -> None:
        match event:
            case ContextFitted(numbers):
                self.view.note(folded_note(numbers))
            case PrefillFinished(usage):
                self.view.transient(describe_prefill(usage))
            case ThoughtWritten(text, tokens, budget):
                self.thought.show(text, f"thinking… {tokens} of at most {budget} tokens")
            case CodeWritten(code):
                self.thought.end()
                self.show_code(code)
            case TurnWritten(_, turn):
                self.thought.end()
                self.show_turn(turn)
            case CorrectionStarted():
                self.correcting, self.since, self.same = True, event.number, False
                self.view.note(describe_correction(event, self.way_out))
                self.way_out = ""  # which is said once
            case LaterTurnChanged():
                self.view.note(describe_later_turn(event))
            case CorrectionFinished(_, changes):
                self.since = min((each.number for each in changes), default=self.since)
                if changes or not self.same:
                    self.view.changes(changes)
                self.same = not changes
            case CorrectionCompared():
                for line in describe_effect(event):
                    self.view.note(line)
            case RunStarted():
                self.view.transient("running…")
            case RunFinished(outcome, _):
                self.view.erase()
                self.show_outcome(outcome)
            case CandidatesStarted(count, _):
                what = " for the change" if self.correcting else ""
                self.view.transient(f"comparing {count} candidates{what}… {STOPS}")
            case CandidateProgress(written, ran, count, pieces):
                done = f"{written} of {count} written" + (f", {pieces} tokens" if pieces else f", {ran} run")
                self.view.transient(f"comparing candidates: {done}… {STOPS}")
            case CandidateChosen(_, turn, _, count) if turn.corrects:  # its changes and its run come later
                self.view.note(describe_choice(count))
            case CandidateChosen(_, turn, outcome, _) if self.held.failed and failed(outcome):
                self.held.turns.append(turn)
            case CandidateChosen(session, turn, outcome, count):
                self.show_choice(session, turn, count)
                self.show_outcome(outcome)
            case RepairStarted(round, rounds, number, _):
                self.start_repair(number, f"fixing turn {number}, attempt {round} of {rounds}")
            case AttemptsExhausted():
                self.show_best(event)
            case NamesReplaced(_, names):
                self.show_replaced_names(names)

    def show_code(self, code: str) -> None:
        code, before = code.lstrip("\n"), self.before.strip()
        if before and before.startswith(code.rstrip()):
            self.view.transient("…")
            return
        if before and code.startswith(before):
            code = code[len(before) :].lstrip("\n")
        whole, _, partial = code.rpartition("\n")
        if self.correcting or self.held.repairing:
            self.view.transient(partial or whole.rpartition("\n")[2])
            return
        lines = whole.rstrip().split("\n") if whole.strip() else []
        if lines[: len(self.printed)] == self.printed and len(lines) > len(self.printed):
            self.view.erase()
            self.print_lines(lines)
        self.view.transient(partial)

    def print_lines(self, lines: list[str]) -> None:
        self.view.rows(self.view.highlight("\n".join(lines))[len(self.printed) :])
        self.printed = lines

    def show_turn(self, turn: Turn) -> None:
        self.view.erase()
        if self.correcting:
            self.show_rewritten(turn)
            return
        if self.held.repairing and turn.status != INTERRUPTED:
            self.held.turns.append(turn)
            return
        lines = turn.chunk.split("\n") if turn.chunk else []
        if lines[: len(self.printed)] != self.printed:
            self.view.note("… replaced by:")
            self.printed = []
        if lines:
            self.print_lines(lines)
        elif turn.status != INTERRUPTED:
            self.view.note("the model wrote no code; /retry tries again")
        self.printed = []
        if is_question(turn.chunk, self.view.language.sign):
            self.view.say("? the model asks a question; type your answer as the next instruction", YELLOW)
        if describe_time(turn.usage):
            self.view.note(describe_time(turn.usage))
        if turn.status == INTERRUPTED and (
            isinstance(turn.provenance, Repair | Rework | Rewrite) or self.beside
        ):
            self.view.say("■ interrupted", YELLOW)
        elif turn.status == INTERRUPTED and not turn.chunk:
            self.view.say("■ interrupted before any code; the thought so far is kept", YELLOW)
            self.view.note("/complete writes the code after it, /retry thinks again, /undo removes the turn")
            self.view.note("until its code is written, later steps go without this instruction")
        elif turn.status == INTERRUPTED and not self.view.language.runs:
            self.view.say("■ interrupted; the code so far is kept", YELLOW)
            self.view.note("/code edits it, /retry tries again, /undo removes it")
        elif turn.status == INTERRUPTED:
            broken = "" if parses(turn.chunk) else ", but it is incomplete; /code edits it"
            self.view.say(f"■ interrupted; the code so far is kept{broken}", YELLOW)
            self.view.note("/complete finishes it, /retry tries again, /undo removes it")
        elif (
            turn.usage.finish == "length"
            and turn.usage.completion_tokens < turn.provenance.sampling.max_tokens
        ):
            self.view.say("■ stopped: the context is full; /context shows how to make room", YELLOW)
        elif turn.usage.finish == "length" and not self.view.language.runs:
            self.view.say("■ stopped at max_tokens; /set max_tokens N allows longer replies", YELLOW)
        elif turn.usage.finish == "length":
            self.view.say(
                "■ stopped at max_tokens; /complete continues, /set max_tokens N allows longer replies",
                YELLOW,
            )

    def start_repair(self, number: int, label: str) -> None:
        """A repair round: shown from its start if the user asked for it, else once it has worked."""
        self.since = number
        if self.held.failed:
            self.held.repairing = label
            self.view.transient(label)
        else:
            self.fixing = True
            self.view.note(label)

    def show_best(self, event: AttemptsExhausted) -> None:
        """The best attempt, if another was shown last, and how many others fail."""
        self.view.erase()
        session, others = event.session, len(event.failing)
        live = {turn.id for turn in session.path}
        best = next((turn for turn in reversed(self.held.turns) if turn.id in live), None)
        self.held.repairing = ""
        if event.discarded:
            self.view.note("the fix runs but drops part of the request, so it was discarded; current code:")
            best = best or session.turn_at(self.since or len(session.path))
        elif best is not None:
            self.view.note("the best attempt, which is still wrong:")
        if best is not None and session.outcome is not None:
            self.view.code(best.chunk)
            self.show_verdict(session.outcome)
        if others:
            self.view.note(
                "another attempt fails, too" if others == 1 else f"{others} other attempts fail, too"
            )

    def show_replaced_names(self, names: Sequence[ReplacedName]) -> None:
        """A line for each name of an earlier turn that the turn replaces; at most a few."""
        self.view.erase()
        for each in names[:MOST_REPLACED]:
            self.view.warning(each.sentence)

    def show_outcome(self, outcome: Outcome) -> None:
        """How the program ran; for a repair that is held back, only if it works."""
        if self.held.repairing and failed(outcome):
            return
        if self.held.repairing and self.held.turns:
            self.view.note(self.held.repairing)
            self.view.code(self.held.turns[-1].chunk)
        self.held.repairing = ""
        self.held.failed = failed(outcome) and not self.fixing
        self.show_verdict(outcome)

    def show_verdict(self, outcome: Outcome) -> None:
        new, changed = self.remove_repeats(outcome)
        since = self.since or len(outcome.outputs) - self.preambles
        parts = max(len(outcome.outputs) - self.preambles - since + 1, 1)
        self.view.outcome(new, self.folder, self.hint(outcome), self.outputs_to_show(outcome), parts)
        self.view.warning(changed)
        if self.beside:
            self.known_outputs = (*outcome.outputs, *self.known_outputs[len(outcome.outputs) :])

    def outputs_to_show(self, outcome: Outcome) -> dict[int, str]:
        """The outputs to show, by turn number; {} if it is only that of the last turn."""
        last = len(outcome.outputs) - self.preambles
        texts = dict(enumerate(outcome.outputs, start=1 - self.preambles))
        known = dict(enumerate(self.known_outputs, start=1 - self.preambles))
        first = last if self.since is None else self.since

        def is_worth_showing(number: int, text: str) -> bool:
            if text.strip():
                return number == last or text != known.get(number)
            ended = number < last or not failed(outcome)
            return ended and number > first and bool(known.get(number, "").strip())

        found = {
            number: text
            for number, text in texts.items()
            if number >= first and is_worth_showing(number, text)
        }
        return {} if list(found) == [last] and found[last].strip() else found

    def show_rewritten(self, turn: Turn) -> None:
        """A chunk that replaces another: its changes are shown by a diff."""
        if describe_time(turn.usage):
            self.view.note(describe_time(turn.usage))
        if turn.status == INTERRUPTED:
            self.view.say("■ interrupted", YELLOW)

    def show_choice(self, session: Session, turn: Turn, count: int) -> None:
        self.view.erase()
        code = turn.chunk
        if turn.meant:
            why = f"meant: {turn.meant}"
        elif isinstance(turn.provenance, Rewrite):
            why = "the whole program, rewritten, works better:"
            code, self.since = assemble(session.path).source.rstrip("\n"), 1
        else:
            why = f"the best of {count} candidates:"
        self.view.note(why)
        self.printed = []
        self.print_lines(code.split("\n"))
        self.printed = []
        if changed := values_changed(session, turn):
            self.view.note(f"other values than before: {', '.join(changed)}; /undo takes the rewrite back")


def values_changed(session: Session, turn: Turn) -> tuple[str, ...]:
    """The variables to which a rewrite gives other values than the turns before the last one gave them."""
    if not isinstance(turn.provenance, Rewrite) or turn.provenance.of not in session.by_id:
        return ()
    old = session.path_to(turn.provenance.of)[:-1]
    was, now = (session.outcomes.get(each.id) for each in (old[-1] if old else turn, turn))
    if was is None or now is None:
        return ()
    before, after = (dict(line.split(":", 1) for line in each.state if ":" in line) for each in (was, now))
    return tuple(name for name in before if name in after and before[name] != after[name])


def is_question(chunk: str, sign: str = "#") -> bool:
    """Whether a turn has no code but a question, kept as a comment."""
    lines = [line for line in chunk.split("\n") if line.strip()]
    return bool(lines) and all(line.startswith(sign) for line in lines) and lines[-1].rstrip().endswith("?")
