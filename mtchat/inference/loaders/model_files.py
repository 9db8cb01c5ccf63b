"""Says what a file is that was given as a model and is none: told by its first bytes, and by its facts."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError

OnProgress = Callable[[str, float | None], None]
START = 512
LFS_POINTER = b"version https://git-lfs"
MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head")
ARCHIVES = {b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip archive", b"\xfd7zXZ": "an xz archive"}
GGML_MAGICS = (b"lmgg", b"fmgg", b"tjgg")  # of 2023
FOLDER_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".json", ".index")
BIG_ENDIAN = (b"GGUF\0\0\0\x02", b"GGUF\0\0\0\x03")
KINDS = {
    "adapter": "is a LoRA adapter and no whole model; give the model that it was made for",
    "mmproj": "is the image part of a model; give the file of its language model",
    "imatrix": "is an importance matrix, made for quantising; give the file of the model",
    "vocab": "is a vocabulary without weights; give the file of the model",
}


def refuse_unsupported(file: Path, magic: bytes = b"") -> None:
    """ModelError where a file is not an ordinary one with weights; nothing is read from pipes and devices."""
    start = read_start(file)
    if not start:
        raise ModelError(f"{file} is not a {file_kind(file)} that can be read (it is empty); fetch it again")
    if start.startswith(LFS_POINTER):
        raise ModelError(
            f"{file} is only a Git LFS pointer to the weights; run `git lfs pull` there, or fetch it again"
        )
    if start.lstrip().lower().startswith(MARKUP):
        raise ModelError(
            f"{file} is a web page and no model; fetch the file itself, by the page's download link"
        )
    if start.startswith(BIG_ENDIAN):
        raise ModelError(
            f"{file} is a big-endian GGUF file, which mtchat does not read; get the little-endian one"
        )
    if magic and not start.startswith(magic):
        if file.suffix in FOLDER_SUFFIXES:
            raise ModelError(
                f"{file} is one file of a model's folder; give the folder: mtchat --model {file.parent}"
            )
        if start.startswith(GGML_MAGICS):
            raise ModelError(f"{file} is a GGML file, from before GGUF; get the model as a GGUF file")
        found = next((name for mark, name in ARCHIVES.items() if start.startswith(mark)), "")
        if found:
            raise ModelError(f"{file} is {found} and no GGUF file; unpack it first")


def read_start(file: Path) -> bytes:
    """The first bytes of an ordinary file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ModelError(f"{file} is not an ordinary file; give a .gguf file or a model's folder")
            return os.read(descriptor, START)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}") from error


def file_kind(file: Path) -> str:
    return {".gguf": "GGUF file", ".safetensors": "safetensors file"}.get(file.suffix, "file of weights")


def unsupported_reason(facts: Mapping[str, object]) -> str:
    """Why a readable GGUF file is no model to compute, in words that follow its name; "" where it is one."""
    parts = facts.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        number = facts.get("split.no")
        which = f"part {number + 1}" if isinstance(number, int) else "one"
        return (
            f"is {which} of {parts} parts of a split model; join them with `llama-gguf-split --merge` "
            "(first part, new file), or get the model as one file"
        )
    if "adapter.type" in facts or any(key.startswith("adapter.") for key in facts):
        return KINDS["adapter"]
    if said := KINDS.get(str(facts.get("general.type"))):
        return said
    name = facts.get("general.architecture")
    if not isinstance(name, str):
        return "does not say what model it is (general.architecture); fetch it again"
    if name == "clip":
        return KINDS["mmproj"]
    if experts := facts.get(f"{name}.expert_count"):
        return (
            f"is a mixture of experts ({name}.expert_count is {experts}), which mtchat does not read from "
            "GGUF files; give a folder with safetensors of this model"
        )
    return ""


LARGEST = 32 << 20  # bytes; a tokenizer takes some millions


def read_config(file: Path) -> dict[str, Any]:
    """Its entries; {} where it cannot be read: whoever needs one of them says what is wrong."""
    try:
        found = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_text(file: Path, errors: str = "strict") -> str:
    """What a small file says; OSError where it is none: a pipe would wait, a device never end."""
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise OSError(f"{file} is not an ordinary file, or too large")
    return file.read_text("utf-8", errors)
