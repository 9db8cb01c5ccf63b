"""The accelerators that torch can use here, and how many of them a model takes."""

import importlib.util
from pathlib import Path

from mtchat.errors import ModelError, UsageError
from mtchat.inference.precision import QUANTISED

AUTO, CPU, GPU = "auto", "cpu", "cuda"
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # on Linux, and on Linux under Windows
FULL = "{} does not fit the memory of the GPU beside what else is there; use a smaller model, or --device cpu"
SHARE = 0.85  # of a GPU's memory that weights may take: keys and values want some too


def gpus() -> tuple[str, ...]:
    """Their names, in order; none on a machine without one, or where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return ()
    import torch

    return tuple(torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count()))


def chosen(wanted: str, precision: str) -> str:
    """Where to compute, in torch's words: on a GPU where there is one, and torch is not asked in vain.

    Quantised weights are the processor's.
    """
    if wanted == AUTO:
        return GPU if precision != QUANTISED and any(map(Path.exists, DRIVERS)) and gpus() else CPU
    if wanted == GPU and precision == QUANTISED:
        raise UsageError("quantised weights are computed on the processor; leave --precision or --device out")
    if wanted == GPU and not gpus():
        raise UsageError("no GPU is here that PyTorch can use (`make torch` installs it); leave --device out")
    return wanted


def spread(bytes: int) -> bool:
    """Whether so many bytes of weights go on several GPUs, because one has not the memory; else an error."""
    import torch

    free = [torch.cuda.mem_get_info(each)[0] for each in range(torch.cuda.device_count())]
    if bytes <= SHARE * free[0]:
        return False
    if bytes > SHARE * sum(free):
        raise ModelError(
            f"this model takes {bytes / 1e9:.1f} GB, and {sum(free) / 1e9:.1f} GB are free on "
            f"{len(free)} GPU{'s' * (len(free) > 1)}; use a smaller model, or --device cpu"
        )
    return True
