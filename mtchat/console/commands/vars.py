"""Shows the variables of the program: their names, types, shapes or lengths, and short values.

NAME, which may be a pattern such as train_*, shows those alone, with more of their values. They are described
inside the sandbox; where the program fails, they are what it had by then.
"""

from fnmatch import fnmatchcase

from mtchat.console.console import Console
from mtchat.errors import MtchatError
from mtchat.session.names import bound
from mtchat.session.outcome import Variable

USAGE = "[NAME]"
PYTHON_ONLY = True
WIDTHS = (24, 16, 12)


def do(console: Console, argument: str) -> None:
    if not console.session.path:
        raise MtchatError("there is no program yet; type an instruction")
    outcome = console.chat.look()
    wanted = argument.strip()
    found = [each for each in outcome.variables if not wanted or fnmatchcase(each.name, wanted)]
    if not outcome.ok:
        console.view.verdict(outcome, console.hint(outcome))
    if wanted and outcome.ok and not found:
        raise MtchatError(f"the program has no variable {wanted!r}; /vars lists them")
    if wanted:
        for each in found:
            whole(console, each)
    elif found:
        rows = [(each.name, each.kind, each.shape, each.value) for each in found]
        console.view.table(rows, WIDTHS)
    elif outcome.ok:
        console.view.line(
            "the program has no variables yet; ask for one, as in: store the numbers 1 to 10 as numbers"
        )


def whole(console: Console, variable: Variable) -> None:
    """One variable over several lines."""
    shape = f" ({variable.shape})" if variable.shape else ""
    console.view.heading(f"{variable.name}: {variable.kind}{shape}")
    console.view.paragraph(variable.value)


def complete(console: Console) -> list[tuple[str, str]]:
    return [(name, "") for name in sorted(bound(console.session.program.source))]
