"""Chooses the device and the precision that a model computes with."""

import importlib.util
import os
from pathlib import Path

from mtchat.errors import ModelError, UsageError

AUTO, QUANTISED, INT8, INT4 = "auto", "quantised", "int8", "int4"
LLAMA_CPP = "llama.cpp"  # the weights of a GGUF file as they are stored, computed by llama.cpp
CPU, GPU = "cpu", "cuda"
GPU_PRECISIONS = (INT8, INT4)  # supported on a GPU only
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
AUTOMATIC = ("float32", "bfloat16")  # float16 overflows easily, and is slow on a CPU
MEMORY_SHARE = 0.6  # of the memory that weights may take
GPU_SHARE = 0.85  # of a GPU's memory that weights may take: the rest is for the KV cache
CGROUP = Path("/sys/fs/cgroup/memory.max")
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # on Linux, and on Linux under Windows
OUT_OF_MEMORY = "{} does not fit in the free memory of the GPU; use a smaller model, or --device cpu"


def choose_precision(wanted: str, parameters: int, memory: int) -> str:
    """The precision for `parameters` weights on a machine with `memory` bytes: float32 if it fits.

    bfloat16 rounds so coarsely that a cached prefix and a recomputed one can differ in the next token; it is
    for models that do not fit otherwise. The choice depends on the machine's memory and not on the free
    memory, because a replay must make the same choice.
    """
    if wanted in GPU_PRECISIONS:
        raise UsageError(
            f"{wanted} needs a GPU; on the CPU, use --precision quantised, which has 8 bits or less"
        )
    if wanted != AUTO:
        if wanted not in BYTES:
            raise UsageError(
                f"unknown precision {wanted!r}; use {AUTO}, {QUANTISED}, {LLAMA_CPP}, {', '.join(BYTES)}"
            )
        return wanted
    for precision in AUTOMATIC:
        if parameters * BYTES[precision] <= MEMORY_SHARE * memory:
            return precision
    smallest = min(BYTES.values()) * parameters
    raise ModelError(
        f"this model needs at least {smallest / 1e9:.1f} GB, and this machine has {memory / 1e9:.1f} GB "
        "of memory; use a smaller model, or force it with --precision bfloat16"
    )


def gpu_precision(stored: str) -> str:
    """The 16-bit precision on a GPU for a model with weights in `stored`.

    Models released in float16, such as CodeGen, were made to run in it; rounded to bfloat16, they would lose
    three bits of each weight. Any other model may contain numbers that are too large for float16.
    """
    return "float16" if stored == "float16" else "bfloat16"


def machine_memory() -> int:
    """The bytes of memory that this process can use: the machine's, or its container's limit."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(CGROUP.read_text()))
    except (OSError, ValueError):
        return total


def list_gpus() -> tuple[str, ...]:
    """The names of the GPUs; none if there is no GPU or torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return ()
    import torch

    return tuple(torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count()))


def choose_device(wanted: str, precision: str) -> str:
    """The torch device: a GPU if there is one; without its driver, torch is not even imported.

    Quantised weights run on the CPU only, and so does llama.cpp.
    """
    on_cpu = precision in (QUANTISED, LLAMA_CPP)
    if wanted == AUTO:
        return GPU if not on_cpu and any(map(Path.exists, DRIVERS)) and list_gpus() else CPU
    if wanted == GPU and on_cpu:
        what = "quantised weights run" if precision == QUANTISED else "llama.cpp runs"
        raise UsageError(f"{what} on the CPU only; leave out --precision or --device")
    if wanted == GPU and not list_gpus():
        raise UsageError(
            "PyTorch finds no GPU that it can use (`make torch` or `pip install 'mtchat[torch]'` installs "
            "PyTorch); leave out --device to use the CPU"
        )
    return wanted


def needs_several_gpus(bytes: int) -> bool:
    """Whether `bytes` of weights must be split over several GPUs; ModelError if they do not fit at all."""
    import torch

    free = [torch.cuda.mem_get_info(each)[0] for each in range(torch.cuda.device_count())]
    if bytes <= GPU_SHARE * free[0]:
        return False
    if bytes > GPU_SHARE * sum(free):
        raise ModelError(
            f"this model needs {bytes / 1e9:.1f} GB, and {sum(free) / 1e9:.1f} GB are free on "
            f"{len(free)} GPU{'s' * (len(free) > 1)}; use a smaller model, or --device cpu"
        )
    return True
