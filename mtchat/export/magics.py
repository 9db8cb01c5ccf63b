"""What notebooks have and Python has not: commands to IPython and to the shell, kept as comments."""

import re

from mtchat.generate.prompt.reply import masked, with_prose_commented
from mtchat.session.names import parse_module

LINE = re.compile(
    r"(?P<margin>[ \t]*)(?:[%!?]{1,2}[A-Za-z_./~{]|[\w.]+\?{1,2}[ \t]*$|[\w ,.\[\]]+=[ \t]*[!%]{1,2}[ \t]*\w)"
)
SHELL = re.compile(r"[ \t]*!")
TIMED = re.compile(r"(?P<margin>[ \t]*)%time[ \t]+(?P<code>.+)")
CELL = re.compile(r"\s*%%(?P<name>[A-Za-z_][\w.]*)")
COMMENTED = re.compile(r"\s*(?:#[ \t]*)?%%(?P<name>[A-Za-z_][\w.]*)")
INDENTED = re.compile(r"^([ \t]+)(#[ \t]*[!%].*)", re.MULTILINE)
COMMENTED_TIME = re.compile(r"^#[ \t]*%time[ \t]+(.+)", re.MULTILINE)
PYTHONIC = {"time", "timeit", "capture", "prun", "python", "python3", "pypy", "memit", "snakeviz", "debug"}
CONVERTED = re.compile(
    r"(?P<margin>[ \t]*)(?:[\w ,.]+=[ \t]*)?"
    r"get_ipython\(\)\.(?:run_line_magic|run_cell_magic|system|getoutput|magic)\("
)
BRACKETS = re.compile(r"[()\[\]{}]")


def translate_magics(code: str, commented: bool = False) -> tuple[str, int]:
    """The code of a cell with its commands as comments, and how many lines or cells those were.

    A cell whose first line gives it to another program than Python is a comment as a whole; so it is where
    that line is `commented`, as jupytext writes it. Where a command was all of a block, `pass` takes its
    place. What `%time` times is code.
    """
    cell = (COMMENTED if commented else CELL).match(code)
    if commented:
        code = COMMENTED_TIME.sub(
            lambda each: each[1] if parse_module(each[1]) is not None else each[0], code
        )
    if commented and not cell and parse_module(code) is None:
        filled = INDENTED.sub(r"\1pass  \2", code)
        if parse_module(filled) is not None:
            return filled, 0
    if cell and cell["name"] not in PYTHONIC:
        return "\n".join(
            line if line.startswith("#") else f"# {line}".rstrip() for line in code.split("\n")
        ), 1
    if "get_ipython" not in code and parse_module(code) is not None:
        return code, 0
    count, depth, continues, found = 0, 0, False, list[str]()
    broken = parse_module(code) is None
    for line, bare in zip(code.split("\n"), masked(code).split("\n"), strict=True):
        match = (broken and LINE.match(bare)) or CONVERTED.match(bare)
        timed = TIMED.fullmatch(line)
        if continues:
            found.append(f"# {line}".rstrip())
        elif timed and match and parse_module(timed["code"]) is not None:
            found.append(timed["margin"] + timed["code"])
            count += 1
        elif match and not depth:
            margin = match["margin"] or ""
            found.append(f"{margin}{'pass  ' if margin else ''}# {line.strip()}")
            count += 1
        else:
            found.append(line)
            depth += sum(1 if each in "([{" else -1 for each in BRACKETS.findall(bare.partition("#")[0]))
        continues = (continues or bool(match and not depth)) and line.endswith("\\")
    made = "\n".join(found)
    if parse_module(made) is not None:
        return made, count
    kept = with_prose_commented(
        made
    )  # of what IPython takes for commands without their sign: pip install numpy
    module = parse_module(kept)
    if module is None or not module.body:
        return made, count
    pairs = zip(made.split("\n"), kept.split("\n"), strict=True)
    return kept, count + sum(one != two for one, two in pairs)
