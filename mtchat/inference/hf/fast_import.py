"""Imports transformers with the modules of causal language models, silent and without pauses."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any


def load() -> Any:
    """transformers, silent, with the modules of causal language models imported."""
    with quickly() as transformers:
        return transformers


@contextlib.contextmanager
def quickly() -> Iterator[Any]:
    """The same, for a block that loads a model."""
    with collecting_nothing():
        import transformers
        import transformers.models.auto.modeling_auto

        log: Any = transformers.logging
        log.set_verbosity_error()
        log.disable_progress_bar()
        yield transformers


@contextlib.contextmanager
def collecting_nothing() -> Iterator[None]:
    """No cyclic garbage collection meanwhile: it would walk half a million fresh objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
