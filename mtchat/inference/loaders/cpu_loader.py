"""Opens a model for the kernels: laid out once, mapped afterwards, and then without importing torch."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from mtchat.errors import ModelError, MtchatError, reason
from mtchat.inference.cpu import kernels, weights
from mtchat.inference.cpu.kernels import threads
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import (
    codegen_checkpoint,
    codegen_weights,
    gguf_tokenizer,
    licences,
    model_cache,
    qwen2_weights,
)
from mtchat.inference.loaders.devices import QUANTISED, machine_memory
from mtchat.inference.loaders.gguf_converter import need_space
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.hf_loader import read_tokenizer, settings
from mtchat.inference.loaders.model_cache import fingerprint as hash_weights
from mtchat.inference.loaders.model_cache import kept, once
from mtchat.inference.loaders.model_files import ProgressReport, facts
from mtchat.inference.loaders.tensor_files import open_tensors
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import ModelCard

if TYPE_CHECKING:
    from mtchat.inference.cpu.decoder import NativeDecoder
    from mtchat.inference.engine import Engine
    from mtchat.inference.speculative import Drafter

ARCHITECTURES = {qwen2_weights.NAME: "Qwen2ForCausalLM", codegen_weights.NAME: "CodeGenForCausalLM"}
CONFIGS = ("config.json", "generation_config.json")  # of a folder
SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")  # of a folder: all but its weights


def obstacle(path: Path) -> str:
    """Why the kernels cannot compute the model of a file or folder; "" where they can."""
    if not kernels.best():
        return "no kernels for this processor were built when mtchat was installed"
    if path.is_file():
        return qwen2_weights.obstacle(read_gguf(path))
    return codegen_weights.obstacle(config_of(path))


def config_of(path: Path) -> dict[str, object]:
    """The config of a folder, with how its attention weights are laid out; nothing for a file."""
    config = settings(path)
    if not codegen_checkpoint.fits(config):
        return config
    return config | {"mp_num": codegen_checkpoint.layout(path, config, named(path)).blocks}


def named(folder: Path) -> str:
    """The hub's name of a folder in its cache, else the folder's own."""
    return folder.parents[1].name if folder.parent.name == "snapshots" else folder.name


def open_model(
    path: Path,
    files: Sequence[Path],
    name: str,
    fingerprint: str,
    draft: Path | None,
    cache: Path,
    report: ProgressReport,
) -> "Engine":
    """The engine of a GGUF file, or of a folder with its weights in `files`; `draft` is the GGUF file of a
    smaller model with the same tokens, to guess ahead."""
    from mtchat.inference.cpu import kv_snapshot
    from mtchat.inference.engine import Engine

    folder = folder_of(path, fingerprint, cache)
    tokenizer = kept(
        folder,
        lambda: tokenizer_of(path, cache, report),
        lambda: laid_out(path, files, fingerprint, cache, report),
        report,
        first=path.is_file(),
    )
    report("loading the model", None)
    decoder = decoder_of(folder)
    memory = cache / f"{folder.name}.seen.npz"
    kv_snapshot.restore(decoder, memory)
    licence = licences.licence(path, name) if path.is_dir() else ""
    notes = codegen_checkpoint.notes(path, settings(path), name) if path.is_dir() else ()
    card = ModelCard(
        name=name,
        architecture=ARCHITECTURES[decoder.model.weights.architecture],
        chat=bool(tokenizer.template),
        context=min(decoder.model.shape.context, decoder.model.capacity),
        fingerprint=fingerprint,
        precision=QUANTISED,
        licence=licence,
        notes=tuple(filter(None, (rounding(decoder), *notes, licences.note(licence)))),
    )

    def close() -> None:
        kv_snapshot.save(decoder, memory)

    guesser = drafter(draft, decoder, cache, report)
    configs = [SimpleNamespace(**facts(path / each)) for each in CONFIGS]
    return Engine(decoder, tokenizer, card, configs=configs, drafter=guesser, closing=close)


def rounding(decoder: "NativeDecoder") -> str:
    """What a user is told where weights are not computed as a file holds them."""
    kinds = " and ".join(decoder.model.weights.rounded)
    return kinds and f"its {kinds} weights are rounded to 8 bits; --precision float32 takes them as they are"


def drafter(
    draft: Path | None, decoder: "NativeDecoder", cache: Path, report: ProgressReport
) -> "Callable[[Sequence[int]], Drafter]":
    """What guesses ahead: a smaller model where there is one that fits, and in any case the text itself."""
    from mtchat.inference.speculative import Draft, Lookup

    if draft is None or obstacle(draft):
        return Lookup
    small = decoder_of(laid_out(draft, [draft], hash_weights([draft], cache, report), cache, report), decoder)
    if small.model.shape.vocabulary != decoder.model.shape.vocabulary:
        return Lookup
    return lambda ids: Draft(small, ids)


def decoder_of(folder: Path, partner: "NativeDecoder | None" = None) -> "NativeDecoder":
    from mtchat.inference.cpu.decoder import NativeDecoder, NativeModel, capacity

    found = weights.read(folder)
    room = capacity(found.shape, machine_memory())
    lender = partner.model if partner else None
    return NativeDecoder(NativeModel(found, kernels.best(), threads(), room, lender))


def folder_of(path: Path, fingerprint: str, cache: Path) -> Path:
    return cache / f"{identity(path, fingerprint)[:16]}-native-{weights.FORMAT}"


def laid_out(
    path: Path, files: Sequence[Path], fingerprint: str, cache: Path, report: ProgressReport
) -> Path:
    """The folder of a model's weights as the kernels read them; filled where it is new."""
    content = identity(path, fingerprint)
    folder = folder_of(path, fingerprint, cache)
    made = model_cache.recipe(path, content, "native", weights.FORMAT)

    def fill(part: Path) -> None:
        report("reading the model file", None)
        if path.is_file():
            header = read_gguf(path)
            architecture, shape, contents = (
                qwen2_weights.NAME,
                qwen2_weights.shape_of(header),
                qwen2_weights.contents(path, header),
            )
            rounded = qwen2_weights.rounded(header)
        else:
            config = config_of(path)
            architecture, shape = codegen_weights.NAME, codegen_weights.shape_of(config)
            contents, rounded = codegen_weights.contents(config, open_tensors(files)), []
        need_space(part, weights.plan(contents)[1])
        weights.write(part, architecture, shape, contents, report, rounded)
        model_cache.record(part, made)

    model_cache.clear(folder, made, weights.sound, report)
    once(folder, fill, report)
    model_cache.retire(folder, made)
    return folder


def identity(path: Path, fingerprint: str) -> str:
    """What must change when what is laid out does: a folder's settings can change without its weights."""
    if path.is_file():
        return fingerprint
    settings = sorted({file for pattern in SETTINGS for file in path.glob(pattern)})
    known = [fingerprint.encode(), json.dumps(config_of(path)).encode()]
    known += [file.name.encode() + file.read_bytes() for file in settings if file.is_file()]
    return hashlib.sha256(b"".join(known)).hexdigest()


def tokenizer_of(path: Path, cache: Path, report: ProgressReport) -> Tokenizer:
    """The tokenizer of a GGUF file by its own table, of a folder as transformers reads it."""
    if path.is_file():
        return gguf_tokenizer.of_gguf(path)
    with fast_import.quickly() as transformers:
        try:
            return read_tokenizer(transformers, path, cache, report)
        except MtchatError:
            raise
        except Exception as error:  # whatever the library raises at a file that it cannot read
            raise ModelError(f"cannot load the tokenizer in {path}: {reason(error)}") from error
