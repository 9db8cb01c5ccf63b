"""Shows exactly what the model will see with the next instruction, and its size."""

from mtchat.repl.desk import Desk

USAGE = "[TEXT]"


def do(desk: Desk, argument: str) -> None:
    maker = desk.maker()
    wish = desk.resolved(argument.strip()).text or "(your next instruction)"
    text = desk.model.text(maker.prompt(desk.session, wish))
    desk.view.line(text)
    tokens, context = desk.model.count(text), desk.model.card().context
    desk.view.note(f"{tokens} of {context} tokens; family {maker.family_name}, model {desk.model.name}")
