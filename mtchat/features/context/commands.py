"""Commands for what the model sees: context, fold, unfold, forget."""

from mtchat.console.captions import describe_cost
from mtchat.console.command import Command
from mtchat.console.console import Console
from mtchat.features.context import usage_view
from mtchat.features.context.view import folded_note, parse_turns, set_context, turn_choices
from mtchat.session.dependencies import said
from mtchat.session.fold import folded
from mtchat.session.mark import FOLDED, FORGOTTEN, WHOLE
from mtchat.session.memory import foldable
from mtchat.session.names import bound, parses

MOST = 8  # names that are told


def do_context(console: Console, argument: str) -> None:
    """Shows exactly what the model will see with the next instruction, and what each part of it takes.

    The parts come with their tokens, their share of what the model can see, and what makes them less. When
    it would not fit, the oldest turns are folded: of their code the model sees imports, names and
    signatures.
    """
    generator = console.generator()
    instruction = console.chat.resolved(argument.strip()).text or "(your next instruction)"
    context = generator.context(console.session, instruction, console.chat.settings.sampling)
    console.view.line(console.chat.model.text(context.prompt).rstrip("\n"))
    console.view.line()
    usage_view.show(console, generator, instruction, context)
    tokens, whole = usage_view.size(console, context.prompt), console.chat.model.card().context
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
    """Tells the model of turn K only imports, names, signatures and docstrings; the program keeps its code.

    K may be several turns, as in /fold 1-3 5. /unfold K tells all of it again.
    """
    for number in parse_turns(console.session, argument, "fold"):
        turn = console.session.numbered(number)
        if not foldable(turn):
            why = "is short as it is" if parses(turn.chunk) else "is no whole Python"
            console.view.note(f"turn {number} {why}, so it cannot be folded; /forget {number} leaves it out")
            continue
        console.chat.keep(set_context(console.session, number, FOLDED), "fold")
        console.view.say(
            f"turn {number} is folded; the program keeps its code, and the model sees this of it:"
        )
        console.view.code(folded(turn.chunk))


def complete_fold(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)


def do_unfold(console: Console, argument: str) -> None:
    """Tells the model all of turn K again, after /fold or /forget."""
    for number in parse_turns(console.session, argument, "unfold"):
        turn = console.session.numbered(number)
        mark = console.session.mark(turn.id)
        if mark.context == WHOLE:
            console.view.note(f"turn {number} is told whole already, where it fits; /context shows it")
            continue
        console.chat.keep(set_context(console.session, number, WHOLE), "unfold")
        console.view.say(f"turn {number} was {mark.context}; the model sees all of it again")


def complete_unfold(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)


def do_forget(console: Console, argument: str) -> None:
    """Tells the model nothing of turn K any more; the program keeps its code.

    K may be several turns, as in /forget 1-3 5. It says which later turns use names of K. /forget -d K, or
    /unfold K, tells the turn again.
    """
    word, _, rest = argument.strip().partition(" ")
    if word == "-d":
        recall(console, rest)
        return
    for number in parse_turns(console.session, argument, "forget"):
        console.chat.keep(set_context(console.session, number, FORGOTTEN), "forget")
        console.view.say(
            f"turn {number} is forgotten: the program keeps its code, and the model sees nothing of it"
        )
        used(console, number)


def recall(console: Console, argument: str) -> None:
    for number in parse_turns(console.session, argument, "tell again"):
        if console.session.mark(console.session.numbered(number).id).context != FORGOTTEN:
            console.view.note(f"turn {number} is not forgotten")
            continue
        console.chat.keep(set_context(console.session, number, WHOLE), "forget")
        console.view.say(f"turn {number} was forgotten; the model sees all of it again")


def used(console: Console, number: int) -> None:
    """Says what the model no longer knows, and where that is used."""
    if uses := said(console.session.path, number):
        console.view.note(f"{uses}, which the model no longer sees")
    names = tuple(sorted(bound(console.session.numbered(number).chunk)))
    if names:
        what = f"{listed(names)} {'is' if len(names) == 1 else 'are'}"
        console.view.note(f"tell a new turn that needs it what {what}; /unfold {number} tells all again")


def listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def complete_forget(console: Console) -> list[tuple[str, str]]:
    return turn_choices(console.session)


COMMANDS = (
    Command("context", do_context, usage="[TEXT]"),
    Command("fold", do_fold, usage="K...", complete=complete_fold, python_only=True),
    Command("unfold", do_unfold, usage="K...", complete=complete_unfold),
    Command("forget", do_forget, usage="[-d] K...", complete=complete_forget),
)
