"""What a run is given besides its program: arguments, keyboard input, and files of the user's."""

from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Attached:
    """A file of the user's that runs get a copy of: its name in the work folder, and where it is.

    The name of a file that came with its folder is a path that begins with the folder's, as in pkg/part.py.
    `size` in bytes and `sha256` are as they were when it was attached.
    """

    name: str
    path: PurePath
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class RunInputs:
    """`arguments` follow the script in sys.argv; without `stdin`, asking for keyboard input is an error.

    `live` says that somebody types it: the run may wait as long as they take, and its seconds are CPU time.
    """

    arguments: tuple[str, ...] = ()
    stdin: PurePath | None = None
    files: tuple[Attached, ...] = ()
    live: bool = False


NO_INPUTS = RunInputs()
