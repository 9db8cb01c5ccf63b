"""The pictures that a session's program left, for documents that show them."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mtchat import files
from mtchat.session.session import Session

# no SVG, which can hold scripts
KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
LARGEST, MOST = 4 * files.MIB, 16 * files.MIB


@dataclass(frozen=True)
class Picture:
    """A picture: its name, its kind, its bytes, and the way to it from the folder of the document."""

    name: str
    kind: str
    data: bytes
    link: str


def pictures_of(session: Session, folder: Path, document: Path) -> Sequence[Picture]:
    """The pictures of the last run that are still in the session's folder of files, if small."""
    found, room = list[Picture](), MOST
    for each in session.outcome.files if session.outcome else ():
        with suppress(OSError):
            opened = files.below(folder, each.path)
            try:
                data = files.content(opened, min(LARGEST, room))
            finally:
                os.close(opened)
            kind = next((kind for begin, kind in KINDS.items() if data.startswith(begin)), "")
            if kind:
                link = os.path.relpath(folder / each.path, document.parent)
                found.append(Picture(each.path, kind, data, quote(link.replace(os.sep, "/"))))
                room -= len(data)
    return found
