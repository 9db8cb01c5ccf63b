"""Writes the program as a file: py and code run by themselves, ipynb, md and html are to be read.

code is the program alone, in the language of the session, such as program.js. mtpb is a problem
for mtchat bench mtpb --data FILE: a program has to give what the last turn prints, or else what
the last check asks for. Without FILE it is named after the session; without FORMAT the suffix of FILE says
it. A file that is there already is overwritten with --force only.
"""

import re
from pathlib import Path, PurePath

from mtchat.console.captions import short_path
from mtchat.console.console import Console
from mtchat.errors import UsageError
from mtchat.export import file, format
from mtchat.session.escape import escaped

USAGE = "FORMAT [FILE] [--force]"


def do(console: Console, argument: str) -> None:
    words, forced = re.subn(r"(?:^|\s+)--force$", "", argument.strip())
    kind, *rest = words.split(maxsplit=1)[:2] or [""]
    if not kind:
        raise UsageError(f"export to which format? there are: {', '.join(format.names())}")
    if not console.session.path:
        raise UsageError("there is no program yet; type an instruction")
    if kind not in format.names() and PurePath(words).suffix:
        kind, rest = format.of_suffix(words, console.session), [words]
    suffix = format.suffix(format.load(kind), console.session)
    target = Path(rest[0].strip() if rest else f"{console.session.name}{suffix}")
    if not forced and file.taken(target):
        raise UsageError(f"{target} is there already; /export {kind} {target} --force overwrites it")
    console.view.say(f"wrote {short_path(file.save(console.session, kind, target, escaped, console.place))}")


def complete(console: Console) -> list[tuple[str, str]]:
    return [(each, format.load(each).help) for each in format.names()]
