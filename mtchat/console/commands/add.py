"""Adds code that you wrote as the next step, as it is; /add < FILE takes it from a file.

Text that can only be Python is taken so without the command, as when you paste it. The model sees the code as
it sees its own. /next TEXT takes such a text as an instruction all the same.
"""

from mtchat.console.console import Console
from mtchat.console.parsing import readable_file, split_words
from mtchat.errors import UsageError
from mtchat.files import read

USAGE = "CODE | < FILE"
PATHS = "<"


def do(console: Console, argument: str) -> None:
    console.add(given(argument))


def given(argument: str) -> str:
    """The code that is typed, or that is in the file that is named."""
    if not argument.lstrip().startswith("<"):
        return argument
    names = split_words(argument.lstrip()[1:])
    if len(names) != 1:
        raise UsageError("one file follows <, as in: /add < report.py")
    path = readable_file(names[0])
    try:
        return read(path).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8") from None
