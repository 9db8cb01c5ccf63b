"""The meter: what each part of a context takes of what the model can see, and what would make it less."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mtchat.console.console import Console
from mtchat.generate.complete import guidance_for
from mtchat.generate.context import TurnContext
from mtchat.generate.execute import error_report
from mtchat.generate.turn import TurnGenerator
from mtchat.session.fold import folded
from mtchat.session.memory import visible_turns
from mtchat.session.prompt import Prompt
from mtchat.session.turn import Turn

NAMES, NUMBERS, SHARES = 22, 8, 8  # the most columns of each


@dataclass(frozen=True)
class ContextPart:
    """One part of a context: what it is called, its tokens, and what the user can do about it."""

    name: str
    tokens: int
    remedy: str = ""


def show(console: Console, generator: TurnGenerator, instruction: str, context: TurnContext) -> None:
    """A line for each part, with its share of what the model sees; the tokens add up to the context."""
    whole = console.chat.model.card().context
    found = list(parts(console, generator, instruction, context))
    used = sum(part.tokens for part in found)
    room = min(console.chat.settings.max_tokens, whole // 2)
    found.append(ContextPart("room to reply", room, "/set max_tokens N changes it"))
    found.append(ContextPart("free", max(whole - used - room, 0)))
    width = max(len(str(part.tokens)) for part in found)
    rows = [
        (part.name, f"{part.tokens:>{width}}", f"{100 * part.tokens / whole:>5.1f} %", part.remedy)
        for part in found
    ]
    console.view.table([("part", f"{'tokens':>{width}}", "share", ""), *rows], (NAMES, NUMBERS, SHARES))


def parts(
    console: Console, generator: TurnGenerator, instruction: str, context: TurnContext
) -> Iterator[ContextPart]:
    """The parts in the order of the context; each takes what the context is longer by with it."""
    path, preamble, error = (
        console.session.path,
        console.session.preamble,
        error_report(console.session.outcome),
    )
    guidance = guidance_for(instruction, generator.policy.guidance)
    render = generator.family.render
    names = [
        ContextPart("how to answer", 0),
        ContextPart("worked examples", 0, f"of the policy {console.chat.settings.policy}"),
        ContextPart("preamble", 0),
    ]
    prompts = [render((), "", "", "", each) for each in ((), guidance)]
    prompts.append(render((), "", preamble, "", guidance))
    for number, turn in enumerate(path, start=1):
        names.append(ContextPart(f"turn {number}", 0, remedy(console, number, turn, context)))
        prompts.append(render(visible_turns(path[:number], context.memory), "", preamble, "", guidance))
    names += [ContextPart("the error", 0, "/fix mends it"), ContextPart("instruction", 0)]
    all_told = visible_turns(path, context.memory)
    prompts += [render(all_told, "", preamble, error, guidance), context.prompt]
    sizes = [0, *(size(console, prompt) for prompt in prompts)]
    for part, (before, after) in zip(names, pairwise(sizes), strict=True):
        if after != before or part.name.startswith("turn"):
            yield ContextPart(part.name, after - before, part.remedy)


def remedy(console: Console, number: int, turn: Turn, context: TurnContext) -> str:
    """What can be done about a turn, and about how many tokens it is worth."""
    saved = console.chat.model.count(turn.chunk) - console.chat.model.count(folded(turn.chunk))
    if number in context.memory.forgotten:
        return f"forgotten; /unfold {number} tells it again"
    if number in context.fitted:
        return f"folded to fit, saves {saved}; or /forget {number}"
    if number in context.memory.folded:
        return f"folded, saves {saved}; /unfold {number} tells it all"
    if saved > 0:
        return f"/fold {number} saves about {saved}"
    return f"/forget {number} drops it"


def size(console: Console, prompt: Prompt) -> int:
    return console.chat.model.count(console.chat.model.text(prompt))
