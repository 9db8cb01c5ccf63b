"""LibCST, which is imported when the first code is read: the start of the program does not wait for it."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import libcst as cst
    from libcst import metadata
else:

    class LazyModule:
        """A module that is imported when a name of it is first used."""

        def __init__(self, name: str) -> None:
            self.name_of_module = name

        def __getattr__(self, name: str) -> object:
            value = getattr(importlib.import_module(self.name_of_module), name)
            setattr(self, name, value)
            return value

    cst = LazyModule("libcst")
    metadata = LazyModule("libcst.metadata")

__all__ = ["cst", "metadata"]
