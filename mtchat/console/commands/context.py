"""Shows exactly what the model will see with the next instruction, and what each part of it takes.

The parts come with their tokens, their share of what the model can see, and what makes them less. When it
would not fit, the oldest turns are folded: of their code the model sees imports, names and signatures.
"""

from mtchat.console import meter
from mtchat.console.captions import describe_cost
from mtchat.console.desk import Desk
from mtchat.features.context.view import fitting

USAGE = "[TEXT]"


def do(desk: Desk, argument: str) -> None:
    generator = desk.generator()
    instruction = desk.resolved(argument.strip()).text or "(your next instruction)"
    context = generator.context(desk.session, instruction, desk.settings.sampling)
    desk.view.line(desk.model.text(context.prompt).rstrip("\n"))
    desk.view.line()
    meter.show(desk, generator, instruction, context)
    tokens, whole = meter.size(desk, context.prompt), desk.model.card().context
    desk.view.note(f"{tokens} of {whole} tokens; family {generator.family_name}, model {desk.model.name}")
    path = desk.session.path
    if path and path[-1].usage.completion_tokens:
        desk.view.note(f"turn {len(path)} was written with {describe_cost(path[-1].usage)}")
    if context.fitted:
        desk.view.note(fitting(context.fitted))
    if context.problem:
        desk.view.error(context.problem)
