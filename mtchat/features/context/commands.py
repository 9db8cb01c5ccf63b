"""Commands for what the model sees: context, fold, unfold, forget."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from mtchat.console.captions import describe_cost
from mtchat.console.console import Console
from mtchat.console.slash import Command
from mtchat.edits.fold import fold_code
from mtchat.features.context.view import folded_note, parse_turns, set_context, turn_choices
from mtchat.generate.context import TurnContext, can_fold, visible_turns, with_files
from mtchat.generate.prompt.family import WORKED, leave_out
from mtchat.generate.prompt.state import with_state
from mtchat.generate.turn import TurnGenerator
from mtchat.session.names import bound_names, describe_users, parses
from mtchat.session.prompt import Prompt
from mtchat.session.provenance import Step
from mtchat.session.turn import FOLDED, FORGOTTEN, WHOLE, Turn

NAMES, NUMBERS, SHARES = 22, 8, 8  # the most columns of each
MOST = 8  # names in a message


def do_context(console: Console, argument: str) -> None:
    """Shows exactly what the model will see with the next instruction, and the tokens of each part.

    Each part comes with its share of the context and with a way to shorten it. If the whole does not fit, the
    oldest turns are folded: the model sees only imports, names and signatures of their code.
    """
    generator = console.generator()
    instruction = console.chat.resolve_references(argument.strip()).text or "(your next instruction)"
    context = generator.context(console.session, instruction, console.chat.settings.sampling)
    console.view.line(console.chat.model.text(context.prompt).rstrip("\n"))
    console.view.line()
    show_usage(console, generator, instruction, context)
    tokens, whole = prompt_tokens(console, context.prompt), console.chat.model.card().context
    console.view.note(
        f"{tokens} of {whole} tokens; family {generator.family_name}, model {console.chat.model.name}"
    )
    path = console.session.path
    if path and path[-1].usage.completion_tokens:
        console.view.note(f"turn {len(path)} was written with {describe_cost(path[-1].usage)}")
    if context.fitted:
        console.view.note(folded_note(context.fitted))
    if context.problem:
        console.view.error(context.problem)


def do_fold(console: Console, argument: str) -> None:
    """Shows the model only imports, names, signatures and docstrings of turn K; the program keeps its code.

    K may be several turns, for example /fold 1-3 5. /unfold K shows all of the code again.
    """
    for number in parse_turns(console.session, argument, "fold"):
        turn = console.session.turn_at(number)
        if not can_fold(turn):
            why = "is already short" if parses(turn.chunk) else "is not complete Python"
            console.view.note(f"turn {number} {why}, so it cannot be folded; /forget {number} leaves it out")
            continue
        console.chat.keep(set_context(console.session, number, FOLDED), "fold")
        console.view.say(
            f"turn {number} is folded; the program keeps its code, and the model sees only this:"
        )
        console.view.code(fold_code(turn.chunk))


def complete_fold(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)


def do_unfold(console: Console, argument: str) -> None:
    """Shows the model all of turn K again, after /fold or /forget."""
    for number in parse_turns(console.session, argument, "unfold"):
        turn = console.session.turn_at(number)
        mark = console.session.options_of(turn.id)
        if mark.context == WHOLE:
            console.view.note(f"the model already sees all of turn {number} (if it fits); /context shows it")
            continue
        console.chat.keep(set_context(console.session, number, WHOLE), "unfold")
        console.view.say(f"turn {number} was {mark.context}; the model now sees all of it")


def complete_unfold(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)


def do_forget(console: Console, argument: str) -> None:
    """Hides turn K from the model; the program keeps its code.

    K may be several turns, for example /forget 1-3 5. The command says which later turns use names of K.
    /forget -d K or /unfold K shows the turn again.
    """
    word, _, rest = argument.strip().partition(" ")
    if word == "-d":
        recall_turns(console, rest)
        return
    for number in parse_turns(console.session, argument, "forget"):
        console.chat.keep(set_context(console.session, number, FORGOTTEN), "forget")
        console.view.say(
            f"turn {number} is forgotten: the program keeps its code, but the model does not see it"
        )
        warn_about_uses(console, number)


def recall_turns(console: Console, argument: str) -> None:
    for number in parse_turns(console.session, argument, "show again"):
        if console.session.options_of(console.session.turn_at(number).id).context != FORGOTTEN:
            console.view.note(f"turn {number} is not forgotten")
            continue
        console.chat.keep(set_context(console.session, number, WHOLE), "forget")
        console.view.say(f"turn {number} was forgotten; the model now sees all of it")


def warn_about_uses(console: Console, number: int) -> None:
    """Says which names the model no longer knows, and where they are used."""
    if uses := describe_users(console.session.path, number):
        console.view.note(f"{uses}, which the model no longer sees")
    names = tuple(sorted(bound_names(console.session.turn_at(number).chunk)))
    if names:
        console.view.note(
            f"new turns will not know {shorten_names(names)}: describe what they need, or /unfold {number}"
        )


def shorten_names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def complete_forget(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)


@dataclass(frozen=True)
class ContextPart:
    """One part of the context: its name, its tokens, and how the user can reduce them."""

    name: str
    tokens: int
    advice: str = ""


def show_usage(console: Console, generator: TurnGenerator, instruction: str, context: TurnContext) -> None:
    """A line for each part, with its share of the context window; the tokens add up to the prompt."""
    whole = console.chat.model.card().context
    found = list(context_parts(console, generator, instruction, context))
    used = sum(part.tokens for part in found)
    room = min(console.chat.settings.max_tokens, whole // 2)
    if think := context.prompt.think:
        think = min(think, max(whole - used - room, 0))
        found.append(ContextPart("room to think", think, "/set think N changes it"))
        room += think
    found.append(ContextPart("room to reply", room - think, "/set max_tokens N changes it"))
    found.append(ContextPart("free", max(whole - used - room, 0)))
    width = max(len(str(part.tokens)) for part in found)
    rows = [
        (part.name, f"{part.tokens:>{width}}", f"{100 * part.tokens / whole:>5.1f} %", part.advice)
        for part in found
    ]
    console.view.table([("part", f"{'tokens':>{width}}", "share", ""), *rows], (NAMES, NUMBERS, SHARES))


def context_parts(
    console: Console, generator: TurnGenerator, instruction: str, context: TurnContext
) -> Iterator[ContextPart]:
    """The parts in the order of the prompt; each takes the tokens by which it lengthens the prompt."""
    path, preamble = console.session.path, console.session.preamble
    step = generator.step(console.session, instruction, console.chat.settings.sampling).provenance
    assert isinstance(step, Step)
    error, guidance, render = step.error, step.guidance, generator.family.render
    names = [
        ContextPart("system prompt", 0),
        ContextPart("worked examples", 0, f"of policy {console.chat.settings.policy}"),
        ContextPart("preamble", 0),
    ]
    prompts = [render((), "", "", "", each) for each in (leave_out(guidance, WORKED), guidance)]
    prompts.append(render((), "", preamble, "", guidance))
    for number, turn in enumerate(path, start=1):
        names.append(ContextPart(f"turn {number}", 0, advise(console, number, turn, context)))
        prompts.append(render(visible_turns(path[:number], context.plan), "", preamble, "", guidance))
    names += [
        ContextPart("the error", 0, "/fix resolves it"),
        ContextPart("attached files", 0, "/attach -d NAME detaches one"),
        ContextPart("state of the program", 0, "/set state off leaves it out"),
        ContextPart("instruction", 0),
    ]
    everything, files = visible_turns(path, context.plan), with_files(step.files, "")
    for text in ("", files, with_state(step.state, files)):
        prompts.append(render(everything, text, preamble, error, guidance))
    prompts.append(context.prompt)
    alike = (replace(prompt, think=context.prompt.think) for prompt in prompts)
    sizes = [0, *(prompt_tokens(console, prompt) for prompt in alike)]
    for part, (before, after) in zip(names, pairwise(sizes), strict=True):
        if after != before or part.name.startswith("turn"):
            yield ContextPart(part.name, after - before, part.advice)


def advise(console: Console, number: int, turn: Turn, context: TurnContext) -> str:
    """How to reduce a turn, and about how many tokens that saves."""
    saved = console.chat.model.count(turn.chunk) - console.chat.model.count(fold_code(turn.chunk))
    if number in context.plan.forgotten:
        return f"forgotten; /unfold {number} sends it again"
    if number in context.fitted:
        return f"folded to fit, saves {saved}; or /forget {number}"
    if number in context.plan.folded:
        return f"folded, saves {saved}; /unfold {number} sends all of it"
    if saved > 0:
        return f"/fold {number} saves about {saved}"
    return f"/forget {number} leaves it out"


def prompt_tokens(console: Console, prompt: Prompt) -> int:
    return console.chat.model.count(console.chat.model.text(prompt))


COMMANDS = (
    Command("context", do_context, usage="[TEXT]"),
    Command("fold", do_fold, usage="K...", complete=complete_fold, python_only=True),
    Command("unfold", do_unfold, usage="K...", complete=complete_unfold),
    Command("forget", do_forget, usage="[-d] K...", complete=complete_forget),
)
