"""Imports transformers' causal language models without what only training, sharding and compiling use."""

import contextlib
import gc
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

MEASURED = "5.23."
DYNAMO = "torch._dynamo"
FLEX_MASKS = "torch._dynamo._trace_wrapped_higher_order_op"


def load() -> Any:
    """transformers, silent, with the modules of causal language models imported."""
    with quickly() as transformers:
        return transformers


@contextlib.contextmanager
def quickly(spared: bool = True) -> Iterator[Any]:
    """The same, for a block that loads a model: that too would import the compiler.

    Nothing is spared where a model goes on GPUs, which takes some of it.
    """
    with collecting_nothing():
        import transformers

        # which parts may be left out is known for this version only; any other is imported as it comes
        known = spared and transformers.__version__.startswith(MEASURED) and DYNAMO not in sys.modules
        with compilers_absent() if known else contextlib.nullcontext():
            import transformers.generation.utils
            import transformers.masking_utils
            import transformers.modeling_layers
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


@contextlib.contextmanager
def compilers_absent() -> Iterator[None]:
    """Stand-ins meanwhile for what transformers only decorates with, or asks the presence of."""
    import torch
    from transformers import utils

    dynamo, flex = ModuleType(DYNAMO), ModuleType(FLEX_MASKS)
    vars(dynamo)["__getattr__"] = lambda name: same
    vars(flex)["TransformGetItemToIndex"] = contextlib.nullcontext
    stand_ins: list[tuple[Any, str, object]] = [
        (torch, "_dynamo", dynamo),
        (torch.distributed, "is_available", lambda: False),
        (utils, "is_scipy_available", lambda: False),
        (utils, "is_accelerate_available", lambda *_: False),
    ]
    originals = [(owner, name, vars(owner).get(name)) for owner, name, _ in stand_ins]
    sys.modules |= {DYNAMO: dynamo, FLEX_MASKS: flex}
    try:
        for owner, name, stand_in in stand_ins:
            setattr(owner, name, stand_in)
        yield
    finally:
        del sys.modules[DYNAMO], sys.modules[FLEX_MASKS]
        for owner, name, original in originals:
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def same(function: Any = None, *_rest: object, **_options: object) -> Any:
    """A decorator that changes nothing, with or without arguments."""
    return function or same
