"""The C library of llama.cpp, which the xllamacpp wheel brings: its structures and functions.

The wheel's own server has no way to score a text, to sample with our sampler or to stop at once; the C
interface, which the same file exports, has all of them. Its structures can change with a version, so their
defaults are compared with the expected ones before anything is passed to it.
"""

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError

PACKAGE = "xllamacpp"
INSTALL = "pip install 'mtchat[llamacpp]'"
SPIN, SPIN_COUNT = "GOMP_SPINCOUNT", "1000"
RESERVE = 512  # bytes at the end of a structure, for fields of later versions
WARNING, ERROR, CONTINUED = 3, 4, 5  # levels of log lines

PROGRESS = ctypes.CFUNCTYPE(c_bool, c_float, c_void_p)
LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)


class LlamaModelParameters(ctypes.Structure):
    _fields_ = (
        ("devices", c_void_p),
        ("buffer_overrides", c_void_p),
        ("gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress", PROGRESS),
        ("progress_data", c_void_p),
        ("overrides", c_void_p),
        ("vocabulary_only", c_bool),
        ("check_tensors", c_bool),
        ("repack", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
        ("reserve", c_int8 * RESERVE),
    )


class LlamaContextParameters(ctypes.Structure):
    _fields_ = (
        *((name, c_uint32) for name in ("context", "batch", "step", "sequences", "rollback")),
        *((name, c_uint32) for name in ("outputs", "outputs_per_sequence")),
        *((name, c_int32) for name in ("threads", "batch_threads")),
        *((name, c_int32) for name in ("kind", "rope_scaling", "pooling", "attention", "flash_attention")),
        *((name, c_float) for name in ("rope_base", "rope_scale")),
        *((name, c_float) for name in ("yarn_extrapolation", "yarn_attention", "yarn_fast", "yarn_slow")),
        ("yarn_context", c_uint32),
        ("defragment", c_float),
        ("evaluate", c_void_p),
        ("evaluate_data", c_void_p),
        ("key_type", c_int32),
        ("value_type", c_int32),
        ("expert_cache", c_size_t),
        ("abort", c_void_p),
        ("abort_data", c_void_p),
        *((name, c_bool) for name in ("embeddings", "offload", "no_timing", "offload_operations")),
        ("full_window", c_bool),
        ("unified", c_bool),
        ("samplers", c_void_p),
        ("sampler_count", c_size_t),
        ("other", c_void_p),
        ("reserve", c_int8 * RESERVE),
    )


class LlamaBatch(ctypes.Structure):
    _fields_ = (
        ("count", c_int32),
        *((name, c_void_p) for name in ("tokens", "embeddings", "positions", "counts", "sequences")),
        ("wanted", c_void_p),
    )


# what llama.cpp sets in them by default, where it is neither 0 nor None
MODEL_DEFAULTS = {"gpu_layers": -1, "split_mode": 1, "load_mode": -1, "lazy_mode": 1, "repack": True}
CONTEXT_DEFAULTS = {
    **{"context": 512, "batch": 2048, "step": 512, "sequences": 1, "outputs_per_sequence": 1},
    **{"threads": 4, "batch_threads": 4, "key_type": 1, "value_type": 1, "defragment": -1},
    **dict.fromkeys(("rope_scaling", "pooling", "attention", "flash_attention"), -1),
    **dict.fromkeys(("yarn_extrapolation", "yarn_attention", "yarn_fast", "yarn_slow"), -1),
    **dict.fromkeys(("offload", "no_timing", "offload_operations", "full_window"), True),
}

FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "backend_init": (None, ()),
    "log_set": (None, (c_void_p, c_void_p)),
    "model_default_params": (LlamaModelParameters, ()),
    "context_default_params": (LlamaContextParameters, ()),
    "model_load_from_file": (c_void_p, (c_char_p, LlamaModelParameters)),
    "model_free": (None, (c_void_p,)),
    "init_from_model": (c_void_p, (c_void_p, LlamaContextParameters)),
    "free": (None, (c_void_p,)),
    "n_ctx": (c_uint32, (c_void_p,)),
    "n_ctx_seq": (c_uint32, (c_void_p,)),
    "n_batch": (c_uint32, (c_void_p,)),
    "n_ubatch": (c_uint32, (c_void_p,)),
    "n_seq_max": (c_uint32, (c_void_p,)),
    "n_threads": (c_int32, (c_void_p,)),
    "n_threads_batch": (c_int32, (c_void_p,)),
    "model_n_ctx_train": (c_int32, (c_void_p,)),
    "model_n_swa": (c_int32, (c_void_p,)),
    "model_is_recurrent": (c_bool, (c_void_p,)),
    "model_is_hybrid": (c_bool, (c_void_p,)),
    "model_has_encoder": (c_bool, (c_void_p,)),
    "model_is_diffusion": (c_bool, (c_void_p,)),
    "model_get_vocab": (c_void_p, (c_void_p,)),
    "adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "set_adapters_lora": (c_int32, (c_void_p, c_void_p, c_size_t, c_void_p)),
    "get_memory": (c_void_p, (c_void_p,)),
    "memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "memory_seq_cp": (None, (c_void_p, c_int32, c_int32, c_int32, c_int32)),
    "memory_seq_pos_min": (c_int32, (c_void_p, c_int32)),
    "state_seq_get_size_ext": (c_size_t, (c_void_p, c_int32, c_uint32)),
    "decode": (c_int32, (c_void_p, LlamaBatch)),
    "get_logits_ith": (POINTER(c_float), (c_void_p, c_int32)),
    "vocab_n_tokens": (c_int32, (c_void_p,)),
    "vocab_get_text": (c_char_p, (c_void_p, c_int32)),
    "vocab_get_attr": (c_int32, (c_void_p, c_int32)),
    "vocab_is_eog": (c_bool, (c_void_p, c_int32)),
    "vocab_bos": (c_int32, (c_void_p,)),
    "vocab_eos": (c_int32, (c_void_p,)),
    "tokenize": (c_int32, (c_void_p, c_char_p, c_int32, c_void_p, c_int32, c_bool, c_bool)),
    "detokenize": (c_int32, (c_void_p, c_void_p, c_int32, c_void_p, c_int32, c_bool, c_bool)),
}


def missing_reason() -> str:
    """Why llama.cpp cannot be used, and what to do; "" if it can."""
    if importlib.util.find_spec(PACKAGE) is None:
        return f"llama.cpp is not installed ({INSTALL})"
    try:
        load_library()
    except ModelError as error:
        return str(error)
    return ""


@cache
def load_library() -> "LlamaLibrary":
    """The library of the installed wheel; ModelError if it is missing or of an unknown form."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    files = [file for each in folders or () for file in sorted(Path(each).glob(f"{PACKAGE}*.so"))]
    if not files:
        raise ModelError(f"llama.cpp is not installed ({INSTALL})")
    unknown = f"xllamacpp {importlib.metadata.version(PACKAGE)} has another interface than mtchat knows; "
    try:
        with brief_spinning():
            library = LlamaLibrary(ctypes.CDLL(str(files[0])))
    except (OSError, AttributeError) as error:
        raise ModelError(f"{unknown}install the tested version: {INSTALL} ({error})") from error
    if odd := library.differences():
        raise ModelError(f"{unknown}install the tested version: {INSTALL} (its {odd[0]} differs)")
    return library


@contextlib.contextmanager
def brief_spinning() -> Iterator[None]:
    """Have OpenMP, which reads its settings when it is loaded, let waiting threads sleep soon.

    By default they spin for milliseconds at each of hundreds of barriers in a step: on two cores with other
    work that was 2.6 s for a token, and 0.09 s without.
    """
    if any(name in os.environ for name in (SPIN, "OMP_WAIT_POLICY")):
        yield
        return
    os.environ[SPIN] = SPIN_COUNT
    try:
        yield
    finally:
        del os.environ[SPIN]


class LlamaLibrary:
    """The functions of llama.cpp without their prefix `llama_`; it writes no line on the terminal."""

    def __init__(self, found: ctypes.CDLL) -> None:
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(found, f"llama_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        process = ctypes.CDLL(None)
        # C functions that fit: one ignores its arguments, the other says whether a text begins with a letter.
        # Threads of llama.cpp call them at any time, even while Python ends, so they must not be Python's.
        self.ignore = ctypes.cast(process.labs, c_void_p)
        self.is_raised = ctypes.cast(process.strlen, c_void_p)
        self.log_set(self.ignore, None)
        self.backend_init()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def differences(self) -> list[str]:
        """The fields of the structures whose defaults are not those that mtchat knows."""
        found = (
            ("model settings", self.model_default_params(), MODEL_DEFAULTS),
            ("context settings", self.context_default_params(), CONTEXT_DEFAULTS),
        )
        return [
            f"{name.replace('_', ' ')} in the {kind}"
            for kind, values, wanted in found
            for name, *_ in values._fields_
            if name != "reserve" and plain_value(getattr(values, name)) != wanted.get(name, 0)
        ]

    @contextlib.contextmanager
    def logged(self) -> Iterator[list[str]]:
        """The warnings and errors that llama.cpp writes meanwhile."""
        lines: list[str] = []
        last = [0]

        def write(level: int, text: bytes, _: object) -> None:
            if level != CONTINUED:
                last[0] = level
                if level in (WARNING, ERROR):
                    lines.append("")
            if last[0] in (WARNING, ERROR) and lines:
                lines[-1] += text.decode("utf-8", "replace")

        callback = LOG(write)
        self.log_set(ctypes.cast(callback, c_void_p), None)
        try:
            yield lines
        finally:
            self.log_set(self.ignore, None)


def plain_value(value: Any) -> Any:
    """A default as a number: pointers and callbacks are 0 where they are empty."""
    if isinstance(value, PROGRESS):
        return int(bool(value))
    return 0 if value is None else value


def failure_reason(lines: Sequence[str]) -> str:
    """What the log says about a failure: the text after the last "error ...:", without function names."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if "error loading" in line] or said
    if not errors:
        return "it gives no reason"
    line = errors[0]
    line = re.split(r"error loading model[ \w]*: ", line)[-1]
    name, mark, rest = line.partition(": ")
    return rest if mark and " " not in name else line
