"""Imports transformers quickly and silently: only the modules that causal language models need."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any


def import_transformers() -> Any:
    """Import transformers, with its log and its progress bars off."""
    with fast_transformers() as transformers:
        return transformers


@contextlib.contextmanager
def fast_transformers() -> Iterator[Any]:
    """transformers for a block that loads a model, during which garbage collection is paused."""
    with pause_garbage_collection():
        import transformers
        import transformers.models.auto.modeling_auto

        log: Any = transformers.logging
        log.set_verbosity_error()
        log.disable_progress_bar()
        yield transformers


@contextlib.contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Pause cyclic garbage collection, which would walk half a million new objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
