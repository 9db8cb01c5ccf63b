"""Chooses the number format of the weights: float32 where it fits, so that a seed gives the same text."""

import importlib.util
import os
from pathlib import Path

from mtchat.errors import ModelError, UsageError

AUTO, QUANTISED, INT8, INT4 = "auto", "quantised", "int8", "int4"
GPU_PRECISIONS = (INT8, INT4)  # what only a GPU computes
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
AUTOMATIC = ("float32", "bfloat16")  # float16 has no room for large numbers, and is slow without a GPU
MEMORY_SHARE = 0.6
CGROUP = Path("/sys/fs/cgroup/memory.max")


def choose_precision(wanted: str, parameters: int, memory: int) -> str:
    """The format for so many weights in so many bytes of memory.

    bfloat16 rounds so coarsely that a reused prefix and a fresh one can differ in the next token; it is
    for what does not fit otherwise. The choice goes by the machine's memory and not by what is free now,
    because a replay must choose the same.
    """
    if wanted in GPU_PRECISIONS:
        raise UsageError(
            f"{wanted} is computed on a GPU; on the processor, --precision quantised has 8 bits or less"
        )
    if wanted != AUTO:
        if wanted not in BYTES:
            raise UsageError(f"no precision {wanted!r}; there are: {AUTO}, {QUANTISED}, {', '.join(BYTES)}")
        return wanted
    for precision in AUTOMATIC:
        if parameters * BYTES[precision] <= MEMORY_SHARE * memory:
            return precision
    smallest = min(BYTES.values()) * parameters
    raise ModelError(
        f"this model takes {smallest / 1e9:.1f} GB at least, and this machine has {memory / 1e9:.1f} GB "
        "of memory; use a smaller model, or insist with --precision bfloat16"
    )


def gpu_precision(stored: str) -> str:
    """The format on a GPU of a model that is stored in another: 16 bits.

    What was released in float16, as CodeGen was, is exact in it and was made to run in it; rounded to
    bfloat16, it would lose three bits of each weight. All else may hold numbers that float16 has no room for.
    """
    return "float16" if stored == "float16" else "bfloat16"


def machine_memory() -> int:
    """The bytes of memory this process can have: the machine's, or its container's."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(CGROUP.read_text()))
    except (OSError, ValueError):
        return total


CPU, GPU = "cpu", "cuda"
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # on Linux, and on Linux under Windows
OUT_OF_MEMORY = (
    "{} does not fit the memory of the GPU beside what else is there; use a smaller model, or --device cpu"
)
GPU_SHARE = 0.85  # of a GPU's memory that weights may take: keys and values want some too


def list_gpus() -> tuple[str, ...]:
    """Their names, in order; none on a machine without one, or where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return ()
    import torch

    return tuple(torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count()))


def choose_device(wanted: str, precision: str) -> str:
    """Where to compute, in torch's words: on a GPU where there is one, and torch is not asked in vain.

    Quantised weights are the processor's.
    """
    if wanted == AUTO:
        return GPU if precision != QUANTISED and any(map(Path.exists, DRIVERS)) and list_gpus() else CPU
    if wanted == GPU and precision == QUANTISED:
        raise UsageError("quantised weights are computed on the processor; leave --precision or --device out")
    if wanted == GPU and not list_gpus():
        raise UsageError(
            "PyTorch finds no GPU that it can use (`make torch` or `pip install 'mtchat[torch]'` installs "
            "PyTorch); leave --device out to use the CPU"
        )
    return wanted


def needs_several_gpus(bytes: int) -> bool:
    """Whether so many bytes of weights go on several GPUs, because one has not the memory; else an error."""
    import torch

    free = [torch.cuda.mem_get_info(each)[0] for each in range(torch.cuda.device_count())]
    if bytes <= GPU_SHARE * free[0]:
        return False
    if bytes > GPU_SHARE * sum(free):
        raise ModelError(
            f"this model takes {bytes / 1e9:.1f} GB, and {sum(free) / 1e9:.1f} GB are free on "
            f"{len(free)} GPU{'s' * (len(free) > 1)}; use a smaller model, or --device cpu"
        )
    return True
