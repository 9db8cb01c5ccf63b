"""Counts what one turn costs: files of mtchat that it goes through, and calls of their functions.

Run as `python -m evals.turn_cost`. Model and sandbox are fakes, so that only mtchat's own work counts; a
chain of comprehensions or properties counts as calls, too. The second turn is measured: everything that is
imported or cached once is there by then.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import mtchat
from mtchat.conversation.conversation import Conversation
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.settings import Settings
from mtchat.testing import FakeModel

HOUSE = str(Path(mtchat.__file__).parent)


class NoSandbox:
    """Runs nothing, and says that each part of the program ran and printed a line."""

    def run(self, program: Program, *rest: object) -> Outcome:
        outputs = tuple("1\n" for _ in program.chunks)
        return Outcome("fake", stdout="".join(outputs), outputs=outputs)

    resume = run

    def unavailable_reason(self) -> str:
        return ""

    def warning(self) -> str:
        return ""

    def close(self) -> None: ...


def cost(policy: str, turns: int) -> Counter[str]:
    """Calls by file of the last of some turns."""
    model = FakeModel({}, default="x = 1\nprint(x)")
    chat = Conversation(model, NoSandbox(), settings=Settings(policy=policy))
    for number in range(turns - 1):
        chat.send(f"print the number {number}", new=True)
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(HOUSE) and not file.endswith("testing.py"):
            calls[file.removeprefix(HOUSE)[1:]] += 1

    sys.setprofile(count)
    try:
        chat.send("print the last number", new=True)
    finally:
        sys.setprofile(None)
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", default="plain")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--files", action="store_true", help="list the files")
    args = parser.parse_args()
    calls = cost(args.policy, args.turns)
    print(f"policy {args.policy}, turn {args.turns}: {len(calls)} files, {calls.total()} calls")
    for file, count in calls.most_common() if args.files else ():
        print(f"{count:6} {file}")


if __name__ == "__main__":
    main()
