"""Recognises files that are not models, by their first bytes and their metadata; reads small text files."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError

OnProgress = Callable[[str, float | None], None]  # what is done, and its share from 0 to 1 if known
START = 512  # bytes that are read to recognise a file
LARGEST = 32 << 20  # bytes of a text file; a tokenizer has a few million
LFS_POINTER = b"version https://git-lfs"
MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head")
ARCHIVES = {b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip archive", b"\xfd7zXZ": "an xz archive"}
GGUF_MAGIC = b"GGUF"
GGML_MAGICS = (b"lmgg", b"fmgg", b"tjgg")  # the predecessors of GGUF, until 2023
FOLDER_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".json", ".index")
BIG_ENDIAN = (b"GGUF\0\0\0\x02", b"GGUF\0\0\0\x03")
KINDS = {
    "adapter": "is a LoRA adapter, not a whole model; give it after the model it was made for: MODEL+ADAPTER",
    "mmproj": "is the image encoder of a model; give the file of its language model",
    "imatrix": "is an importance matrix for quantisation; give the file of the model",
    "vocab": "is a vocabulary without weights; give the file of the model",
}


def refuse_unsupported(file: Path, magic: bytes = b"") -> None:
    """ModelError if a file is not a regular file with weights; pipes and devices are never read."""
    start = read_start(file)
    if not start:
        raise ModelError(f"{file} is not a readable {file_kind(file)} (it is empty); download it again")
    if start.startswith(LFS_POINTER):
        raise ModelError(
            f"{file} is only a Git LFS pointer to the weights; run `git lfs pull` there, or download it again"
        )
    if start.lstrip().lower().startswith(MARKUP):
        raise ModelError(
            f"{file} is a web page, not a model; download the file itself through the page's download link"
        )
    if start.startswith(BIG_ENDIAN):
        raise ModelError(
            f"{file} is a big-endian GGUF file, which mtchat does not support; get the little-endian one"
        )
    if magic and not start.startswith(magic):
        if file.suffix in FOLDER_SUFFIXES:
            raise ModelError(
                f"{file} is one file of a model folder; give the folder: mtchat --model {file.parent}"
            )
        if start.startswith(GGML_MAGICS):
            raise ModelError(f"{file} is a GGML file, the format before GGUF; get the model as a GGUF file")
        found = next((name for mark, name in ARCHIVES.items() if start.startswith(mark)), "")
        if found:
            raise ModelError(f"{file} is {found}, not a GGUF file; unpack it first")


def read_start(file: Path) -> bytes:
    """The first bytes of a regular file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would block
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ModelError(f"{file} is not a regular file; give a .gguf file or a model folder")
            return os.read(descriptor, START)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}") from error


def is_gguf(file: Path) -> bool:
    """Whether a file is a GGUF file, by its name or first bytes: Ollama names files by their hashes."""
    return file.suffix == ".gguf" or (not file.suffix and read_start(file).startswith(GGUF_MAGIC))


def file_kind(file: Path) -> str:
    return {".gguf": "GGUF file", ".safetensors": "safetensors file"}.get(file.suffix, "weight file")


def unsupported_reason(facts: Mapping[str, object]) -> str:
    """Why a valid GGUF file is not a model that can run, in words that follow its name; "" if it can."""
    if "adapter.type" in facts or any(key.startswith("adapter.") for key in facts):
        return KINDS["adapter"]
    if said := KINDS.get(str(facts.get("general.type"))):
        return said
    name = facts.get("general.architecture")
    if not isinstance(name, str):
        return "does not name its architecture (general.architecture); download it again"
    if name == "clip":
        return KINDS["mmproj"]
    return ""


def read_config(file: Path) -> dict[str, Any]:
    """The entries of a JSON file; {} if it cannot be read: whoever needs an entry reports the error."""
    try:
        found = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_text(file: Path, errors: str = "strict") -> str:
    """The text of a small regular file; OSError for any other: a pipe would block, a device never end."""
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise OSError(f"{file} is not a regular file, or it is too large")
    return file.read_text("utf-8", errors)
