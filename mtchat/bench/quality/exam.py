"""The score of a program that has to pass assertions."""

from mtchat.bench.quality.ending import ending
from mtchat.bench.quality.suite import Run, Score
from mtchat.session.program import PREAMBLE, Chunk, Program

# The references run a script with no name of its own, so that its main block stays out.
NAMELESS = '__name__ = "builtins"'
END = "pass"  # not reached where the program ends itself while it is tested


def examined(codes: tuple[str, ...], run: Run) -> Score:
    """Codes run one after another in one module, the tests last; any error of theirs fails the program."""
    chunks = tuple(Chunk(turn, code) for turn, code in enumerate((NAMELESS, *codes, END), start=PREAMBLE))
    outcome = run(Program(chunks))
    return Score(outcome.ok, outcome.ok, ending(outcome))
