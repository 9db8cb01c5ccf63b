"""Changes a few modules right after the program first imports them; importing them up front would cost.

Random numbers are reproducible: what a program draws without a seed of its own is the same in every run, as
if it began with `random.seed(0)`, `numpy.random.seed(0)` and `torch.manual_seed(0)`. A turn that runs again,
and a run from nothing, then draw what was shown before. A seed in the program counts, and what asks the
system (`secrets`, `os.urandom`, `uuid`, `random.seed()`) stays random.
"""

import os
import posix
import sys
from types import ModuleType

from mtchat.sandbox.guest.patches import pictures
from mtchat.sandbox.guest.source_file import fill_linecache

TYPE_CHECKING = False  # as in typing, which would cost 12 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any


TASKS = "/proc/self/task"
FORKABLE: set[str] = set()  # threads that survive a fork: Arrow stops and restarts its own around it


def note_new_threads(read: "Callable[..., Any]") -> "Callable[..., Any]":
    """Wrap a function of Arrow's: threads that appear during its call belong to Arrow."""

    def read_and_note(*arguments: "Any", **options: "Any") -> "Any":
        before = list_threads()
        try:
            return read(*arguments, **options)
        finally:
            FORKABLE.update(list_threads() - before)

    vars(read_and_note).update(__wrapped__=read, __name__=read.__name__, __doc__=read.__doc__)
    return read_and_note


def list_threads() -> set[str]:
    try:
        return {*posix.listdir(TASKS)}
    except OSError:
        return set()


def note_tables(parquet: ModuleType) -> None:
    vars(parquet).update(read_table=note_new_threads(parquet.read_table))
    for name in ("__init__", "read"):
        setattr(parquet.ParquetFile, name, note_new_threads(getattr(parquet.ParquetFile, name)))


def note_csv(csv: ModuleType) -> None:
    vars(csv).update(read_csv=note_new_threads(csv.read_csv))


ARROW_PATCHES: "dict[str, Callable[[ModuleType], None]]" = {
    "pyarrow.parquet.core": note_tables,
    "pyarrow.csv": note_csv,
}


SEED = 0
DRAWN_BITS = 64


def seed_random(random: ModuleType) -> None:
    """Seed the functions of the module, and each generator that is created without a seed."""
    random.seed(SEED)
    drawn = seeded_bits(random)
    begin = random.Random.__init__

    def __init__(self: object, x: object = None) -> None:  # noqa: N807
        begin(self, drawn(DRAWN_BITS) if x is None else x)

    random.Random.__init__ = __init__


def seeded_bits(random: ModuleType) -> "Callable[[int], int]":
    """A stream of bits that starts at the seed, independent of what the program draws."""
    draw: Callable[[int], int] = random.Random(SEED).getrandbits
    return draw


def seed_entropy(generators: ModuleType) -> None:
    """Seed the entropy that numpy uses for generators without a seed, such as `default_rng()`."""
    if hasattr(generators, "randbits"):
        vars(generators).update(randbits=seeded_bits(__import__("random")))


def seed_numpy(random: ModuleType) -> None:
    random.seed(SEED)


def seed_torch(torch: ModuleType) -> None:
    torch.default_generator.manual_seed(SEED)


def seed_polars(polars: ModuleType) -> None:
    polars.set_random_seed(SEED)


def seed_tempfile(tempfile: ModuleType) -> None:
    """Draw names of temporary files from the system, so that they do not change what programs draw."""
    random = sys.modules["random"]
    system = random.SystemRandom()
    vars(tempfile).update(_Random=lambda: random.Random(system.getrandbits(DRAWN_BITS)))


SEEDERS = {
    "random": seed_random,
    "numpy.random": seed_numpy,
    "numpy.random.bit_generator": seed_entropy,
    "tempfile": seed_tempfile,
    "torch": seed_torch,
    "polars": seed_polars,
}


def seed_patches() -> "dict[str, Callable[[ModuleType], None]]":
    """Seed the modules that are imported already; the patches for the others."""
    for name in [name for name in SEEDERS if name in sys.modules]:
        SEEDERS[name](sys.modules[name])
    return {name: seed for name, seed in SEEDERS.items() if name not in sys.modules}


MOST_HOSTS = 8
OWN_HOSTS = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "sbx")
CANVAS = "module://mtchat.sandbox.guest.patches.figures"


class PatchFinder:
    """A finder that lets the usual one find a module, and patches the module after its import."""

    def __init__(self, sources: dict[str, str], asked: list[str]) -> None:
        self.patches: dict[str, Callable[[ModuleType], None]] = {
            "linecache": lambda module: fill_linecache(module.cache, sources),
            "matplotlib": use_file_canvas,
            "matplotlib.pyplot": keep_file_canvas,
            "asyncio.base_events": fail_without_sockets,
            "socket": lambda module: record_hosts(asked),
            "multiprocessing.spawn": lambda module: write_main_module(module, sources),
            "subprocess": share_packages,
            "numba.core.dispatcher": disable_turn_caching,
            "tqdm.std": disable_tqdm_thread,
            **pictures.PICTURE_PATCHES,
            **ARROW_PATCHES,
            **seed_patches(),
        }

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        if name == "distutils" and sys.version_info >= (3, 12):
            return find_distutils(name, path, target)
        touch = self.patches.pop(name, None)
        if touch is None:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_touch(module: ModuleType) -> None:
            execute(module)
            touch(module)

        spec.loader.exec_module = execute_and_touch  # type: ignore[method-assign]
        return spec


def record_hosts(asked: list[str]) -> None:
    """Record the first hosts that the program tries to reach, which errors of libraries may not name."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.getaddrinfo" and len(asked) < MOST_HOSTS:
            host = arguments[0].decode(errors="replace") if isinstance(arguments[0], bytes) else arguments[0]
            if isinstance(host, str) and host not in OWN_HOSTS:
                asked.append(host)

    sys.addaudithook(hook)


def fail_without_sockets(events: ModuleType) -> None:
    """Make asyncio fail without sockets; otherwise a server would seem to run but receive nothing."""
    serve = events.BaseEventLoop.create_server

    async def create_server(
        loop: object, factory: object, host: object = None, port: object = None, **more: object
    ) -> object:
        if more.get("sock") is None:
            events.socket.socket().close()
        return await serve(loop, factory, host, port, **more)

    events.BaseEventLoop.create_server = create_server


def use_file_canvas(matplotlib: ModuleType) -> None:
    """Make `matplotlib.use` keep the file backend; an unknown name is still an error."""

    def use(backend: str, *, force: bool = True) -> None:
        matplotlib.rcsetup.validate_backend(backend)

    vars(matplotlib).update(use=use)


def keep_file_canvas(pyplot: ModuleType) -> None:
    """The same for `pyplot.switch_backend`."""
    switch = pyplot.switch_backend

    def switch_backend(newbackend: str) -> None:
        pyplot.matplotlib.rcsetup.validate_backend(newbackend)
        switch(CANVAS)

    vars(pyplot).update(switch_backend=switch_backend)


def disable_tqdm_thread(std: ModuleType) -> None:
    """Disable the monitor thread and the shared lock of tqdm, because neither survives a fork."""
    std.tqdm.monitor_interval = 0
    std.TqdmDefaultWriteLock.mp_lock = None


def share_packages(subprocess: ModuleType) -> None:
    """Let a Python that is started with the flags of this one find the installed packages."""
    flags = subprocess._args_from_interpreter_flags

    def _args_from_interpreter_flags() -> "list[str]":
        return [flag for flag in flags() if flag != "-S"]

    vars(subprocess).update(_args_from_interpreter_flags=_args_from_interpreter_flags)


def disable_turn_caching(dispatcher: ModuleType) -> None:
    """Let numba keep compiled turns in memory, because turns have no file to cache them for."""
    enable = dispatcher.Dispatcher.enable_caching

    def enable_caching(self: "Any") -> None:
        if not self.py_func.__code__.co_filename.startswith("<"):
            enable(self)

    dispatcher.Dispatcher.enable_caching = enable_caching


def find_distutils(name: str, path: "Sequence[str] | None", target: ModuleType | None) -> "ModuleSpec | None":
    """Find distutils in setuptools, as the .pth file of setuptools would do."""
    try:
        hack: Any = __import__("_distutils_hack")
    except ImportError:
        return None
    found: ModuleSpec | None = hack.DistutilsMetaFinder().find_spec(name, path, target)
    return found


def write_main_module(spawn: ModuleType, sources: dict[str, str]) -> None:
    """Write the main module to a file, which a process that multiprocessing spawns imports."""
    prepare = spawn.get_preparation_data

    def get_preparation_data(name: str) -> "dict[str, object]":
        prepared: dict[str, object] = prepare(name)
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), ".main.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n\n".join(sources.values()) + "\n")
        return {**prepared, "init_main_from_path": path}

    vars(spawn).update(get_preparation_data=get_preparation_data)
