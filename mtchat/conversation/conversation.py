"""The conversation: all that can be done with a session, a model and a sandbox, by programs and people."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from mtchat.conversation import asking, checking, editing, streaming, understanding
from mtchat.conversation.asking import ignore_part
from mtchat.conversation.interfaces import OnOutput
from mtchat.conversation.live import LiveSession, ignore_output
from mtchat.conversation.ownership import exclusive
from mtchat.errors import MtchatError, UsageError
from mtchat.export import format
from mtchat.features.correction.apply import (
    DetectedCorrection,
    apply_correction,
    merge_redefinition,
    rename_correction,
)
from mtchat.features.explain.fact import Fact
from mtchat.features.explain.inquiry import Answer
from mtchat.features.explain.statements import code_parts
from mtchat.features.own_code.user_code import turn_from_code
from mtchat.features.understand.reading import (
    WRITING,
    Kind,
    LastText,
    Reading,
    Understanding,
    last_said,
    latest_with_code,
)
from mtchat.features.understand.rename import find_rename
from mtchat.generate.alternatives import retry, sample_alternatives
from mtchat.generate.events import CorrectionCompared, Event, ignore
from mtchat.generate.execute import never_ended
from mtchat.generate.improve import report_replaced_names, take
from mtchat.generate.interpretations import Alternatives
from mtchat.generate.prompt import family
from mtchat.generate.repair import FixResult, fix
from mtchat.generate.turn import VerifyDifference
from mtchat.session.hole import first_hole
from mtchat.session.navigation import go_to, redo_steps, start_branch, undo_steps
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.program import CheckResult
from mtchat.session.prompt import ModelCard, Usage
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from mtchat.store import attach

TRIED = 2  # turns that a change is tried on, where the model only repeats the code of the first


@dataclass(frozen=True)
class TurnResult:
    """A turn of the live program, its number from 1, and what the program did with it; None if not run.

    `change` says what is different since a correction that was sent; None for a next step.
    """

    number: int
    turn: Turn
    outcome: Outcome | None
    change: CorrectionCompared | None = None

    @property
    def instruction(self) -> str:
        return self.turn.instruction_as_typed

    @property
    def code(self) -> str:
        return self.turn.chunk

    @property
    def usage(self) -> Usage:
        return self.turn.usage

    @property
    def ok(self) -> bool:
        """Whether the program ran to its end without an error, and no check failed."""
        return self.outcome is not None and self.outcome.succeeded


class Conversation(LiveSession):
    """A program that grows by instructions, with a model that writes it and a sandbox that runs it.

    Every method works without a terminal. As a context manager it saves what is unsaved and closes the
    session's file at the end. What the user can act on is raised as a MtchatError; a KeyboardInterrupt keeps
    what was written, marked as interrupted, and is raised only if nothing was.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.unsaved and self.log is not None:
                self.log.write(self.session, "save")
        finally:
            self.close()

    @property
    def outcome(self) -> Outcome | None:
        """What the live program last did; None if it has not run."""
        return self.session.outcome

    def turn(self, number: int = 0) -> TurnResult:
        """Turn `number` of the live program; 0 is the last one."""
        if not self.session.path:
            raise MtchatError("the program has no turns yet; type an instruction")
        number = number or len(self.session.path)
        return TurnResult(number, self.session.turn_at(number), self.outcome)

    # Turns

    @exclusive
    def understand(self, text: str) -> Understanding:
        """What a text means after the live program: its readings, the likeliest first. Nothing is changed."""
        return understanding.understand(self, text)

    @exclusive
    def take(self, instruction: str, *, new: bool = False) -> bool:
        """Does what an instruction asks for; False if the user stopped that before anything was written."""
        if new or not self.detects_corrections:
            return self.follow(instruction, Reading(Kind.STEP))
        return self.follow(instruction, self.understand(instruction).among(WRITING).best)

    @exclusive
    def follow(self, text: str, reading: Reading) -> bool:
        """Does what a text says, read as a step, a change or a rename; False if that was stopped.

        UsageError for readings that change nothing: `check` and `ask` are for those.
        """
        if reading.kind not in WRITING:
            raise UsageError(f"a {reading.kind} writes no code; use check or ask")
        if not text.strip():
            raise UsageError("an instruction needs some text")
        before, self.last_change = self.session, None
        if reading.kind is Kind.RENAME and (rename := find_rename(self.session.path, text)):
            done = self.apply(rename_correction(rename, self.session.path, text))
        elif reading.kind is Kind.STEP or not reading.turn:
            done = self.step(text)
        else:
            done = self.apply(DetectedCorrection(reading.turn, text, others=reading.turns[1:TRIED]))
        self.last_text = self.last_text.after(text, before.head).with_result(reading, self.session.head)
        return done

    def step(self, instruction: str) -> bool:
        """The next turn; one that only defines an earlier turn's function again changes that turn."""
        before, said = self.session, self.resolve_references(instruction)
        generator, sampling = self.generator(), self.settings.sampling
        made = take(generator, before, said.text, sampling, typed=said.typed)
        if self.detects_corrections:
            made = merge_redefinition(generator, before, made)
        return self.keep_result(before, made, "turn")

    @exclusive
    def read_as(self, kind: Kind, number: int = 0) -> bool:
        """Takes the last text for something else, as if it had been read so at first; False if stopped.

        What was already written for that reading is brought back, and no model is asked. `number` is the turn
        that a change is about, 0 the likeliest. A reading that comes to nothing, or is stopped before it has,
        leaves the program as it was.
        """
        last = self.last_text = self.known_text()
        if not last.text:
            raise UsageError("there is no instruction yet that could be read in another way")
        turns: tuple[int, ...] = (number,) if number else ()
        before, path = self.session.head, self.session.path_to(last.base)
        changeable = path[number - 1 : number] if number else path
        if kind is not Kind.STEP and not any(turn.chunk.strip() for turn in changeable):
            raise UsageError("there is no earlier turn that could be changed; it stays as it is")
        if made := last.result(kind, number):
            self.keep(self.session.move(made), "goto")
            return True
        self.keep(self.session.move(last.base), "undo")
        if kind is not Kind.STEP and not number:
            turns = self.understand(last.text).turns or latest_with_code(path)
        done = self.follow(last.text, Reading(kind, 1.0, turns))
        if self.session.head == last.base != before:
            self.keep(self.session.move(before), "goto")
        return done

    def known_text(self) -> LastText:
        """The last text, which can be read in another way: as it was read here, or as the turns tell it."""
        return self.last_text if self.last_text.knows(self.session) else last_said(self.session)

    def keep_result(self, before: Session, made: Session, why: str) -> bool:
        """Keeps what was made; False if that is nothing."""
        if made is not before:
            self.keep(made, why)
        return made is not before

    @exclusive
    def send(self, instruction: str, *, new: bool = False) -> TurnResult:
        """Takes a turn, or changes an earlier one if the instruction is a correction and not `new`."""
        before = self.session.path
        if not self.take(instruction, new=new):
            raise KeyboardInterrupt
        path = self.session.path
        changed = (at for at, turn in enumerate(path, start=1) if at > len(before) or turn != before[at - 1])
        return replace(self.turn(next(changed, len(path))), change=self.last_change)

    def stream(self, instruction: str, *, new: bool = False) -> Iterator[Event]:
        """As `send`, giving the events as they happen.

        Closing the iterator acts as Ctrl-C does: it ends generation, and keeps what was written.
        """
        return streaming.stream_events(self, lambda: self.send(instruction, new=new))

    @exclusive
    def add(self, code: str) -> TurnResult:
        """A turn with code that the user wrote, run as any other; no model is asked for it."""
        self.keep(self.session.add(turn_from_code(code, self.session)), "turn")
        self.keep(self.run_session(self.session), "turn")
        return self.turn()

    @exclusive
    def correct(self, text: str, number: int = 0) -> bool:
        """Changes turn `number`, or the one that the text is about, and others where they must follow.

        Other turns keep their code as far as it fits. CorrectionCompared is the event that says what differs.
        False if that was stopped before anything was written.
        """
        if number:
            self.session.turn_at(number)  # or the error that there is no such turn
            return self.follow(text, Reading(Kind.CHANGE, 1.0, (number,)))
        understood = self.understand(text)
        if understood.best.kind is Kind.RENAME:
            return self.follow(text, understood.best)
        if not understood.turns:
            raise MtchatError("no turn has code to change yet")
        return self.follow(text, Reading(Kind.CHANGE, 1.0, understood.turns))

    def apply(self, correction: DetectedCorrection) -> bool:
        """Changes a turn; False if that was stopped before anything was written."""
        before = self.session
        made = apply_correction(self.generator(), before, correction, self.settings.sampling)
        return self.keep_result(before, made, "correction")

    @exclusive
    def retry(self) -> bool:
        """Asks for the last turn again, at a higher temperature; False if nothing was written."""
        before = self.session
        return self.keep_result(before, retry(self.generator(), before, self.settings.sampling), "retry")

    @exclusive
    def compare(self, count: int) -> Alternatives:
        """Draws `count` other candidates for the last turn and groups them by what they do; it stays live."""
        if not self.runs_unseen_code:
            raise UsageError("comparing candidates runs them without asking; /set run on allows that")
        require_count("count", count)
        generator = self.quiet_generator()
        with self.waiting(lambda: f"generating {count} more candidates", str):
            spread = sample_alternatives(generator, self.session, self.settings.sampling, count)
        self.keep(spread.session, "retry")
        return spread

    def alternatives(self) -> tuple[Turn, ...]:
        """All candidates for the last turn's instruction, each code once, in the order they were made.

        What stands in the same place for another instruction, as on another branch, is none of them.
        """
        last = self.turn().turn
        found = {last.chunk: last}
        for turn in self.session.children(last.parent):
            if turn.instruction == last.instruction or turn.instruction_as_typed == last.instruction_as_typed:
                found.setdefault(turn.chunk, turn)
        order = {turn.id: position for position, turn in enumerate(self.session.turns)}
        return tuple(sorted(found.values(), key=lambda turn: order[turn.id]))

    @exclusive
    def pick(self, number: int) -> TurnResult:
        """Makes one of the `alternatives` the last turn, by its number from 1."""
        require_count("number", number)
        tries = self.alternatives()
        if not 1 <= number <= len(tries):
            there = "there is 1 candidate" if len(tries) == 1 else f"there are {len(tries)} candidates"
            raise UsageError(f"no candidate {number}: {there}; /pick lists them")
        self.keep(self.session.undo().add(tries[number - 1]), "pick")
        checking.evaluate_unknown(self)
        return self.turn()

    @exclusive
    def edit(self, number: int, instruction: str) -> editing.EditResult:
        """Turn `number` generated from another instruction, and the later ones that no longer fit."""
        return self.editor().reword(number, instruction)

    @exclusive
    def recode(self, number: int, code: str) -> editing.EditResult:
        """Turn `number` with this code, whose holes (<<fill>>) the model fills; then the later ones."""
        self.session.turn_at(number)  # or the error that there is no such turn
        filler = ""
        if first_hole(code):
            code = editing.fill_turn(self, number, code)
            filler = self.model.card().name
        return self.editor().recode(number, code, filler)

    def editor(self) -> editing.TurnEditor:
        return editing.TurnEditor(self, dry_run=self.dry_run if self.can_dry_run else None)

    @exclusive
    def drop(self, number: int) -> editing.EditResult:
        """Takes turn `number` out of the program and runs it; the later turns keep their code."""
        edit = editing.drop_turn(self, number)
        if number <= len(edit.after.path):
            self.keep(self.run_session(self.session), "drop")
        return replace(edit, after=self.session)

    @exclusive
    def fix(self, rounds: int = 3) -> FixResult:
        """Asks the model to repair the turn that fails. However it ends, the best program is the live one."""
        require_count("rounds", rounds)
        self.require_sandbox()
        generator = replace(self.generator(), run=self.approved_run)
        before = self.session.head
        fixed = fix(generator, self.session, self.settings.sampling, rounds)
        if fixed.session.head != before:
            fixed = replace(fixed, session=report_replaced_names(generator, fixed.session))
        self.keep(fixed.session, "fix")
        return fixed

    # The tree of turns

    @exclusive
    def undo(self, steps: int = 1) -> tuple[Turn, ...]:
        """Takes back the last steps, a turn or a correction each; gives what they had made, last first."""
        require_count("steps", steps)
        session, left = undo_steps(self.session, steps)
        self.keep(session, "undo")
        checking.evaluate_unknown(self)
        return left

    @exclusive
    def redo(self, steps: int = 1) -> tuple[Turn, ...]:
        """Brings back what `undo` took back."""
        require_count("steps", steps)
        session, back = redo_steps(self.session, steps)
        self.keep(session, "redo")
        checking.evaluate_unknown(self)
        return back

    @exclusive
    def branch(self, name: str) -> None:
        """Gives the live branch a name, which moves along with its new turns."""
        self.keep(start_branch(self.session, name), "branch")

    @exclusive
    def goto(self, goal: str | int) -> None:
        """Makes another turn the last one: a number, a label of /tree, a branch, or "start"."""
        self.keep(go_to(self.session, str(goal)), "goto")
        checking.evaluate_unknown(self)

    # The program

    def verify(self) -> Iterator[VerifyDifference | None]:
        """Generates each turn that this model wrote again, from its seed; None for each that is the same.

        Turns that another model wrote, or this one at another precision, are passed over.
        """
        generator, session_language = self.generator(ignore), self.session.language
        mine = [turn for turn in self.session.path if was_written_by(turn, generator.card)]
        for name in dict.fromkeys(turn.provenance.family for turn in mine):
            wanted = {turn.id for turn in mine if turn.provenance.family == name}
            yield from replace(generator, family=family.load(name, session_language)).verify(
                self.session, wanted
            )

    @exclusive
    def check(self, text: str) -> CheckResult:
        """Keeps a check with its turn, as in "total == 42" or "2: names has 3 entries", and evaluates it.

        Words become Python: the model proposes an expression, and the live state tests it.
        """
        return checking.add_check(self, checking.read_check(self, text))

    def explain(self, number: int = 0) -> str:
        """What each line of a turn does, as far as the code alone tells."""
        turn = self.turn(number)
        lines = turn.code.split("\n")
        before = replace(self.session, head=turn.turn.id).program.source
        explained: Iterator[Sequence[str]] = (
            (*lines[part.first - 1 : part.last], f"    {part.words}")
            for part in code_parts(turn.code, before)
        )
        return "\n".join(itertools.chain.from_iterable(explained))

    @exclusive
    def ask(
        self,
        question: str,
        *,
        known: Sequence[Fact] = (),
        on_part: Callable[[Fact | str], None] = ignore_part,
    ) -> Answer:
        """Answers a question about the program, which stays as it is: no turn is added, nothing is saved.

        The facts come from the code, the values of the last run and the documentation of libraries; then the
        model adds its words. No code runs that the program does not have. `known` are further facts that the
        answer may rely on, and `on_part` gets each part as soon as it is there.
        """
        return asking.ask(self, question, known, on_part)

    @exclusive
    def run(
        self,
        arguments: str | Iterable[str] = (),
        stdin: str | Path | None = None,
        on_output: OnOutput = ignore_output,
    ) -> Outcome:
        """Runs the whole program from its first line; recorded if it was given no arguments and no input.

        One string is one argument. `stdin` is the file that the program reads its input from.
        """
        self.turn()
        words = as_arguments(arguments)
        if not isinstance(stdin, str | os.PathLike | None):
            raise UsageError(f"stdin must be the path of a file, not {stdin!r}")
        file = None if stdin is None else Path(stdin)
        self.require_sandbox()
        self.run_whole(words, file, on_output)
        return self.record(words, file)

    @exclusive
    def vars(self) -> tuple[Variable, ...]:
        """The variables that the program has at its end, or where it fails."""
        self.turn()
        return self.run_for_variables().variables

    @exclusive
    def attach(self, paths: str | Path | Iterable[str | Path], *, save: bool = True) -> None:
        """Gives programs copies of a file or folder, or of several.

        Without `save`, that is saved with the next turn.
        """
        files = as_paths(paths)
        session = attach(self.session, files, self.settings.disk_mib)
        if save:
            self.keep(session, "attach")
        else:
            self.session = session
        self.remember_attached(files)

    def export(self, kind: str = "py") -> str:
        """The program in a format such as "py", "ipynb" or "md"."""
        return format.load_format(kind).text(self.session)

    @property
    def has_run(self) -> bool:
        """Whether the live program has been run to its end, well or badly."""
        return not never_ended(self.outcome)


def require_count(name: str, value: object) -> None:
    """UsageError if a number that was given is not a whole one of at least 1."""
    if not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}")


def as_paths(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """One path or several as a list; UsageError if it is something else."""
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    try:
        found = [os.fspath(each) for each in several]
    except TypeError:
        raise UsageError(f"attach takes one path or several, not {paths!r}") from None
    if "" in found:
        raise UsageError("the file name is empty; use . for the current folder")
    return [Path(each) for each in found]


def as_arguments(arguments: str | Iterable[str]) -> tuple[str, ...]:
    """The arguments of a program, of which one may be given alone; UsageError if they are not strings."""
    if isinstance(arguments, str):
        return (arguments,)
    try:
        words = tuple(arguments)
    except TypeError:
        raise UsageError(f"run takes strings as arguments, not {arguments!r}") from None
    for word in words:
        if not isinstance(word, str):
            raise UsageError(f"run takes strings as arguments, not {word!r}")
    return words


def was_written_by(turn: Turn, card: ModelCard) -> bool:
    """Whether these weights, at this precision, wrote a turn."""
    made = turn.provenance
    return bool(made.model) and (made.fingerprint, made.precision) == (card.fingerprint, card.precision)
