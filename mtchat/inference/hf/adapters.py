"""LoRA adapters beside the weights of a model of transformers, by the peft package."""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError, reason

MISSING = "adapters of models that transformers computes take a package: pip install 'mtchat[peft]'"
Shape = tuple[int, int]


@dataclass(frozen=True)
class PeftAdapter:
    """A folder of peft, its user's scale, and the rows and columns of the modules that it changes."""

    folder: Path
    scale: float
    shapes: Mapping[str, Shape]


def apply_adapters(model: Any, adapters: Sequence[PeftAdapter]) -> None:
    """Put adapters beside the weights of a model, each times its scale; never merged, and never in part."""
    if not adapters:
        return
    if importlib.util.find_spec("peft") is None:
        raise ModelError(MISSING)
    import peft

    modules = dict(model.named_modules())
    for each in adapters:
        check_shapes(modules, each)
    held: Any = None
    named = {f"adapter{number}": each for number, each in enumerate(adapters)}
    for name, each in named.items():
        try:
            with warnings.catch_warnings(action="ignore"):  # of what it calls in transformers
                if held is None:
                    held = peft.PeftModel.from_pretrained(model, str(each.folder), adapter_name=name)
                else:
                    held.load_adapter(str(each.folder), adapter_name=name)
        except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
            raise ModelError(f"cannot apply the adapter {each.folder}: {reason(error)}") from error
    held.base_model.set_adapter(list(named), inference_mode=True)
    changed: dict[str, set[str]] = {name: set() for name in named}
    for place, layer in model.named_modules():
        if isinstance(layer, peft.tuners.lora.LoraLayer):
            for name in named.keys() & layer.scaling.keys():
                layer.scaling[name] *= named[name].scale
                changed[name].add(place)
    for name, each in named.items():
        check_changed(changed[name], each)
    model.eval()


def check_shapes(modules: Mapping[str, Any], adapter: PeftAdapter) -> None:
    """ModelError that names a matrix that the model lacks, or has in another shape."""
    for name, shape in adapter.shapes.items():
        what = f"cannot apply the adapter {adapter.folder}: {name[:120]}"
        own = matrix_shape(modules.get(name))
        if own is None:
            raise ModelError(f"{what} is no matrix of this model; give the model it was made for")
        if own != shape:
            there, here = (" by ".join(map(str, each)) for each in (shape, own))
            raise ModelError(
                f"{what} is {there} there and {here} in this model; give the model it was made for"
            )


def matrix_shape(module: Any) -> Shape | None:
    """The rows and columns of a module's matrix, however it is stored; None if it has none."""
    for rows, columns in (("out_features", "in_features"), ("nf", "nx")):
        if hasattr(module, rows) and hasattr(module, columns):
            return int(getattr(module, rows)), int(getattr(module, columns))
    return None


def check_changed(changed: set[str], adapter: PeftAdapter) -> None:
    """ModelError unless peft changes just the modules that the adapter's file has matrices for."""
    wrong = "cannot apply the adapter {}: its adapter_config.json {} {}; get another copy"
    if left := adapter.shapes.keys() - changed:
        raise ModelError(wrong.format(adapter.folder, "leaves out", min(left)[:120]))
    if extra := changed - adapter.shapes.keys():
        raise ModelError(wrong.format(adapter.folder, "names", f"{min(extra)[:120]}, which has no weights"))
