"""Converts a GGUF file once into a folder for transformers: safetensors that can be mapped, and a config."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy

from mtchat.errors import ModelError, MtchatError, reason
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import gguf_metadata, model_cache
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader, GgufTensor, read_gguf
from mtchat.inference.loaders.model_cache import make_once
from mtchat.inference.loaders.model_files import OnProgress
from mtchat.inference.loaders.tensor_files import read_safetensors

MARGIN = 64 << 20  # bytes of disk that stay free

# architectures whose files have an output matrix, though transformers uses the embedding
OUTPUT, TIED = "output.weight", ("falcon", "bloom")
RULES = 1  # increased whenever what is refused or written changes
PACKAGES = ("transformers", "gguf")
WEIGHTS = "model.safetensors"
NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class ParameterSource:
    """A parameter of the model, and the name of its tensor in the GGUF file."""

    name: str
    source: str
    shape: tuple[int, ...]


def convert(file: Path, folder: Path, precision: str, report: OnProgress) -> None:
    """Convert a GGUF file into `folder`, unless an intact and current copy is there."""
    made = model_cache.make_recipe(file, folder.name, precision, RULES, PACKAGES)

    def fill(part: Path) -> None:
        write_folder(part, file, precision, report)
        model_cache.write_recipe(part, made)

    model_cache.discard_stale(folder, made, is_whole, report)
    make_once(folder, fill, report)
    model_cache.discard_superseded(folder, made)


def is_whole(folder: Path) -> bool:
    """Whether a converted file is as long as its header says."""
    try:
        entries = read_safetensors(folder / WEIGHTS)
        return (folder / WEIGHTS).stat().st_size == max((each.end for each in entries.values()), default=0)
    except (ModelError, OSError):
        return False


def write_folder(folder: Path, file: Path, precision: str, report: OnProgress) -> None:
    report("reading the model file", None)
    header = read_gguf(file)
    with fast_import.fast_transformers() as transformers:
        import torch

        place = {
            "pretrained_model_name_or_path": file.parent,
            "gguf_file": file.name,
            "local_files_only": True,
        }
        try:
            config = transformers.AutoConfig.from_pretrained(**place)
            # transformers sees the first part only
            config.tie_word_embeddings = OUTPUT not in header.tensors or header.metadata[ARCHITECTURE] in TIED
            gguf_metadata.check_metadata(
                header, gguf_metadata.config_metadata(config.get_text_config(decoder=True))
            )
            with torch.device("meta"):
                model = transformers.AutoModelForCausalLM.from_config(config)
            targets = plan_targets(model, header)
        except MtchatError:
            raise
        except Exception as error:  # whatever transformers raises at a file that it cannot read
            raise ModelError(
                f"cannot read {file.name} as a causal language model: {reason(error)}"
            ) from error
    used = {target.source for target in targets}
    if config.tie_word_embeddings and header.metadata[ARCHITECTURE] in TIED:
        used.add(OUTPUT)
    gguf_metadata.check_tensors(header, used, lambda tensor: bool((dequantise_tensor(tensor) == 1).all()))
    reorder = tensor_processor(model, header).process
    arrays = (dequantise_tensor(header.tensors[target.source]) for target in targets)
    values = (
        reorder(weights=array, name=target.source, parsed_parameters={}).weights
        for target, array in zip(targets, arrays, strict=True)
    )
    write_weights(folder / WEIGHTS, values, targets, precision, report)
    config.architectures, config.dtype = [type(model).__name__], getattr(torch, precision)
    config.save_pretrained(folder)


def plan_targets(model: Any, header: GgufHeader) -> list[ParameterSource]:
    """The parameters with their sources, in the order they are written; ModelError if one has no source."""
    from transformers.modeling_gguf_pytorch_utils import get_gguf_hf_weights_map

    sources = {
        name: source
        for source, name in get_gguf_hf_weights_map(model, tensor_processor(model, header)).items()
    }
    targets = [
        ParameterSource(name, sources.get(name, ""), tuple(parameter.shape))
        for name, parameter in model.state_dict().items()
        if name not in model.all_tied_weights_keys
    ]
    missing = [target.name for target in targets if target.source not in header.tensors]
    if missing:
        raise ModelError(
            f"the GGUF file is missing {len(missing)} tensors of {type(model).__name__} "
            f"(first: {missing[0]}); give a folder with the model's safetensors"
        )
    return targets


def tensor_processor(model: Any, header: GgufHeader) -> Any:
    """What reorders tensors from llama.cpp's layout to that of transformers."""
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    kind: Any = TENSOR_PROCESSORS.get(str(header.metadata["general.architecture"]), TensorProcessor)
    return kind(config=model.config.to_dict())


def write_weights(
    path: Path, values: Iterator[Any], targets: list[ParameterSource], precision: str, report: OnProgress
) -> None:
    """Write one safetensors file, tensor by tensor, so that only one of them is in memory."""
    import torch

    dtype = getattr(torch, precision)
    table, size = safetensors_header(targets, NAMES[precision], dtype.itemsize)
    check_space(path.parent, size)
    done = 0
    with path.open("wb") as stream:
        stream.write(table)
        for target, array in zip(targets, values, strict=True):
            report("converting the model (once)", done / size)
            if array.shape != target.shape:
                raise ModelError(
                    f"{target.source} in the GGUF file is {array.shape} instead of {target.shape}; "
                    "download it again"
                )
            rounded = torch.from_numpy(numpy.ascontiguousarray(array)).to(dtype)
            done += stream.write(rounded.view(torch.uint8).numpy().data)
        report("writing the model to disk", None)
        stream.flush()
        os.fsync(stream.fileno())


def dequantise_tensor(tensor: GgufTensor) -> Any:
    """The values of a tensor as float32, dequantised by gguf-py."""
    from gguf import GGMLQuantizationType, dequantize

    kind = GGMLQuantizationType(tensor.kind)
    raw = numpy.fromfile(tensor.file, numpy.uint8, tensor.size, offset=tensor.start)
    if kind == GGMLQuantizationType.F32:
        return raw.view(numpy.float32).reshape(tensor.shape)
    if kind == GGMLQuantizationType.F16:
        return raw.view(numpy.float16).reshape(tensor.shape).astype(numpy.float32)
    with numpy.errstate(all="ignore"):  # NaN shows in the first logits
        return dequantize(raw.reshape(*tensor.shape[:-1], -1), kind).reshape(tensor.shape)


def safetensors_header(targets: list[ParameterSource], kind: str, width: int) -> tuple[bytes, int]:
    """The header of a safetensors file and the size of its data, which start at a multiple of 64 bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for target in targets:
        size = width * prod(target.shape)
        entries[target.name] = {"dtype": kind, "shape": target.shape, "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text, start


def check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + MARGIN:
        raise ModelError(
            f"converting this model takes {size / 1e9:.1f} GB in {folder.parent}, where "
            f"{free / 1e9:.1f} GB are free; make room there, or set XDG_CACHE_HOME to a larger disk"
        )
