"""Reads PyTorch's own weight files, which are pickles, so that nothing in them can run."""

import pickle
import warnings
import zipfile
from pathlib import Path

from mtchat.errors import ModelError


def parameters(file: Path) -> int:
    """How many weights a file holds. They are mapped and not read, but for a file of before torch 1.6."""
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # about the age of a file, which is its own affair
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise refusal(file) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError) as error:
        reason = str(error).strip().split("\n")[0] or "it ends too early"
        raise ModelError(f"{file} is not a file of weights that can be read ({reason})") from error
    if not isinstance(state, dict):
        raise ModelError(f"{file} holds no weights by name; a model's folder has what save_pretrained writes")
    # what is no number with a point is a mask or a table of old versions
    return sum(
        each.numel() for each in state.values() if isinstance(each, torch.Tensor) and each.is_floating_point()
    )


def refusal(place: Path) -> ModelError:
    return ModelError(
        f"refused {place}: it holds more than weights, and reading it could run a program; nothing was run. "
        "Use the model's safetensors, or get it from a source that you trust"
    )
