"""Copies of GGUF files with other metadata or tensors; what is not changed stays as it is, bit for bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy

ARCHITECTURE = "general.architecture"


def copy_gguf(
    source: Path, target: Path, facts: Mapping[str, Any] = {}, tensors: Mapping[str, Any] = {}
) -> Path:
    """A copy in which the named keys and tensors have other values, or are missing where these are None.

    A number keeps the type of the key; new tensors are float32.
    """
    reader = gguf.GGUFReader(source)
    known = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    out = gguf.GGUFWriter(target, str(known.pop(ARCHITECTURE).contents()))
    for name, field in known.items():
        add_key(out, name, facts.get(name, field.contents()), field.types)
    for name in facts.keys() - known.keys():
        add_key(out, name, facts[name], [])
    for tensor in reader.tensors:
        if tensor.name not in tensors:
            out.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    for name, values in tensors.items():
        if values is not None:
            out.add_tensor(name, numpy.asarray(values, numpy.float32))
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    return target


def add_key(out: gguf.GGUFWriter, name: str, value: Any, kinds: list[gguf.GGUFValueType]) -> None:
    """Add a key unless its value is None; `kinds` are its types before, outer one first."""
    if value is None:
        return
    guessed = gguf.GGUFValueType.get_type(value)
    if guessed == gguf.GGUFValueType.INT32:
        guessed = gguf.GGUFValueType.UINT32
    arrays = gguf.GGUFValueType.ARRAY
    same = bool(kinds) and (kinds[0] == arrays) == (guessed == arrays)
    inner = kinds[-1] if same and guessed == arrays else None
    out.add_key_value(name, value, kinds[0] if same else guessed, sub_type=inner)
