"""mtchat builds Python programs by conversation: multi-turn program synthesis.

In a terminal it is the command `mtchat`; as a library:

    import mtchat

    model = mtchat.load_model("starter")
    with mtchat.Conversation(model, store="primes") as chat:
        print(chat.send("Define a list with the first ten primes").code)

The public names are those of `mtchat.api`, and docs/api.md shows how they are used. They are imported when
one of them is first used, so that `import mtchat` and `mtchat --help` take no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mtchat.version import __version__ as __version__

if TYPE_CHECKING:
    from mtchat.api import *  # noqa: F403
    from mtchat.api import __all__ as __all__


def __getattr__(name: str) -> object:
    """A public name; `__all__` lists them."""
    if name in ("__all__", "load_model") or name[:1].isupper():  # else a module: importing it asks here first
        api = import_module("mtchat.api")
        if name == "__all__" or name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module 'mtchat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module("mtchat.api").__all__})
