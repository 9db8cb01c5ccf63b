"""Folders whose weights were quantised before: GPTQ, AWQ, FP8, compressed-tensors, bitsandbytes, MXFP4.

transformers loads them with the package of each method; some need none and are expanded on a CPU.
"""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.loaders import model_files, tensor_files

# stored as bytes with two values in each, and expanded by transformers
TWO_IN_A_BYTE = "_blocks"
NOISY = ("bitsandbytes", "compressed_tensors", "gptqmodel", "torchao")  # their loggers report each step


def quantisation(folder: Path) -> dict[str, Any]:
    """The settings by which the weights of a folder were quantised; {} if they were not."""
    config = model_files.read_config(folder / "config.json")
    text = config.get("text_config")
    for each in (config, text if isinstance(text, dict) else {}):
        if isinstance(found := each.get("quantization_config"), dict):
            return found
    return {}


def method_name(folder: Path) -> str:
    """How the weights of a folder were quantised, such as "gptq"; "" if they were not."""
    found = quantisation(folder)
    return str(found.get("quant_method") or "an unnamed method")[:80] if found else ""


def check_method(folder: Path) -> None:
    """ModelError if transformers does not know how the weights were quantised: it would ignore it."""
    found = quantisation(folder)
    if not found:
        return
    from transformers.quantizers.auto import AutoHfQuantizer

    quantiser: Any = AutoHfQuantizer
    try:
        known = quantiser.supports_quant_method(found)
    except ValueError:
        known = False
    if not known:
        raise ModelError(
            f"the weights in {folder} are quantised by {method_name(folder)!a}, which transformers does not "
            "load; get the model as a GGUF file or with unquantised weights"
        )


def missing_package_hint(folder: Path) -> str:
    """A probable reason for an ImportError: quantised weights need a package of their own."""
    method = method_name(folder)
    if not method:
        return "a package is missing, or this machine is not supported: "
    return f"its weights are quantised ({method}), which needs a package or a GPU that is missing here: "


def quantisation_note(folder: Path) -> str:
    """What the user should know about quantised weights; "" if they are not quantised."""
    method = method_name(folder)
    return (
        method
        and f"its weights are quantised ({method}); transformers computes them, without mtchat's kernels"
    )


def count_values(files: Sequence[Path]) -> int:
    """The values that the weights in some files have once they are expanded."""
    return sum(map(values_in, files))


def values_in(file: Path) -> int:
    if file.suffix != ".safetensors":
        return tensor_files.count_parameters(file)
    return sum(
        prod(entry.shape) * (2 if name.endswith(TWO_IN_A_BYTE) and entry.kind == "U8" else 1)
        for name, entry in tensor_files.read_safetensors(file).items()
    )
