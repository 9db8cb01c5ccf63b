"""Threads that do not keep a state from being forked: Arrow stops and restarts its own around a fork."""

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
FORKABLE: set[str] = set()  # the numbers of such threads


def note_new_threads(read: "Callable[..., Any]") -> "Callable[..., Any]":
    """The same function; threads that are there only after the first call of it are Arrow's."""

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
    """The functions of the module, and each generator that is made without a seed."""
    random.seed(SEED)
    drawn = drawing(random)
    begin = random.Random.__init__

    def __init__(self: object, x: object = None) -> None:  # noqa: N807
        begin(self, drawn(DRAWN_BITS) if x is None else x)

    random.Random.__init__ = __init__


def drawing(random: ModuleType) -> "Callable[[int], int]":
    """A stream of bits that begins at the seed; its own, so that no draw of the program moves it."""
    draw: Callable[[int], int] = random.Random(SEED).getrandbits
    return draw


def seed_entropy(generators: ModuleType) -> None:
    """Where numpy looks for chance when a generator, such as `default_rng()`, is made without a seed."""
    if hasattr(generators, "randbits"):
        vars(generators).update(randbits=drawing(__import__("random")))


def seed_numpy(random: ModuleType) -> None:
    random.seed(SEED)


def seed_torch(torch: ModuleType) -> None:
    torch.default_generator.manual_seed(SEED)


def seed_polars(polars: ModuleType) -> None:
    polars.set_random_seed(SEED)


def leave_names(tempfile: ModuleType) -> None:
    """Names of temporary files are new in each process, so they must not use up what programs draw."""
    random = sys.modules["random"]
    system = random.SystemRandom()
    vars(tempfile).update(_Random=lambda: random.Random(system.getrandbits(DRAWN_BITS)))


SEEDERS = {
    "random": seed_random,
    "numpy.random": seed_numpy,
    "numpy.random.bit_generator": seed_entropy,
    "tempfile": leave_names,
    "torch": seed_torch,
    "polars": seed_polars,
}


def seed_patches() -> "dict[str, Callable[[ModuleType], None]]":
    """Seed what is imported by now; what to do with the rest once it is."""
    for name in [name for name in SEEDERS if name in sys.modules]:
        SEEDERS[name](sys.modules[name])
    return {name: seed for name, seed in SEEDERS.items() if name not in sys.modules}


MOST_HOSTS = 8
OWN_HOSTS = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "sbx")
CANVAS = "module://mtchat.sandbox.guest.patches.figures"


class PatchFinder:
    """A finder that finds nothing itself: it lets the usual one find a module, and has a last word on it."""

    def __init__(self, sources: dict[str, str], asked: list[str]) -> None:
        self.patches: dict[str, Callable[[ModuleType], None]] = {
            "linecache": lambda module: fill_linecache(module.cache, sources),
            "matplotlib": keep_our_canvas,
            "matplotlib.pyplot": keep_our_switch,
            "asyncio.base_events": refuse_deaf_servers,
            "socket": lambda module: note_hosts(asked),
            "multiprocessing.spawn": lambda module: give_main(module, sources),
            "subprocess": give_packages,
            "numba.core.dispatcher": cache_only_files,
            "tqdm.std": keep_to_one_thread,
            **pictures.PICTURE_PATCHES,
            **ARROW_PATCHES,
            **seed_patches(),
        }

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        if name == "distutils" and sys.version_info >= (3, 12):
            return its_shim(name, path, target)
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


def note_hosts(asked: list[str]) -> None:
    """Note the first hosts that the program tries to reach, which no library's error need tell of."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.getaddrinfo" and len(asked) < MOST_HOSTS:
            host = arguments[0].decode(errors="replace") if isinstance(arguments[0], bytes) else arguments[0]
            if isinstance(host, str) and host not in OWN_HOSTS:
                asked.append(host)

    sys.addaudithook(hook)


def refuse_deaf_servers(events: ModuleType) -> None:
    """asyncio skips what it cannot open, so without sockets a server would claim to run and hear nothing."""
    serve = events.BaseEventLoop.create_server

    async def create_server(
        loop: object, factory: object, host: object = None, port: object = None, **more: object
    ) -> object:
        if more.get("sock") is None:
            events.socket.socket().close()
        return await serve(loop, factory, host, port, **more)

    events.BaseEventLoop.create_server = create_server


def keep_our_canvas(matplotlib: ModuleType) -> None:
    """There is no display: a program that asks for a window gets files; an unknown name is still an error."""

    def use(backend: str, *, force: bool = True) -> None:
        matplotlib.rcsetup.validate_backend(backend)

    vars(matplotlib).update(use=use)


def keep_our_switch(pyplot: ModuleType) -> None:
    """The same for the name that pyplot has for it."""
    switch = pyplot.switch_backend

    def switch_backend(newbackend: str) -> None:
        pyplot.matplotlib.rcsetup.validate_backend(newbackend)
        switch(CANVAS)

    vars(pyplot).update(switch_backend=switch_backend)


def keep_to_one_thread(std: ModuleType) -> None:
    """A bar without the thread that watches it and the lock that processes share: neither can be forked."""
    std.tqdm.monitor_interval = 0
    std.TqdmDefaultWriteLock.mp_lock = None


def give_packages(subprocess: ModuleType) -> None:
    """A Python that is started with the flags of this one finds the installed packages all the same."""
    flags = subprocess._args_from_interpreter_flags

    def _args_from_interpreter_flags() -> "list[str]":
        return [flag for flag in flags() if flag != "-S"]

    vars(subprocess).update(_args_from_interpreter_flags=_args_from_interpreter_flags)


def cache_only_files(dispatcher: ModuleType) -> None:
    """numba refuses to keep what it compiles from a turn, which has no file; then it stays in memory."""
    enable = dispatcher.Dispatcher.enable_caching

    def enable_caching(self: "Any") -> None:
        if not self.py_func.__code__.co_filename.startswith("<"):
            enable(self)

    dispatcher.Dispatcher.enable_caching = enable_caching


def its_shim(name: str, path: "Sequence[str] | None", target: ModuleType | None) -> "ModuleSpec | None":
    """distutils as setuptools has it, which its .pth file would have seen to."""
    try:
        hack: Any = __import__("_distutils_hack")
    except ImportError:
        return None
    found: ModuleSpec | None = hack.DistutilsMetaFinder().find_spec(name, path, target)
    return found


def give_main(spawn: ModuleType, sources: dict[str, str]) -> None:
    """A process that multiprocessing starts afresh imports the main module, so it needs a file of it."""
    prepare = spawn.get_preparation_data

    def get_preparation_data(name: str) -> "dict[str, object]":
        prepared: dict[str, object] = prepare(name)
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), ".main.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n\n".join(sources.values()) + "\n")
        return {**prepared, "init_main_from_path": path}

    vars(spawn).update(get_preparation_data=get_preparation_data)
