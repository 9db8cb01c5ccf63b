"""LoRA adapters beside the weights of a model of transformers, by the peft package."""

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError, reason

MISSING = "adapters of models that transformers computes take a package: pip install 'mtchat[peft]'"


def apply_adapters(model: Any, adapters: Sequence[tuple[Path, float]]) -> None:
    """Put the adapters of some folders beside the weights of a model, each times its scale; never merged."""
    if not adapters:
        return
    if importlib.util.find_spec("peft") is None:
        raise ModelError(MISSING)
    import peft

    names = [f"adapter{number}" for number in range(len(adapters))]
    (first, _), *others = adapters
    try:
        with warnings.catch_warnings(action="ignore"):  # of what it calls in transformers
            held: Any = peft.PeftModel.from_pretrained(model, str(first), adapter_name=names[0])
            for name, (folder, _) in zip(names[1:], others, strict=True):
                held.load_adapter(str(folder), adapter_name=name)
            held.base_model.set_adapter(names, inference_mode=True)
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        raise ModelError(f"cannot apply the adapter {adapters[0][0]}: {reason(error)}") from error
    used = {name: 0 for name in names}
    for layer in (each for each in model.modules() if isinstance(each, peft.tuners.lora.LoraLayer)):
        for name, (_, scale) in zip(names, adapters, strict=True):
            if name in layer.scaling:
                layer.scaling[name] *= scale
                used[name] += 1
    model.eval()
    for name, (folder, _) in zip(names, adapters, strict=True):
        if not used[name]:
            raise ModelError(
                f"the adapter {folder} has no matrix of this model; give the model it was made for"
            )
