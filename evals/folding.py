"""Measures the cost of folding: MTPB with all turns but the last folded, against the full context.

    python -m evals.folding --data mtpb.jsonl [--model starter-small] [--problems 12] [--inputs 3]

The problems are those with the longest programs when each is run once, with its first input. Measured with
starter-small on 12 of 65 problems, three inputs each: 14 of 36 programs pass with the full context, and 15
with all but the last turn folded (3 differ), with 1434 and 1229 prompt tokens per conversation.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from mtchat.bench.quality.evaluate import Evaluation, run_task
from mtchat.bench.quality.suite import MULTI, ScoredSample, Task
from mtchat.bench.quality.suites import mtpb
from mtchat.conversation.conversation import Conversation
from mtchat.generate.context import visible_turns
from mtchat.generate.events import EventHandler
from mtchat.generate.prompt.family import Cut, Family
from mtchat.generate.turn import TurnGenerator
from mtchat.inference import batching
from mtchat.models import loader
from mtchat.models.loading import Model
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.program import NO_INPUTS
from mtchat.session.prompt import Prompt
from mtchat.session.provenance import ContextPlan
from mtchat.session.settings import Limits, Settings
from mtchat.session.turn import Turn

LIMITS = Limits(seconds=10.0)
LANES = 8


@dataclass(frozen=True)
class Folding:
    """A family that folds all turns but the last."""

    family: Family

    def matches(self, card: object) -> bool:
        return False

    def render(
        self, path: Sequence[Turn], instruction: str, preamble: str, error: str, guidance: Sequence[str] = ()
    ) -> Prompt:
        return self.family.render(folded(path), instruction, preamble, error, guidance)

    def repair(self, path: Sequence[Turn], preamble: str, error: str, guidance: Sequence[str] = ()) -> Prompt:
        return self.family.repair(folded(path), preamble, error, guidance)

    def cut(self, text: str) -> Cut:
        return self.family.cut(text)

    def chunk(self, text: str, before: str) -> str:
        return self.family.chunk(text, before)


class FoldingConversation(Conversation):
    """A conversation whose model sees the last turn alone in full."""

    def generator(self, on_event: EventHandler | None = None) -> TurnGenerator:
        made = super().generator(on_event)
        return replace(made, family=Folding(made.family))


def folded(path: Sequence[Turn]) -> tuple[Turn, ...]:
    return visible_turns(path, ContextPlan(tuple(range(1, len(path)))))


def held(tasks: Sequence[Task], model: Model, kind: type[Conversation]) -> list[ScoredSample]:
    """The conversations of some tasks, several in parallel."""
    settings = Settings(policy="plain", corrections=False)
    bench = Evaluation(mtpb.score, model, settings, conversation=kind)

    def one(task: Task) -> ScoredSample:
        with Sandbox() as ground:
            return run_task(
                bench,
                task,
                0,
                lambda program: ground.trial(program, LIMITS, NO_INPUTS),
                lambda program: ground.run(program, LIMITS, None),
            )

    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(one, tasks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="starter-small")
    parser.add_argument("--problems", type=int, default=12)
    parser.add_argument("--inputs", type=int, default=3)
    args = parser.parse_args()
    tasks = mtpb.tasks(args.data, MULTI)
    batcher = batching.start_batcher(loader.load(args.model, "auto", lambda stage: None, "cpu"), LANES)
    try:
        firsts = held([task for task in tasks if task.input == 0], batcher, Conversation)
        firsts.sort(key=lambda row: len(row.program), reverse=True)
        chosen = {row.problem for row in firsts[: args.problems]}
        print(f"longest of {len(firsts)}: {', '.join(row.problem for row in firsts[: args.problems])}")
        asked = [task for task in tasks if task.problem in chosen and task.input < args.inputs]
        for name, kind in (("whole", Conversation), ("folded", FoldingConversation)):
            tell(name, held(asked, batcher, kind))
    finally:
        batcher.close()


def tell(name: str, rows: Sequence[ScoredSample]) -> None:
    read = sum(row.prompt_tokens for row in rows) / len(rows)
    print(
        f"{name}: {sum(row.compatible for row in rows)} of {len(rows)} pass as published, "
        f"{sum(row.strict for row in rows)} strictly; {read:.0f} tokens read a conversation"
    )
    for row in rows:
        print(f"  {row.problem}/{row.input} {row.strict} {row.error}", file=sys.stderr)


if __name__ == "__main__":
    main()
