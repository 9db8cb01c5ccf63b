"""The contract of a benchmark suite, its tasks and scores, and what suites share to score a program."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from mtchat import plugins
from mtchat.bench.quality.data import DataFormat
from mtchat.bench.quality.program_measures import ProgramMeasures, measure_program
from mtchat.generate.execute import RunProgram
from mtchat.session.outcome import Outcome
from mtchat.session.program import PREAMBLE, Chunk, Program

SUITES = "mtchat.bench.quality.suites"
MULTI, SINGLE, COMPLETION = "multi", "single", "completion"
WRONG = "wrong"
RAISED = re.compile(r"^[^:]*: (?:[\w<>]+\.)*([A-Za-z_]\w*)(?::|$)")
KILLED = re.compile(r"killed by (\w+)")
# The references run a script under a name other than __main__, so that its main block does not run.
NAMELESS = '__name__ = "builtins"'
END = "pass"  # not reached if the program exits during its tests

Tasks = Sequence["Task"]


@dataclass(frozen=True)
class Task:
    """One conversation of a benchmark: the instructions in order, and what is needed to score the program.

    `input` numbers the inputs of a problem that has several; `length` is the token limit of a reply. With
    `prompt` there is no conversation: the model continues this text up to the first of `stops`. `facts` are
    the suite's own JSON values. `reference` is a program that solves the problem, "" if the data has none.
    `changes` are the places, from 0, of the instructions that change what an earlier one has made.
    """

    problem: str
    input: int
    category: str
    instructions: tuple[str, ...]
    length: int
    preamble: str = ""
    prompt: str = ""
    stops: tuple[str, ...] = ()
    facts: Any = None
    reference: str = ""
    changes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Score:
    """How a program did. `compatible` is the verdict of the published script; `strict` also requires that
    the program ends without an error. `error` is "" if it passes strictly, "wrong" for a wrong value, else
    the name of what stopped it: SyntaxError, NameError, seconds, ...
    """

    compatible: bool
    strict: bool
    error: str = ""


Scoring = Callable[[Task, Sequence[str], RunProgram], Score]


@dataclass(frozen=True)
class ScoredSample:
    """One line of a run's results: one sample of one conversation, scored.

    `turns` counts the instructions; `written` the tokens generated over all candidates, in `seconds` of wall
    clock, and `thought` those of thoughts, which are counted apart. `tried` counts the extra candidates and
    `mended` the turns that a policy changed; `certainty` is the mean log-probability of a token of each turn,
    in nats, and `clock` the seconds of each turn. A simulated user was `asked` questions, `answered` those
    for which some interpretation passes, and of these `needless` counts those whose first interpretation
    passes. `readings` says what each instruction was taken for, such as "step" or "change 2". `measures` says
    what the program is like; older files lack it.
    """

    problem: str
    input: int
    sample: int
    category: str
    turns: int
    chunks: tuple[str, ...]
    program: str
    prompt_tokens: int = 0
    written: int = 0
    seconds: float = 0.0
    tried: int = 0
    mended: int = 0
    compatible: bool = False
    strict: bool = False
    error: str = ""
    certainty: tuple[float, ...] = ()
    clock: tuple[float, ...] = ()
    asked: int = 0
    answered: int = 0
    needless: int = 0
    readings: tuple[str, ...] = ()
    measures: ProgramMeasures | None = None
    thought: int = 0

    def measured(self) -> ProgramMeasures:
        """The measures of the program; those of a row that lacks them do not know the reference."""
        return self.measures or measure_program(self.program, self.chunks)


class Suite(Protocol):
    """What a file of suites/ defines: TITLE is the benchmark's name, MODES its modes, the default first.

    NEEDED says what a data file must hold, which no two suites share.
    """

    TITLE: str
    NEEDED: DataFormat
    MODES: tuple[str, ...]

    def tasks(self, data: Path | None, mode: str) -> Sequence[Task]:
        """Every conversation of the benchmark; MtchatError says where to get the data."""

    def score(self, task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
        """The verdicts on the chunks that the turns of a task gave; `run` runs a program in the sandbox."""


def load(name: str) -> Suite:
    return cast(Suite, plugins.load(SUITES, name))


def name_failure(outcome: Outcome) -> str:
    """One word to count failures by: the limit that stopped a run, or the name of its exception or signal,
    else "ended" if it exited early; "" if all went well. A failed assertion is a wrong value.
    """
    if outcome.ok:
        return ""
    if outcome.limit:
        return outcome.limit
    if found := RAISED.search(outcome.error) or KILLED.search(outcome.error):
        return WRONG if found[1] == "AssertionError" else found[1]
    return "ended"


def run_tests(codes: tuple[str, ...], run: RunProgram) -> Score:
    """Run codes one after another in one module, the tests last; any error fails the program."""
    chunks = tuple(Chunk(turn, code) for turn, code in enumerate((NAMELESS, *codes, END), start=PREAMBLE))
    outcome = run(Program(chunks))
    return Score(outcome.ok, outcome.ok, name_failure(outcome))
