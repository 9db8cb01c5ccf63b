"""How many tokens each part of the context takes, its share of the window, and how to reduce it."""

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
    """One part of the context: its name, its tokens, and how the user can reduce them."""

    name: str
    tokens: int
    advice: str = ""


def show(console: Console, generator: TurnGenerator, instruction: str, context: TurnContext) -> None:
    """A line for each part, with its share of the context window; the tokens add up to the prompt."""
    whole = console.chat.model.card().context
    found = list(parts(console, generator, instruction, context))
    used = sum(part.tokens for part in found)
    room = min(console.chat.settings.max_tokens, whole // 2)
    found.append(ContextPart("room to reply", room, "/set max_tokens N changes it"))
    found.append(ContextPart("free", max(whole - used - room, 0)))
    width = max(len(str(part.tokens)) for part in found)
    rows = [
        (part.name, f"{part.tokens:>{width}}", f"{100 * part.tokens / whole:>5.1f} %", part.advice)
        for part in found
    ]
    console.view.table([("part", f"{'tokens':>{width}}", "share", ""), *rows], (NAMES, NUMBERS, SHARES))


def parts(
    console: Console, generator: TurnGenerator, instruction: str, context: TurnContext
) -> Iterator[ContextPart]:
    """The parts in the order of the prompt; each takes the tokens by which it lengthens the prompt."""
    path, preamble, error = (
        console.session.path,
        console.session.preamble,
        error_report(console.session.outcome),
    )
    guidance = guidance_for(instruction, generator.policy.guidance)
    render = generator.family.render
    names = [
        ContextPart("system prompt", 0),
        ContextPart("worked examples", 0, f"of policy {console.chat.settings.policy}"),
        ContextPart("preamble", 0),
    ]
    prompts = [render((), "", "", "", each) for each in ((), guidance)]
    prompts.append(render((), "", preamble, "", guidance))
    for number, turn in enumerate(path, start=1):
        names.append(ContextPart(f"turn {number}", 0, advise(console, number, turn, context)))
        prompts.append(render(visible_turns(path[:number], context.memory), "", preamble, "", guidance))
    names += [ContextPart("the error", 0, "/fix resolves it"), ContextPart("instruction", 0)]
    everything = visible_turns(path, context.memory)
    prompts += [render(everything, "", preamble, error, guidance), context.prompt]
    sizes = [0, *(size(console, prompt) for prompt in prompts)]
    for part, (before, after) in zip(names, pairwise(sizes), strict=True):
        if after != before or part.name.startswith("turn"):
            yield ContextPart(part.name, after - before, part.advice)


def advise(console: Console, number: int, turn: Turn, context: TurnContext) -> str:
    """How to reduce a turn, and about how many tokens that saves."""
    saved = console.chat.model.count(turn.chunk) - console.chat.model.count(folded(turn.chunk))
    if number in context.memory.forgotten:
        return f"forgotten; /unfold {number} sends it again"
    if number in context.fitted:
        return f"folded to fit, saves {saved}; or /forget {number}"
    if number in context.memory.folded:
        return f"folded, saves {saved}; /unfold {number} sends all of it"
    if saved > 0:
        return f"/fold {number} saves about {saved}"
    return f"/forget {number} leaves it out"


def size(console: Console, prompt: Prompt) -> int:
    return console.chat.model.count(console.chat.model.text(prompt))
