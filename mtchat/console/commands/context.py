"""Shows exactly what the model will see with the next instruction, and what each part of it takes.

The parts come with their tokens, their share of what the model can see, and what makes them less. When it
would not fit, the oldest turns are folded: of their code the model sees imports, names and signatures.
"""

from mtchat.console.captions import describe_cost
from mtchat.console.console import Console
from mtchat.features.context import usage_view
from mtchat.features.context.view import folded_note

USAGE = "[TEXT]"


def do(console: Console, argument: str) -> None:
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
