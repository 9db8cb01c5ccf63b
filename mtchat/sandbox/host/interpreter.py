"""The Python that runs programs: what a sandbox must show of the host's file system, and the environment."""

import os
import re
import site
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mtchat.sandbox.guest.wire import PROCESSORS

GUEST = Path(__file__).parents[1] / "guest"
SYSTEM = (Path("/usr"), Path("/bin"), Path("/lib"), Path("/lib64"))
WORK_FOLDERS = ("/work", "/sandbox", "/program")
LIBRARY = Path(os.__file__).parent.name
# An installation may lie in a project, next to keys and passwords, so only Python's own parts are shown.
PARTS = (
    *("bin", "pyvenv.cfg", f"lib/{LIBRARY}", f"lib64/{LIBRARY}", "lib/lib*.so*", "lib/lib*.dylib"),
    *("lib/tcl*", "lib/tk*", "share/zoneinfo", "share/terminfo", "openssl", "readline"),
)
PARTS_OF_CONDA = ("lib", "lib64", "libexec", "share", "ssl", "etc/fonts")
PARTS_OF_FRAMEWORK = ("Python", "Resources")
LAUNCHER = "mtchat.sandbox.guest.launch.launcher:main"  # module:function
BOOT = """import sys
sys.path.insert(0, {inside!r})
from {module} import {function}
{function}({control}, {shared}, *{more!r})
"""

ZONE = re.compile(r"[A-Za-z0-9<][A-Za-z0-9_+\-/,.:<>]{0,60}")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "JOBLIB_MULTIPROCESSING": "0",
    "DASK_SCHEDULER": "synchronous",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
NO_DEVICES = {
    "TERM": "dumb",
    "SDL_AUDIODRIVER": "dummy",
    "SDL_VIDEODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


@dataclass(frozen=True)
class Interpreter:
    """The Python of this process: `roots` are the folders and files it needs, `folders` hold its modules."""

    python: str
    prefix: str
    roots: tuple[Path, ...]
    folders: tuple[str, ...]

    @property
    def work(self) -> str:
        """The work folder in the sandbox: usually /work, otherwise a name that hides none of the roots."""
        taken = {root.parts[1] for root in self.roots}
        return next((name for name in WORK_FOLDERS if name[1:] not in taken), "/mtchat-work")

    @property
    def needed(self) -> tuple[Path, ...]:
        """The paths that a program must be able to read before it can import anything."""
        files = (Path(self.python).resolve(), Path(os.__file__), GUEST, GUEST / "launch" / "launcher.py")
        return (*self.roots, *map(Path, self.folders), *files)

    @property
    def readable(self) -> bool:
        """Whether other users than the owner can read all of that, once they can reach it."""
        modes = [path.stat().st_mode for path in self.needed]
        return all(mode & stat.S_IROTH and (mode & stat.S_IXOTH or stat.S_ISREG(mode)) for mode in modes)

    def arguments(
        self,
        inside: str,
        control: int,
        shared: int,
        launcher: str = LAUNCHER,
        more: tuple[int | str, ...] = (),
    ) -> tuple[str, ...]:
        """The command line of the launcher: a function in a module, given as module:function, under `inside`.

        -s -P ignore the user's and the current folder, -S the environment's .pth files; PYTHON* variables
        count, because the sandbox alone sets them.
        """
        module, function = launcher.split(":")
        boot = BOOT.format(
            inside=inside, control=control, shared=shared, module=module, function=function, more=more
        )
        return (self.python, "-s", "-P", "-S", "-c", boot)


@cache
def find_interpreter() -> Interpreter:
    """The Python of this process, with the modules installed for it."""
    folders = [*site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    folders = [folder for folder in folders if os.path.isdir(folder)]
    prefixes = [Path(sys.base_prefix), Path(sys.prefix), *link_homes(Path(sys.executable))]
    places = {each for root in prefixes for each in (root, root.resolve())}
    wanted = {part for place in places for part in python_parts(place)}
    wanted |= {each for folder in folders for each in (Path(folder), Path(folder).resolve())}
    known = any(Path(sys.executable).is_relative_to(part) for part in (*SYSTEM, *wanted))
    python = sys.executable if known else os.path.realpath(sys.executable)
    roots: list[Path] = []
    for path in sorted(wanted | {Path(python)}):
        if not any(path.is_relative_to(known) for known in (*SYSTEM, *roots)):
            roots.append(path)
    shown = (*SYSTEM, *roots)
    folders += [
        path for folder in folders for path in pth_folders(Path(folder), shown) if path not in folders
    ]
    return Interpreter(python, sys.prefix, tuple(roots), tuple(dict.fromkeys(folders)))


def pth_folders(folder: Path, shown: tuple[Path, ...]) -> list[str]:
    """The folders that .pth files in a folder of modules name, as far as a sandbox shows them.

    Editable installs lie among the user's own files, which it does not show.
    """
    found = []
    for file in sorted(folder.glob("*.pth")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            path = Path(os.path.normpath(folder / line.strip()))
            if line.strip() and not line.startswith(("#", "import ", "import\t")) and path.is_dir():
                found += [str(path)] if any(path.is_relative_to(root) for root in shown) else []
    return found


def python_parts(prefix: Path) -> list[Path]:
    """The parts of an installation or a virtual environment that belong to Python.

    An environment can be created in a project's folder, and an installation's prefix can be a home folder.
    """
    names = list(PARTS)
    if (prefix / "conda-meta").is_dir():
        names += PARTS_OF_CONDA
    if prefix.parent.name == "Versions":
        names += PARTS_OF_FRAMEWORK
    return [path for name in names for path in prefix.glob(name) if path.exists()]


def link_homes(python: Path) -> list[Path]:
    """The installations along an interpreter's chain of links.

    A link can lie anywhere, such as ~/bin; its surroundings are shown only if they are a Python installation.
    """
    found = [python.parent.parent]
    while python.is_symlink():
        python = Path(os.path.normpath(python.parent / os.readlink(python)))
        found.append(python.parent.parent)
    return [path for path in found if is_python_home(path)]


def is_python_home(folder: Path) -> bool:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (folder / "pyvenv.cfg").is_file() or (folder / "lib" / version / "os.py").is_file()


def make_environment(home: str, scratch: str = "/tmp") -> dict[str, str]:
    """All environment variables of a program. A fixed hash seed makes runs reproducible.

    Libraries compute on one thread: their threads do not survive the forks that make checkpoints, and sums
    depend on the number of threads. There is no screen, sound or terminal; the variables say so, which
    keeps libraries from complaining.
    """
    return {
        **time_zone(os.environ),
        **ONE_THREAD,
        **NO_DEVICES,
        "PATH": f"{os.path.dirname(find_interpreter().python)}:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "USER": "user",
        "LANG": "C.UTF-8",
        "TMPDIR": scratch,
        "XDG_CACHE_HOME": f"{scratch}/.cache",
        "XDG_CONFIG_HOME": f"{scratch}/.config",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHON_CPU_COUNT": str(min(PROCESSORS, os.cpu_count() or 1)),
        "HF_HUB_OFFLINE": "1",
        "NUMBA_CACHE_DIR": f"{scratch}/.numba",
        "MPLBACKEND": "module://mtchat.sandbox.guest.patches.figures",
        "MPLCONFIGDIR": f"{scratch}/.matplotlib",
        "XDG_RUNTIME_DIR": scratch,
        "MALLOC_ARENA_MAX": "2",
    }


def time_zone(variables: Mapping[str, str]) -> dict[str, str]:
    """The host's time zone if TZ is the name of one; it could also be the path of a file."""
    name = variables.get("TZ", "")
    return {"TZ": name} if ZONE.fullmatch(name) and ".." not in name else {}
