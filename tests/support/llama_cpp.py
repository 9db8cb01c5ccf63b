"""llama.cpp's own tokenizer, out of the xllamacpp package: the reference for the ids of GGUF files.

Its C functions are called as they are, without a model server: a vocabulary loads in milliseconds.
"""

import ctypes
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

VOCABULARY_ONLY = 72  # where `vocab_only` is in llama_model_params
NAME = re.compile(rb"[a-z0-9][a-z0-9._-]{1,30}\0")


class ModelParams(ctypes.Structure):
    """llama_model_params as bytes; it is passed by value, and bytes past its end are never read."""

    _fields_ = (("bytes", ctypes.c_uint8 * 256),)


LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
SILENT = LOG(lambda level, text, data: None)


def library_file() -> Path:
    """The shared library of the package; the test is skipped without it."""
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        pytest.skip("the package xllamacpp is not installed")
    return Path(spec.origin).parent / "xllamacpp.abi3.so"


@cache
def library() -> ctypes.CDLL:
    found = ctypes.CDLL(str(library_file()))
    number, flag, pointer, text = ctypes.c_int32, ctypes.c_bool, ctypes.c_void_p, ctypes.c_char_p
    ids = ctypes.POINTER(number)
    found.llama_log_set.argtypes = [LOG, pointer]
    found.llama_model_default_params.restype = ModelParams
    found.llama_model_load_from_file.argtypes = [text, ModelParams]
    found.llama_model_load_from_file.restype = pointer
    found.llama_model_get_vocab.argtypes = [pointer]
    found.llama_model_get_vocab.restype = pointer
    found.llama_model_free.argtypes = [pointer]
    found.llama_tokenize.argtypes = [pointer, text, number, ids, number, flag, flag]
    found.llama_token_to_piece.argtypes = [pointer, number, text, number, number, flag]
    found.llama_log_set(SILENT, None)
    found.llama_backend_init()
    return found


class LlamaVocabulary:
    """The vocabulary of a GGUF file in llama.cpp; ValueError if it refuses the file."""

    def __init__(self, file: Path) -> None:
        self.model = None
        params = library().llama_model_default_params()
        params.bytes[VOCABULARY_ONLY] = 1
        self.model = library().llama_model_load_from_file(str(file).encode(), params)
        if not self.model:
            raise ValueError(f"llama.cpp refuses {file}")
        self.vocabulary = library().llama_model_get_vocab(self.model)

    def __del__(self) -> None:
        if self.model:
            library().llama_model_free(self.model)

    def encode(self, text: str, special: bool = False, parse: bool = True) -> list[int]:
        """The ids of a text; `special` adds BOS and EOS, `parse` reads special tokens in the text."""
        data = text.encode()
        room = 4 * len(data) + 16
        ids = (ctypes.c_int32 * room)()
        count = library().llama_tokenize(self.vocabulary, data, len(data), ids, room, special, parse)
        assert count >= 0
        return list(ids[:count])

    def decode(self, ids: list[int]) -> str:
        """The text of ids, one after the other, special tokens by name."""
        return b"".join(map(self.piece, ids)).decode("utf-8", "replace")

    def piece(self, id: int) -> bytes:
        room = ctypes.create_string_buffer(512)
        count = library().llama_token_to_piece(self.vocabulary, id, room, len(room), 0, True)
        return room.raw[:count]


def spelled_names() -> list[str]:
    """Words in the library near the names of its pre-tokenizers, those names among them."""
    data = library_file().read_bytes()
    at = data.index(b"llama-bpe\0")
    return sorted({match[0][:-1].decode() for match in NAME.finditer(data, at - 20000, at + 20000)})
