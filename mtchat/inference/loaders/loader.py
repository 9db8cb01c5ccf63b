"""Loads a model from a GGUF file, a folder or the model hub, and returns its engine."""

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtchat.errors import ModelError
from mtchat.inference.loaders import (
    codegen_checkpoint,
    cpu_loader,
    gguf_tokenizer,
    llama_cpp_loader,
    lora_files,
    model_cache,
    model_files,
    quantised_folders,
    split_files,
)
from mtchat.inference.loaders.devices import (
    AUTO,
    GPU_PRECISIONS,
    LLAMA_CPP,
    QUANTISED,
    choose_precision,
    gpu_precision,
    machine_memory,
)
from mtchat.inference.loaders.gguf_converter import convert
from mtchat.inference.loaders.hf_loader import indexed_files, load_hf_folder, stored_dtype, weight_files
from mtchat.inference.loaders.lora_fitting import ScaledAdapter
from mtchat.inference.loaders.model_cache import cached_tokenizer
from mtchat.inference.loaders.model_cache import hash_weights as hash_weights
from mtchat.inference.loaders.model_files import OnProgress

if TYPE_CHECKING:
    from mtchat.inference.engine import Engine

# the README for its licence; CodeGen2's own code only for a number in it: it is never run
FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "README.md", codegen_checkpoint.SOURCE]
SHARD = re.compile(r"-\d{5}-of-(\d{5})\.")  # in the names of weight files
USUAL, CONSOLIDATED = "model*.safetensors", "consolidated*.safetensors"  # Mistral's folders have both
PICKLES = ["pytorch_model*.bin"]


@dataclass(frozen=True)
class AdapterName:
    """A LoRA adapter: its GGUF file, its folder or its name on the hub, and what it is multiplied by."""

    source: str | Path
    scale: float = 1.0


def load(
    source: str | Path,
    name: str,
    *,
    fingerprint: str = "",
    precision: str = AUTO,
    device: str = "cpu",
    draft: Path | None = None,
    adapters: Sequence[AdapterName] = (),
    cache: Path,
    report: OnProgress,
) -> "Engine":
    """The engine of a .gguf file, a folder in hub layout, or a hub id.

    `cache` is the folder of converted models; `fingerprint` is the SHA-256 of the weights if the caller
    knows it. `device` is a torch device. `draft` is the .gguf file of a smaller model with the same
    vocabulary, for speculative decoding. `adapters` are LoRA adapters beside its weights. `report` gets
    each stage and its progress from 0 to 1, or None.
    """
    stages: list[str] = []

    def record(stage: str, part: float | None) -> None:
        stages.append(stage)
        report(stage, part)

    held = [
        ScaledAdapter(lora_files.read_adapter(find_adapter(each.source, record)), each.scale)
        for each in adapters
    ]
    if held and device != "cpu":
        raise ModelError("adapters run on the CPU only; use --device cpu, or leave them out")
    engine = load_engine(source, name, fingerprint, precision, device, draft, held, cache, record)
    if model_cache.DAMAGED in stages:
        again = "its converted copy was damaged and has been recreated"
        engine.card = replace(engine.card, notes=(*engine.card.notes, again))
    return engine


def load_engine(
    source: str | Path,
    name: str,
    fingerprint: str,
    precision: str,
    device: str,
    draft: Path | None,
    adapters: Sequence[ScaledAdapter],
    cache: Path,
    report: OnProgress,
) -> "Engine":
    path = Path(source).expanduser()
    if not path.exists():
        if path.suffix == ".gguf" or path.is_absolute() or str(source).startswith("."):
            raise ModelError(f"no model at {path}; `mtchat models` lists the available ones")
        path = fetch_from_hub(str(source), report)
    files = weight_files(path) if path.is_dir() else split_files.find_files(path)
    path = path if path.is_dir() else files[0]
    model_files.refuse_unsupported(files[0])
    quantised = precision if precision in GPU_PRECISIONS and device != "cpu" else ""
    if device != "cpu":
        precision = (
            gpu_precision(stored_dtype(path))
            if precision in (AUTO, QUANTISED, *GPU_PRECISIONS)
            else precision
        )
    elif precision in (AUTO, QUANTISED, LLAMA_CPP):
        why = cpu_loader.unsupported_reason(path) if precision != LLAMA_CPP else ""
        if adapters and path.is_dir():
            why = why or "adapters of CodeGen models need the weights as floats"
        if not why and precision != LLAMA_CPP:
            known = fingerprint or hash_weights(files, cache, report)
            return cpu_loader.load_cpu_model(path, files, name, known, draft, cache, report, adapters)
        if path.is_file() and precision != QUANTISED:
            llama_cpp_loader.refuse_without_llama_cpp(path, why)
            known = fingerprint or hash_weights(files, cache, report)
            return llama_cpp_loader.load_llama_model(path, name, known, cache, report, adapters)
        if precision == LLAMA_CPP:
            raise ModelError(f"llama.cpp runs GGUF files only, and {name} is a folder; leave out --precision")
        if precision == QUANTISED:
            raise ModelError(f"cannot run {name} with quantised weights: {why}; leave out --precision")
    chosen = choose_precision(precision, quantised_folders.count_values(files), machine_memory())
    known = fingerprint or hash_weights(files, cache, report)
    tokenizer = None
    if path.is_file():
        file, folder = path, cache / f"{known[:16]}-{chosen}"
        tokenizer = cached_tokenizer(
            folder,
            lambda: gguf_tokenizer.read_tokenizer(file),
            lambda: convert(file, folder, chosen, report),
            report,
        )
        path = folder
    report("loading the model", None)
    return load_hf_folder(path, name, known, chosen, device, cache, report, quantised, tokenizer, adapters)


def find_adapter(source: str | Path, report: OnProgress) -> Path:
    """The file or folder of an adapter; one of the hub is downloaded unless the hub's cache has it."""
    path = Path(source).expanduser()
    if path.exists():
        files = sorted(path.glob("*.gguf")) if path.is_dir() else []
        return files[0] if len(files) == 1 and not (path / lora_files.CONFIG).exists() else path
    if path.suffix == ".gguf" or path.is_absolute() or str(source).startswith(".") or "/" not in str(source):
        raise ModelError(f"no adapter at {path}; give a LoRA GGUF file or the folder of a peft adapter")
    return download(
        str(source), lora_files.FILES, lambda found: (found / lora_files.WEIGHTS).exists(), report
    )


def hub_patterns(name: str, files: Sequence[str]) -> list[str]:
    """Which files of a hub model to download: the same weights are often there in two formats."""
    if any(each.endswith(".safetensors") for each in files):
        if "adapter_config.json" in files and "config.json" not in files:
            raise ModelError(f"{name} {model_files.KINDS['adapter']}")
        twice = [any(fnmatch(each, pattern) for each in files) for pattern in (USUAL, CONSOLIDATED)]
        if all(twice):
            return [USUAL if each == "*.safetensors" else each for each in FILES]
        return FILES
    ggufs = sorted(each for each in files if each.endswith(".gguf"))
    if ggufs and not any(fnmatch(each, PICKLES[0]) for each in files):
        raise ModelError(
            f"{name} has GGUF files only; download one (hf download {name} {ggufs[0]}) and give its path"
        )
    return [*FILES, *PICKLES]


def is_whole(folder: Path) -> bool:
    """Whether a snapshot in the hub's cache has all weights: an interrupted download leaves some files."""
    try:
        for pattern in ("*.safetensors", *PICKLES):
            if indexed_files(folder, pattern):
                return True
            if shards := [each.name for each in folder.glob(pattern)]:
                parts = SHARD.search(shards[0])
                return parts is None or len(shards) == int(parts[1])
    except ModelError:
        pass  # some of the files that its index names are missing
    return False


def fetch_from_hub(name: str, report: OnProgress) -> Path:
    """The local folder of a hub model; it is downloaded unless the hub's cache has it."""
    return download(name, [*FILES, *PICKLES], is_whole, report, hub_patterns)


def download(
    name: str,
    patterns: Sequence[str],
    whole: Callable[[Path], bool],
    report: OnProgress,
    choose: Callable[[str, Sequence[str]], list[str]] | None = None,
) -> Path:
    """The local folder of a hub repository; what `choose` picks of it is downloaded unless it is `whole`."""
    import huggingface_hub as hub
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # of its own HTTP client, which changes with its versions
        LocalEntryNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    log: Any = hub.utils.logging
    log.set_verbosity_error()
    with contextlib.suppress(LocalEntryNotFoundError, HFValidationError):
        found = Path(hub.snapshot_download(name, allow_patterns=[*patterns], local_files_only=True))
        if whole(found):
            return found
    report(f"downloading {name} from the model hub", None)
    try:
        wanted = choose(name, hub.list_repo_files(name)) if choose else [*patterns]
        return Path(hub.snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, HTTPError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"cannot download {name!r} from the model hub ({reason}); check the name and the network, "
            "or give a local folder or .gguf file"
        ) from error
