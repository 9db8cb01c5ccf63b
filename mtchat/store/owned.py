"""Which files the user attached to which session on this machine: those are taken as they are now.

A session file can come from somebody else, and what it says of files is no word of the user's.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from mtchat import files
from mtchat.errors import MtchatError

MOST = 10_000


class Owned:
    """A file with a line for each session file and file attached to it; without one nothing is known."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.known: set[str] | None = None

    def has(self, session: Path, file: PurePath) -> bool:
        return pair(session, file) in self.lines()

    def add(self, session: Path, attached: Iterable[PurePath]) -> None:
        """Keeps that the user attached these files to a session; what cannot be kept is asked for again."""
        new = [pair(session, file) for file in attached]
        new = [each for each in dict.fromkeys(new) if each not in self.lines()]
        if self.path is None or not new:
            return
        self.known = self.lines() | set(new)
        try:
            if len(self.known) > MOST:  # what was attached long ago is asked for again
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


def pair(session: Path, file: PurePath) -> str:
    """A session file and a file as one word that tells neither."""
    text = f"{os.path.abspath(session)}\0{file}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
