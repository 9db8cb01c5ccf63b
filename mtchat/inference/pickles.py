"""Reads PyTorch's own weight files, which are pickles, so that nothing in them can run."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError


def state(file: Path) -> dict[str, Any]:
    """The weights of a file by name: mapped and not read, but for a file of before torch 1.6.

    What is no number with a point is a mask or a table of old versions, and is left out.
    """
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # about the age of a file, which is its own affair
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise refusal(file) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError) as error:
        reason = str(error).strip().split("\n")[0] or "it ends too early"
        raise ModelError(f"{file} is not a file of weights that can be read ({reason})") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} holds no weights by name; a model's folder has what save_pretrained writes")
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, torch.Tensor) and each.is_floating_point()
    }


def parameters(file: Path) -> int:
    """How many weights a file holds."""
    return sum(each.numel() for each in state(file).values())


def refusal(place: Path) -> ModelError:
    return ModelError(
        f"refused {place}: it holds more than weights, and reading it could run a program; nothing was run. "
        "Use the model's safetensors, or get it from a source that you trust"
    )
