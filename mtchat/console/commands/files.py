"""Lists the files that the last run left, and copies them to where you want them.

NAME may be a pattern such as *.png, which leaves hidden files alone. They are copied here, or to DIR. What
is there already is not overwritten, unless --force says so.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from mtchat.console.captions import describe_size, short_path
from mtchat.console.console import Console
from mtchat.console.parsing import split_words, user_path
from mtchat.errors import MtchatError, UsageError
from mtchat.files import below, copy, plain
from mtchat.session.outcome import File, Outcome

USAGE = "[NAME... [to DIR] [--force]]"
PYTHON_ONLY = True


def do(console: Console, argument: str) -> None:
    outcome = console.chat.last_run or console.session.outcome
    if outcome is None:
        raise MtchatError("the program has not run yet; /run runs it")
    names = [name for name in split_words(argument) if name != "--force"]
    target = Path()
    if "to" in names[-2:]:
        if names[-1] == "to" or len(names) < 3:
            raise UsageError("copy which files to where? /files NAME to DIR")
        target, names = user_path(names[-1]), names[:-2]
    if names:
        fetch(console, chosen(outcome, names), target, force="--force" in split_words(argument))
    else:
        listing(console, outcome)


def listing(console: Console, outcome: Outcome) -> None:
    if not outcome.files and not outcome.skipped:
        console.view.say("the last run left no files; ask for one, as in: save the table as table.csv")
    rows = [(file.path, describe_size(file), short_path(console.place / file.path)) for file in outcome.files]
    console.view.table(rows, (40, 12))
    for each in outcome.skipped:
        console.view.note(f"  left behind: {each}")


def chosen(outcome: Outcome, names: Sequence[str]) -> list[File]:
    """The files that the names or patterns say, each once."""
    for name in names:
        if any(matches(file.path, name) for file in outcome.files):
            continue
        hidden = [file.path for file in outcome.files if fnmatchcase(file.path, name)]
        hint = f"only hidden ones, which need their names: {', '.join(hidden)}" if hidden else ""
        raise UsageError(f"the last run left no file {name!r}; {hint or '/files lists what it left'}")
    return [file for file in outcome.files if any(matches(file.path, name) for name in names)]


def matches(path: str, name: str) -> bool:
    """Whether a name or pattern means a file; a hidden one, as in a shell, only where its dot is typed.

    A program could else bring settings of a shell or an editor into the user's folder unseen.
    """
    return path == name or (fnmatchcase(path, name) and dots(path) <= dots(name))


def dots(path: str) -> int:
    return sum(part.startswith(".") for part in path.split("/"))


def fetch(console: Console, files: Sequence[File], target: Path, force: bool) -> None:
    """Copies files into a folder under their own names: none of them when one would overwrite another."""
    for file in files:
        if not plain(file.path):
            raise MtchatError(
                f"{file.path!r} does not lie in {short_path(console.place)}, so nothing is copied"
            )
    goals = [target / Path(file.path).name for file in files]
    for goal in goals:
        if goals.count(goal) > 1:
            raise MtchatError(
                f"two files would be {short_path(goal)}; copy them one at a time, to two folders"
            )
        if os.path.lexists(goal) and not force:
            raise MtchatError(
                f"{short_path(goal)} is there already, so nothing is copied; --force overwrites it"
            )
    for file, goal in zip(files, goals, strict=True):
        copied = replace(file, size=bring(console.place, file, goal, force))
        console.view.say(f"copied {file.path} to {os.path.join(target, goal.name)} ({describe_size(copied)})")


def bring(place: Path, file: File, goal: Path, force: bool) -> int:
    """Copies a file that a run left, and gives its size in bytes."""
    source = place / file.path
    try:
        opened = below(place, file.path)
    except FileNotFoundError:
        raise MtchatError(f"{short_path(source)} is not there any more; /run makes it again") from None
    except OSError as error:
        raise MtchatError(f"cannot copy {short_path(source)}: {error.strerror}") from None
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        return copy(opened, goal, force)
    except OSError as error:
        raise MtchatError(f"cannot copy to {short_path(goal)}: {error.strerror}") from None
    finally:
        os.close(opened)


def complete(console: Console) -> list[tuple[str, str]]:
    outcome = console.chat.last_run or console.session.outcome
    return [(file.path, describe_size(file)) for file in outcome.files] if outcome else []
