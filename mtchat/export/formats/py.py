"""A Python program that runs by itself, one `# %%` cell for each turn; it can be imported again.

A cell is a heading, the instruction as comment lines, an empty line, and the code just as the session has
it. What this form cannot say stands in the heading, as in "# %% turn 3 (interrupted, lines=7)":

    interrupted         the turn was interrupted
    lines=7             the code has 7 lines, some of which look like headings
    newlines=2          the code ends in 2 newlines; otherwise it ends without one
    instruction=quoted  the comment is a Python string, for signs that a comment cannot hold
    code=quoted         so is the code, which is blank but not to Python
    moved=0+2           so are the first and the third of its strings that read as a `from` or a `global`
"""

import ast
import re
import sys
from collections.abc import Sequence

from mtchat.errors import UsageError
from mtchat.export.cells import (
    HEADING,
    Cell,
    cell_headings,
    code_start,
    comment_lines,
    databricks_cells,
    headings_outside_strings,
    nbconvert_cells,
    parse_number,
    parse_title,
    split_cells,
    translate_magics,
)
from mtchat.export.format import (
    BEGIN,
    COMMANDS,
    GO_ON,
    LEFT_OUT,
    MOST_NEWLINES,
    ImportedProgram,
    check_cell_count,
    describe_rest,
    foreign_notice,
)
from mtchat.export.module import HOISTED, moved_strings, one_module, unquote_statements
from mtchat.session.names import parse_module
from mtchat.session.outcome import package_for
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, INTERRUPTED, Turn

SUFFIX = ".py"

# fixed, and two lines: Python looks for the name of an encoding in what stands there
MADE = "# This program was made with mtchat"
TITLE = f"""\
{MADE}: one cell for each instruction. It runs by itself,
# and `mtchat import` makes it a conversation again, even if its cells were changed.
"""

PREAMBLE = "preamble"
QUOTED = "quoted"
STRING = re.compile(r"[rR]?(?P<quote>\"{3}|'{3})(?P<text>.*)(?P=quote)", re.DOTALL)
COMMAND = re.compile(r"#[ \t]*[%!]")
ELSEWHERE = re.compile(r"(?<!\S)language=\"(?!i?python)", re.IGNORECASE)  # as jupytext has "%%bash"
TOO_ODD = re.compile("[\0\r\ud800-\udfff]")


def write(session: Session) -> str:
    if not session.language.runs:
        raise UsageError(foreign_notice(session, "a .py file"))
    head, (preamble, *codes) = one_module([session.preamble, *(turn.chunk for turn in session.path)])
    written = [format_cell(PREAMBLE, "", preamble, exact=session.preamble)] if session.preamble else []
    for count, (turn, code) in enumerate(zip(session.path, codes, strict=True), start=1):
        cut = turn.status == INTERRUPTED
        written.append(format_cell(f"turn {count}", turn.instruction, code, cut, turn.chunk))
    return "\n".join([TITLE + describe_needs(session), *(f"{line}\n" for line in head), *written])


def describe_needs(session: Session) -> str:
    """Comments that name what the program wants beside Python: packages and the files that were attached."""
    module = parse_module(session.program.source)
    found = (each for node in (ast.walk(module) if module else ()) for each in imported_modules(node))
    own = {each.name.split("/")[0].removesuffix(".py") for each in session.attached}
    packages = sorted({package_for(each) for each in found if each not in sys.stdlib_module_names} - own)
    lines = [f"# Packages that it imports: {', '.join(packages)}"] if packages else []
    names = sorted(ascii(each.name)[1:-1] for each in session.attached)
    lines += [f"# Files that it was given: {', '.join(names)}"] if names else []
    return "".join(f"{line}\n" for line in lines)


def imported_modules(node: ast.AST) -> list[str]:
    """The modules of their own that a statement imports."""
    if isinstance(node, ast.Import):
        return [each.name.split(".")[0] for each in node.names]
    return (
        [node.module.split(".")[0]]
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        else []
    )


def format_cell(title: str, instruction: str, code: str, interrupted: bool = False, exact: str = "") -> str:
    """A cell of the file; its code stands for the `exact` one."""
    marks = ["interrupted"] if interrupted else []
    comment = [f"# {line}" if line else "#" for line in instruction.split("\n")]
    if not instruction:
        comment = []
    elif TOO_ODD.search(instruction) or any(map(HEADING.match, comment)):
        marks.append(f"instruction={QUOTED}")
        comment = [f"# {instruction!r}"]
    if code != exact and (places := moved_strings(exact)):
        marks.append(f"moved={'+'.join(map(str, places))}")
    body, newlines = split_end(code)
    if not code.strip() and code.strip(" \t\f\r\n"):
        marks.append(f"code={QUOTED}")
        body, newlines = f"# {code!r}", 0
    if newlines:
        marks.append(f"newlines={newlines}")
    if any(map(HEADING.match, body.split("\n"))):
        marks.append(f"lines={body.count(chr(10)) + 1}")
    heading = f"# %% {title} ({', '.join(marks)})" if marks else f"# %% {title}"
    return "\n".join([heading, *comment, *(["", body] if body else [])]) + "\n"


def split_end(code: str) -> tuple[str, int]:
    """Code without the newlines at its end, and their number."""
    body = code.rstrip("\n")
    return body, len(code) - len(body)


def read(text: str) -> Session:
    return import_text(text).session


def import_text(text: str) -> ImportedProgram:
    """The session in any Python file; one without cells is a single turn."""
    lines = text.split("\n")
    if lines[0].endswith("\r"):  # an editor or git has changed the line ends
        text = text.replace("\r\n", "\n")
        lines = text.split("\n")
    made_here = lines[0].startswith(MADE)
    if not made_here:
        lines = drop_header(lines)
        text = "\n".join(lines)
    starts = cell_headings(lines) if made_here else headings_outside_strings(lines)
    check_cell_count(len(starts))
    before = lines[: starts[0] if starts else len(lines)]
    if made_here:
        before = [line for line in before[comment_lines(before) :] if not HOISTED.fullmatch(line)]
    elif not starts and (found := databricks_cells(lines) or nbconvert_cells(lines)):
        check_cell_count(len(found))
        return session_of("", found)
    elif not starts:
        code, commands = translate_magics(split_end(text)[0], commented=True)
        alone = (Turn(BEGIN, code, status=EDITED),) if text.strip() else ()
        return ImportedProgram(Session().extend(alone), describe_rest(commands, *COMMANDS))
    return session_of(trim_blank_lines(before), split_cells(lines, starts))


def drop_header(lines: list[str]) -> list[str]:
    """The lines of a file, less what jupytext writes of its notebook."""
    if lines[:1] == ["# ---"] and "# ---" in lines[1:]:
        return lines[lines.index("# ---", 1) + 1 :]
    return lines


def session_of(preamble: str, found: Sequence[Cell]) -> ImportedProgram:
    """A session of cells; Markdown cells and comments at the top of a cell are its instruction."""
    turns: list[Turn] = []
    said: list[str] = []
    raw = commands = texts = 0
    for each in found:
        title, kind = parse_title(each.title)
        if each.title == PREAMBLE:
            code = code_of(each, each.lines[1:] if each.lines[:1] == [""] else each.lines)
            preamble = f"{preamble}\n\n{code}" if preamble else code
        elif each.is_ours:
            turns.append(turn_of(each))
        elif kind == "raw":
            raw += 1
        elif kind in ("markdown", "md"):
            said += [title, *cell_words(each.lines)]
            texts += 1
        else:
            elsewhere = ELSEWHERE.search(each.title) is not None
            count = 0 if title or any(said) or elsewhere else count_word_lines(each.lines)
            words = "\n".join([*said, title, *map(uncomment, each.lines[:count])]).strip()
            code, number = translate_magics(trim_blank_lines(each.lines[count:]), commented=True)
            said, texts, commands = [], 0, commands + number + elsewhere
            if code or words:
                turns.append(Turn(words or GO_ON, code, status=EDITED))
    notices = (
        *describe_rest(commands, *COMMANDS),
        *describe_rest(raw, "raw cell", LEFT_OUT),
        *describe_rest(texts, "text cell", f"after the last code {LEFT_OUT}"),
    )
    return ImportedProgram(Session(preamble=preamble).extend(tuple(turns)), notices)


def count_word_lines(lines: Sequence[str]) -> int:
    """How many comments at the top of a cell are words: none from the first command to IPython on."""
    count = comment_lines(lines)
    return next((at for at, line in enumerate(lines[:count]) if COMMAND.match(line)), count)


def cell_words(lines: Sequence[str]) -> list[str]:
    """The text of a cell of words, which stands in comments or in a string."""
    text = "\n".join(lines).strip()
    string = STRING.fullmatch(text)
    return string["text"].strip("\n").split("\n") if string else list(map(uncomment, lines))


def turn_of(cell: Cell) -> Turn:
    count = comment_lines(cell.lines)
    instruction = "\n".join(map(uncomment, cell.lines[:count]))
    if cell.metadata.get("instruction") == QUOTED:
        instruction = unquote_string(instruction)
    code = code_of(cell, cell.lines[code_start(cell.lines) :])
    return Turn(instruction, code, status=INTERRUPTED if "interrupted" in cell.metadata else EDITED)


def code_of(cell: Cell, lines: Sequence[str]) -> str:
    body, _ = split_end("\n".join(lines))
    if cell.metadata.get("code") == QUOTED:
        return unquote_string(uncomment(body))
    if places := re.fullmatch(r"\d{1,6}(?:\+\d{1,6})*", cell.metadata.get("moved", "")):
        body = unquote_statements(body, list(map(int, places[0].split("+"))))
    return body + "\n" * min(parse_number(cell.metadata.get("newlines")), MOST_NEWLINES)


def uncomment(line: str) -> str:
    return line.removeprefix("#").removeprefix(" ")


def trim_blank_lines(lines: Sequence[str]) -> str:
    """Lines as code, without the empty lines around them."""
    text = "\n".join(lines).strip("\n")
    return text if text.strip() else ""


def unquote_string(text: str) -> str:
    """The string in a comment; the comment itself where somebody has changed it to no string."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, str) else text
