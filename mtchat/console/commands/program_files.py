"""Commands for the files that programs read and write: attach, files."""

import os
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from mtchat.console.captions import describe_size, short_path
from mtchat.console.console import Console
from mtchat.console.parsing import match_files, split_words, user_path
from mtchat.console.slash import Command
from mtchat.errors import MtchatError, UsageError
from mtchat.files import below, copy, plain
from mtchat.session.outcome import File, Outcome
from mtchat.session.program import AttachedFile
from mtchat.store import attach, detach


def do_attach(console: Console, argument: str) -> None:
    """Gives programs a copy of your files: each run finds them in its work folder.

    FILE may be a pattern such as data/*.csv, or a folder, such as a package, with its layout. Programs
    see the last part of its path, and change only their copy. Without FILE the attached files are listed;
    -d NAME detaches one. The session keeps the list: when you open the session again, programs get the
    current version of a file that has changed, and a file that is gone is detached, each with a notice.
    """
    names = split_words(argument)
    if names[:1] == ("-d",):
        if not names[1:]:
            raise UsageError("Detach which file? /attach lists them")
        console.chat.keep(detach(console.session, names[1:]), "attach")
        console.view.say(f"detached {', '.join(names[1:])}")
        return
    if not names:
        list_attached(console)
        return
    paths = [path for name in names for path in match_files(name)]
    console.chat.keep(attach(console.session, paths, console.chat.settings.disk_mib), "attach")
    console.chat.remember_attached(paths)
    for name, files in group_by_folder(console.session.attached).items():
        if name.rstrip("/") in {Path(os.path.abspath(path)).name for path in paths}:
            console.view.say(f"{name}, {describe_files(files)}: the program opens it as {files[0].name!r}")
    if console.session.path:
        console.view.note("/run runs the program with it")


def list_attached(console: Console) -> None:
    if not console.session.attached:
        console.view.say("no file is attached; /attach FILE gives programs a copy of one")
    rows = []
    for name, files in group_by_folder(console.session.attached).items():
        depth = files[0].name.count("/") if name.endswith("/") else 0
        rows.append(
            (name, describe_files(files), short_path(Path(*Path(files[0].path).parts[: -depth or None])))
        )
    console.view.table(rows, (40, 22))


def group_by_folder(attached: Sequence[AttachedFile]) -> dict[str, list[AttachedFile]]:
    """The attached files by name, those of a folder under the folder's, which ends in /."""
    found: dict[str, list[AttachedFile]] = {}
    for file in attached:
        first, slash, _ = file.name.partition("/")
        found.setdefault(first + slash, []).append(file)
    return found


def describe_files(files: Sequence[AttachedFile]) -> str:
    """How much it is: a file's size, or how many files a folder has and theirs."""
    room = describe_size(replace(files[0], size=sum(file.size for file in files)))
    return room if len(files) == 1 and "/" not in files[0].name else f"{len(files)} files, {room}"


def complete_attach(console: Console) -> list[tuple[str, str]]:
    return [(f"-d {name.rstrip('/')}", "detaches it") for name in group_by_folder(console.session.attached)]


def do_files(console: Console, argument: str) -> None:
    """Lists the files that the last run left, and copies them to where you want them.

    NAME may be a pattern such as *.png, which does not match hidden files. The files are copied to the
    current folder, or to DIR. Existing files are overwritten only with --force.
    """
    outcome = console.chat.last_run or console.session.outcome
    if outcome is None:
        raise MtchatError("the program has not run yet; /run runs it")
    names = [name for name in split_words(argument) if name != "--force"]
    target = Path()
    if "to" in names[-2:]:
        if names[-1] == "to" or len(names) < 3:
            raise UsageError("Copy which files, and where to? /files NAME to DIR")
        target, names = user_path(names[-1]), names[:-2]
    if names:
        copy_files(console, select_files(outcome, names), target, force="--force" in split_words(argument))
    else:
        list_left(console, outcome)


def list_left(console: Console, outcome: Outcome) -> None:
    if not outcome.files and not outcome.skipped:
        console.view.say("the last run left no files; ask for one, as in: save the table as table.csv")
    rows = [
        (file.path, describe_size(file), short_path(console.files_folder / file.path))
        for file in outcome.files
    ]
    console.view.table(rows, (40, 12))
    for each in outcome.skipped:
        console.view.note(f"  not copied: {each}")


def select_files(outcome: Outcome, names: Sequence[str]) -> list[File]:
    """The files that the names or patterns say, each once."""
    for name in names:
        if any(matches_name(file.path, name) for file in outcome.files):
            continue
        hidden = [file.path for file in outcome.files if fnmatchcase(file.path, name)]
        hint = f"hidden files have to be named in full: {', '.join(hidden)}" if hidden else ""
        raise UsageError(f"the last run left no file {name!r}; {hint or '/files lists what it left'}")
    return [file for file in outcome.files if any(matches_name(file.path, name) for name in names)]


def matches_name(path: str, name: str) -> bool:
    """Whether a name or pattern means a file; a hidden one, as in a shell, only where its dot is typed.

    A program could else bring settings of a shell or an editor into the user's folder unseen.
    """
    return path == name or (fnmatchcase(path, name) and count_hidden(path) <= count_hidden(name))


def count_hidden(path: str) -> int:
    return sum(part.startswith(".") for part in path.split("/"))


def copy_files(console: Console, files: Sequence[File], target: Path, force: bool) -> None:
    """Copies files into a folder under their own names: none of them when one would overwrite another."""
    for file in files:
        if not plain(file.path):
            raise MtchatError(
                f"{file.path!r} is not in {short_path(console.files_folder)}, so nothing was copied"
            )
    targets = [target / Path(file.path).name for file in files]
    for target_file in targets:
        if targets.count(target_file) > 1:
            raise MtchatError(
                f"two files would be copied to {short_path(target_file)}; copy them to different folders"
            )
        if os.path.lexists(target_file) and not force:
            raise MtchatError(
                f"{short_path(target_file)} already exists, so nothing was copied; --force overwrites it"
            )
    for file, target_file in zip(files, targets, strict=True):
        copied = replace(file, size=copy_file(console.files_folder, file, target_file, force))
        console.view.say(
            f"copied {file.path} to {os.path.join(target, target_file.name)} ({describe_size(copied)})"
        )


def copy_file(folder: Path, file: File, target_file: Path, force: bool) -> int:
    """Copies a file that a run left, and gives its size in bytes."""
    source = folder / file.path
    try:
        opened = below(folder, file.path)
    except FileNotFoundError:
        raise MtchatError(f"{short_path(source)} no longer exists; /run creates it again") from None
    except OSError as error:
        raise MtchatError(f"cannot copy {short_path(source)}: {error.strerror}") from None
    try:
        target_file.parent.mkdir(parents=True, exist_ok=True)
        return copy(opened, target_file, force)
    except OSError as error:
        raise MtchatError(f"cannot copy to {short_path(target_file)}: {error.strerror}") from None
    finally:
        os.close(opened)


def complete_files(console: Console) -> list[tuple[str, str]]:
    outcome = console.chat.last_run or console.session.outcome
    return [(file.path, describe_size(file)) for file in outcome.files] if outcome else []


COMMANDS = (
    Command(
        "attach", do_attach, usage="[-d] [FILE...]", complete=complete_attach, paths="", python_only=True
    ),
    Command(
        "files", do_files, usage="[NAME... [to DIR] [--force]]", complete=complete_files, python_only=True
    ),
)
