"""What this machine remembers besides sessions: which one was open last, and which files a user attached.

A session file can come from somebody else, so that it names a file does not show that the user attached it.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from mtchat import files
from mtchat.errors import MtchatError

MOST_FOLDERS = 100  # folders; the ones that were there first go


class LatestSessions:
    """A file with the name of a session for each folder; what cannot be read or kept is not known."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def session(self, folder: Path) -> Path | None:
        name = self.names().get(str(folder.absolute()))
        return folder / name if name else None

    def keep(self, session: Path) -> None:
        folder = str(session.parent.absolute())
        names = {each: name for each, name in self.names().items() if each != folder}
        kept = dict([*names.items(), (folder, session.name)][-MOST_FOLDERS:])
        try:
            self.path.parent.mkdir(mode=files.PRIVATE_FOLDER, parents=True, exist_ok=True)
            files.replace(self.path, json.dumps(kept).encode(), files.PRIVATE)
        except OSError:
            return  # the next start says nothing of it

    def names(self) -> dict[str, str]:
        try:
            found = json.loads(files.read(self.path, files.MIB))
        except (MtchatError, ValueError, RecursionError):
            return {}
        pairs = found.items() if isinstance(found, dict) else ()
        return {folder: name for folder, name in pairs if isinstance(name, str) and files.plain(name)}


MOST_PAIRS = 10_000


class OwnedFiles:
    """A file with a line for each session file and file attached to it; without one nothing is known."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.known: set[str] | None = None

    def has(self, session: Path, file: PurePath) -> bool:
        return pair_digest(session, file) in self.lines()

    def add(self, session: Path, attached: Iterable[PurePath]) -> None:
        """Keeps that the user attached these files to a session; what cannot be kept is asked for again."""
        new = [pair_digest(session, file) for file in attached]
        new = [each for each in dict.fromkeys(new) if each not in self.lines()]
        if self.path is None or not new:
            return
        self.known = self.lines() | set(new)
        try:
            if len(self.known) > MOST_PAIRS:  # what was attached long ago is asked for again
                self.path.unlink(missing_ok=True)
            self.path.parent.mkdir(mode=files.PRIVATE_FOLDER, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            opened = os.open(self.path, flags, files.PRIVATE)
            try:
                os.write(opened, "".join(f"{each}\n" for each in new).encode())
            finally:
                os.close(opened)
        except OSError:
            return  # a file that has changed is then let go with a notice, as one of somebody else's

    def lines(self) -> set[str]:
        if self.known is None:
            try:
                self.known = (
                    set(files.read(self.path).decode("ascii", "replace").split()) if self.path else set()
                )
            except MtchatError:
                self.known = set()
        return self.known


def pair_digest(session: Path, file: PurePath) -> str:
    """A session file and a file as one word that tells neither."""
    text = f"{os.path.abspath(session)}\0{file}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
