"""Loads a model for the CPU kernels: its weights are repacked once and mapped afterwards, without torch."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from mtchat.errors import ModelError, MtchatError, reason
from mtchat.inference.cpu import kernels, weights
from mtchat.inference.cpu.kernels import thread_count
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import (
    codegen_checkpoint,
    codegen_weights,
    gguf_tokenizer,
    gguf_weights,
    licences,
    lora_fitting,
    model_cache,
)
from mtchat.inference.loaders.devices import QUANTISED, machine_memory
from mtchat.inference.loaders.gguf_architectures import ARCHITECTURES
from mtchat.inference.loaders.gguf_converter import check_space
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.gguf_shape import read_shape
from mtchat.inference.loaders.hf_loader import read_folder_config, read_tokenizer
from mtchat.inference.loaders.lora_fitting import ScaledAdapter
from mtchat.inference.loaders.model_cache import cached_tokenizer, make_once
from mtchat.inference.loaders.model_cache import hash_weights as hash_weights
from mtchat.inference.loaders.model_files import OnProgress, read_config
from mtchat.inference.loaders.tensor_files import open_tensors
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import ModelCard

if TYPE_CHECKING:
    from mtchat.inference.cpu.adapters import LowRank
    from mtchat.inference.cpu.decoder import CpuDecoder
    from mtchat.inference.engine import Engine
    from mtchat.inference.speculative import Drafter

CODEGEN_CLASS = "CodeGenForCausalLM"
CONFIGS = ("config.json", "generation_config.json")  # of a folder
SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")  # of a folder: all but its weights


def unsupported_reason(path: Path) -> str:
    """Why the CPU kernels cannot run the model in a file or folder; "" if they can."""
    if not kernels.best_build():
        return kernels.build_problem() or "no kernels for this CPU were built when mtchat was installed"
    if path.is_file():
        return gguf_weights.unsupported_reason(read_gguf(path))
    return codegen_weights.unsupported_reason(folder_config(path))


def folder_config(path: Path) -> dict[str, object]:
    """The config of a folder, with the number of blocks of a CodeGen model; {} for a file."""
    config = read_folder_config(path)
    if not codegen_checkpoint.is_codegen(config):
        return config
    return config | {"mp_num": codegen_checkpoint.find_layout(path, config, hub_name(path)).blocks}


def hub_name(folder: Path) -> str:
    """The hub's name for a folder in its cache, else the folder's own name."""
    return folder.parents[1].name if folder.parent.name == "snapshots" else folder.name


def load_cpu_model(
    path: Path,
    files: Sequence[Path],
    name: str,
    fingerprint: str,
    draft: Path | None,
    cache: Path,
    report: OnProgress,
    adapters: Sequence[ScaledAdapter] = (),
) -> "Engine":
    """The engine of a GGUF file, or of a folder with its weights in `files`.

    `draft` is the GGUF file of a smaller model with the same vocabulary. `adapters` are for GGUF files only.
    """
    from mtchat.inference.cpu import kv_snapshot
    from mtchat.inference.engine import Engine

    folder = repacked_path(path, fingerprint, cache)
    fitted, own_names = None, list[str]()
    if adapters:
        header = read_gguf(path)
        fitted, own_names = lora_fitting.fit_adapters(header, adapters), lora_fitting.own_names(header)
    tokenizer = cached_tokenizer(
        folder,
        lambda: make_tokenizer(path, cache, report),
        lambda: repack_once(path, files, fingerprint, cache, report),
        report,
        first=path.is_file(),
    )
    report("loading the model", None)
    decoder = make_decoder(folder, adapters=fitted)
    known = lora_fitting.joined_fingerprint(fingerprint, adapters)
    snapshot = model_cache.snapshot_path(folder, known if adapters else "")
    kv_snapshot.restore(decoder, snapshot)
    licence = licences.find_licence(path, name) if path.is_dir() else ""
    notes = codegen_checkpoint.layout_notes(path, read_folder_config(path), name) if path.is_dir() else ()
    card = ModelCard(
        name=name,
        architecture=class_name(decoder.model.weights.architecture),
        chat=bool(tokenizer.template),
        context=min(decoder.model.shape.context, decoder.model.capacity),
        fingerprint=known,
        precision=QUANTISED,
        licence=licence,
        notes=tuple(
            filter(
                None,
                (
                    *lora_fitting.adapter_notes(adapters, [name, path.stem, *own_names]),
                    *(*notes, licences.licence_note(licence)),
                ),
            )
        ),
    )

    def close() -> None:
        kv_snapshot.save(decoder, snapshot)
        model_cache.drop_old_snapshots(folder)

    drafter = make_drafter(draft, decoder, cache, report)
    configs = [SimpleNamespace(**read_config(path / each)) for each in CONFIGS]
    return Engine(decoder, tokenizer, card, configs=configs, drafter=drafter, closing=close)


def class_name(architecture: str) -> str:
    """The class of transformers for an architecture of the kernels."""
    known = ARCHITECTURES.get(architecture)
    return known.title if known else CODEGEN_CLASS


def make_drafter(
    draft: Path | None, decoder: "CpuDecoder", cache: Path, report: OnProgress
) -> "Callable[[Sequence[int]], Drafter]":
    """The drafter for speculative decoding: a smaller model if it fits, with n-grams, else n-grams alone."""
    from mtchat.inference.speculative import DraftModel, NgramDrafter

    if draft is None or unsupported_reason(draft):
        return NgramDrafter
    small = make_decoder(
        repack_once(draft, [draft], hash_weights([draft], cache, report), cache, report), decoder
    )
    if small.model.shape.vocabulary > decoder.model.shape.vocabulary:
        return NgramDrafter
    return lambda ids: DraftModel(small, ids)


def make_decoder(
    folder: Path, pool_owner: "CpuDecoder | None" = None, adapters: "Mapping[str, LowRank] | None" = None
) -> "CpuDecoder":
    from mtchat.inference.cpu.decoder import CpuDecoder, CpuModel, kv_capacity

    found = weights.read_weights(folder)
    room = kv_capacity(found.shape, machine_memory())
    owner = pool_owner.model if pool_owner else None
    return CpuDecoder(CpuModel(found, kernels.best_build(), thread_count(), room, owner, adapters))


def repacked_path(path: Path, fingerprint: str, cache: Path) -> Path:
    return cache / f"{content_hash(path, fingerprint)[:16]}-native-{weights.FORMAT}"


def repack_once(path: Path, files: Sequence[Path], fingerprint: str, cache: Path, report: OnProgress) -> Path:
    """The folder of a model's repacked weights; they are repacked if it is missing or outdated."""
    content = content_hash(path, fingerprint)
    folder = repacked_path(path, fingerprint, cache)
    made = model_cache.make_recipe(path, content, "native", weights.FORMAT)

    header, config = (read_gguf(path), {}) if path.is_file() else (None, folder_config(path))
    shape = read_shape(header) if header else codegen_weights.read_shape(config)

    def fill(part: Path) -> None:
        report("reading the model file", None)
        if header:
            architecture = gguf_weights.architecture_name(header)
            contents = gguf_weights.part_sources(header)
        else:
            architecture = codegen_weights.NAME
            contents = codegen_weights.part_sources(config, open_tensors(files))
        check_space(part, weights.plan_file(contents)[1])
        weights.write_weights(part, architecture, shape, contents, report)
        model_cache.write_recipe(part, made)

    def is_current(copy: Path) -> bool:
        """Whether it is computed as now; older versions rounded the weights of some types."""
        stored = weights.read_weights(copy)
        return not stored.rounded and stored.shape == shape

    model_cache.discard_stale(folder, made, weights.is_intact, report, is_current)
    make_once(folder, fill, report)
    model_cache.discard_superseded(folder, made)
    return folder


def content_hash(path: Path, fingerprint: str) -> str:
    """A hash that changes whenever the repacked weights would: settings can change without the weights."""
    if path.is_file():
        return fingerprint
    settings = sorted({file for pattern in SETTINGS for file in path.glob(pattern)})
    known = [fingerprint.encode(), json.dumps(folder_config(path)).encode()]
    known += [file.name.encode() + file.read_bytes() for file in settings if file.is_file()]
    return hashlib.sha256(b"".join(known)).hexdigest()


def make_tokenizer(path: Path, cache: Path, report: OnProgress) -> Tokenizer:
    """The tokenizer of a GGUF file by its own vocabulary, or of a folder as transformers reads it."""
    if path.is_file():
        return gguf_tokenizer.read_tokenizer(path)
    with fast_import.fast_transformers() as transformers:
        try:
            return read_tokenizer(transformers, path, cache, report)
        except MtchatError:
            raise
        except Exception as error:  # transformers raises anything at a file that it cannot read
            raise ModelError(f"cannot load the tokenizer in {path}: {reason(error)}") from error
