"""Imports transformers with the modules of causal language models, silent and without pauses."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any


def import_transformers() -> Any:
    """transformers, silent, with the modules of causal language models imported."""
    with fast_transformers() as transformers:
        return transformers


@contextlib.contextmanager
def fast_transformers() -> Iterator[Any]:
    """The same, for a block that loads a model."""
    with garbage_collection_paused():
        import transformers
        import transformers.models.auto.modeling_auto

        log: Any = transformers.logging
        log.set_verbosity_error()
        log.disable_progress_bar()
        yield transformers


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """No cyclic garbage collection meanwhile: it would walk half a million fresh objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
