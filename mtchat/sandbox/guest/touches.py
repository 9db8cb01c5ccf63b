"""Touches up a few modules right after the program first imports them; importing them first would cost."""

import os
import sys
from types import ModuleType

from mtchat.sandbox.guest import pictures, pools, seeds
from mtchat.sandbox.guest.account import fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

MOST_HOSTS = 8
OWN_HOSTS = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "sbx")
CANVAS = "module://mtchat.sandbox.guest.figures"


class AfterImport:
    """A finder that finds nothing itself: it lets the usual one find a module, and has a last word on it."""

    def __init__(self, sources: dict[str, str], asked: list[str]) -> None:
        self.touches: dict[str, Callable[[ModuleType], None]] = {
            "linecache": lambda module: fill(module.cache, sources),
            "matplotlib": keep_our_canvas,
            "matplotlib.pyplot": keep_our_switch,
            "asyncio.base_events": refuse_deaf_servers,
            "socket": lambda module: note_hosts(asked),
            "multiprocessing.spawn": lambda module: give_main(module, sources),
            "subprocess": give_packages,
            "numba.core.dispatcher": cache_only_files,
            "tqdm.std": keep_to_one_thread,
            **pictures.TOUCHES,
            **pools.TOUCHES,
            **seeds.begin(),
        }

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        if name == "distutils" and sys.version_info >= (3, 12):
            return its_shim(name, path, target)
        touch = self.touches.pop(name, None)
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
