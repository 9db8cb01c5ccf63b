"""Commands for sessions as files: save, open, sessions, export."""

import os
import re
from dataclasses import replace
from pathlib import Path, PurePath

from mtchat.console.captions import describe_position, explain_not_run, one_line, short_path
from mtchat.console.console import Console
from mtchat.console.parsing import user_path
from mtchat.console.slash import Command
from mtchat.errors import MtchatError, UsageError
from mtchat.export import format
from mtchat.session.text import escape_controls
from mtchat.store import SUFFIX, Log, find, paths, summaries


def do_save(console: Console, argument: str) -> None:
    """Renames the session; every turn is saved as it is made.

    The session file and the folder with the files of its runs are renamed; no other session is
    overwritten. A full path, such as /tmp/primes, moves the session there: useful if its own folder is
    full or read-only.
    """
    name = argument.strip()
    if not name:
        save_unsaved(console)
        console.view.say(f"saved in {short_path(console.log.path)}; /save NAME gives it a name")
        return
    before, owned = console.log.path, console.chat.owned
    mine = [Path(file.path) for file in console.session.attached if owned.has(before, file.path)]
    if (path := user_path(name)).is_absolute():
        if os.path.isdir(path):
            raise UsageError(f"{short_path(path)} is a folder; /save {short_path(path / 'NAME')} saves in it")
        console.log.move_to(
            path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX), console.session
        )
        console.chat.unsaved = ""
    else:
        console.log.rename(name)
    console.chat.remember_attached(mine)
    console.chat.session = replace(console.session, name=console.log.name)
    if console.chat.unsaved:
        save_unsaved(console)
    console.view.say(f"this session is now {short_path(console.log.path)}")


def save_unsaved(console: Console) -> None:
    """Saves what is not saved yet; an error where that cannot be done, or where there is nothing."""
    if not console.session.turns:
        raise UsageError("nothing to save yet; /save NAME names the session")
    if not console.log.saves(console.session):
        console.log.write(console.session, "save")
    console.chat.unsaved = ""
    if not console.log.path.exists():
        raise MtchatError(
            f"{short_path(console.log.path)} no longer exists; the next turn writes it again in full"
        )


def do_open(console: Console, argument: str) -> None:
    """Opens another session; this one is saved."""
    if not argument.strip():
        raise UsageError("Open which session? /sessions lists them")
    path = find(argument.strip(), console.folder)
    if path.resolve() == console.log.path.resolve():
        raise UsageError(f"{console.session.name} is already open")
    console.reopen(Log.open(path))
    console.view.say(f"opened {console.session.name}, {describe_position(console.session)}")
    if not console.session.language.runs:
        console.view.note(explain_not_run(console.session))


def complete_open(console: Console) -> list[tuple[str, str]]:
    return [(path.stem, "") for path in paths(console.folder)]


def do_sessions(console: Console, argument: str) -> None:
    """Lists the sessions in the sessions folder, most recent first, with the date of the last change."""
    rows = summaries(console.folder)
    if not rows:
        console.view.say(f"no sessions in {short_path(console.folder)} yet; the first instruction starts one")
    for each in rows:
        mark = "*" if each.path == console.log.path else " "
        turns = "turn " if each.turns == 1 else "turns"
        console.view.say(
            f"{mark} {each.name:<24} {each.date}  {each.turns:>3} {turns}  "
            f"{each.problem or one_line(each.instruction, 50)}"
        )


def do_export(console: Console, argument: str) -> None:
    """Writes the program as a file: py and code run by themselves, ipynb, md and html are for reading.

    code is the program alone, in the language of the session, such as program.js. mtpb is a problem for
    mtchat bench mtpb --data FILE: the expected value is what the last turn prints, or else what the last
    check demands. Without FILE the file is named after the session; without FORMAT the suffix of FILE
    decides. An existing file is overwritten only with --force.
    """
    words, forced = re.subn(r"(?:^|\s+)--force$", "", argument.strip())
    kind, *rest = words.split(maxsplit=1)[:2] or [""]
    if not kind:
        raise UsageError(f"Export to which format? Choose from: {', '.join(format.list_formats())}")
    if not console.session.path:
        raise UsageError("there is no program yet; type an instruction")
    if kind not in format.list_formats() and PurePath(words).suffix:
        kind, rest = format.format_for_path(words, console.session), [words]
    suffix = format.suffix_for(format.load_format(kind), console.session)
    target = Path(rest[0].strip() if rest else f"{console.session.name}{suffix}")
    if not forced and format.is_taken(target):
        raise UsageError(f"{target} already exists; /export {kind} {target} --force overwrites it")
    written = format.export_session(console.session, kind, target, escape_controls, console.files_folder)
    console.view.say(f"wrote {short_path(written)}")


def complete_export(console: Console) -> list[tuple[str, str]]:
    return [(each.name, each.help) for each in format.load_formats()]


COMMANDS = (
    Command("save", do_save, usage="[NAME]"),
    Command("open", do_open, usage="NAME", complete=complete_open),
    Command("sessions", do_sessions),
    Command("export", do_export, usage="FORMAT [FILE] [--force]", complete=complete_export),
)
