"""Which session of each folder was open last on this machine."""

import json
from pathlib import Path

from mtchat import files
from mtchat.errors import MtchatError

MOST = 100  # folders; the ones that were there first go


class Latest:
    """A file with the name of a session for each folder; what cannot be read or kept is not known."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def session(self, folder: Path) -> Path | None:
        name = self.names().get(str(folder.absolute()))
        return folder / name if name else None

    def keep(self, session: Path) -> None:
        folder = str(session.parent.absolute())
        names = {each: name for each, name in self.names().items() if each != folder}
        kept = dict([*names.items(), (folder, session.name)][-MOST:])
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
