"""Loads a model from a GGUF file, a folder or the hub, and gives its engine."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtchat.core.prompt import ModelCard
from mtchat.engine import lean
from mtchat.engine.convert import convert
from mtchat.engine.fingerprint import fingerprint as hash_weights
from mtchat.engine.header import parameters
from mtchat.engine.native import opening
from mtchat.engine.precision import AUTO, QUANTISED, choose, machine_memory
from mtchat.errors import ModelError

if TYPE_CHECKING:
    from mtchat.engine.engine import Engine

DEFAULT_CONTEXT = 2048
FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
PICKLES = ["pytorch_model*.bin"]

Report = Callable[[str, float | None], None]


def load(
    source: str | Path,
    name: str,
    *,
    fingerprint: str = "",
    precision: str = AUTO,
    device: str = "cpu",
    draft: Path | None = None,
    cache: Path,
    report: Report,
) -> "Engine":
    """The engine of a .gguf file, a folder in hub layout, or a hub id.

    `cache` keeps converted GGUF files and the hashes of weights; `fingerprint` is the SHA-256 of the weights
    where the caller knows it. `device` is where to compute, in torch's words. `draft` is the .gguf file of a
    smaller model with the same tokens, which can guess ahead. `report` hears what is done, and how much of
    it (None: not known).
    """
    path = Path(source).expanduser()
    if not path.exists():
        if path.suffix == ".gguf" or path.is_absolute() or str(source).startswith("."):
            raise ModelError(f"no model at {path}; `mtchat models` lists those that can be had")
        path = fetch(str(source), report)
    files = [path] if path.is_file() else weights(path)
    if device != "cpu":
        precision = "bfloat16" if precision in (AUTO, QUANTISED) else precision
    elif precision in (AUTO, QUANTISED):
        why = opening.obstacle(path)
        if not why:
            known = fingerprint or hash_weights(files, cache, report)
            return opening.open_model(path, files, name, known, draft, cache, report)
        if precision == QUANTISED:
            raise ModelError(f"cannot compute {name} with quantised weights: {why}; leave --precision out")
    chosen = choose(precision, sum(map(parameters, files)), machine_memory())
    known = fingerprint or hash_weights(files, cache, report)
    if path.is_file():
        folder = cache / f"{known[:16]}-{chosen}"
        convert(path, folder, chosen, report)
        path = folder
    report("loading the model", None)
    return open_folder(path, name, known, chosen, device)


def weights(folder: Path) -> list[Path]:
    """The files of a folder that hold weights: safetensors, else PyTorch's, read without running code."""
    for pattern in ("*.safetensors", *PICKLES):
        if files := sorted(folder.glob(pattern)):
            return files
    raise ModelError(
        f"no weights in {folder}; a model's folder has config.json, tokenizer.json and *.safetensors"
    )


def fetch(name: str, report: Report) -> Path:
    """The folder of a hub model: from the hub's local cache, else from the hub."""
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
        found = Path(hub.snapshot_download(name, allow_patterns=[*FILES, *PICKLES], local_files_only=True))
        if list(found.glob("*.safetensors")) or list(found.glob(PICKLES[0])):
            return found
    report(f"fetching {name} from the model hub", None)
    try:
        # the same weights are often there twice; the pickle only where it is all there is
        names = hub.list_repo_files(name)
        pickles = [] if any(each.endswith(".safetensors") for each in names) else PICKLES
        return Path(hub.snapshot_download(name, allow_patterns=[*FILES, *pickles]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, HTTPError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"cannot get {name!r} from the model hub ({reason}); check the name and the network, "
            "or give a local folder or .gguf file"
        ) from error


def open_folder(folder: Path, name: str, fingerprint: str, precision: str, device: str = "cpu") -> "Engine":
    """Memory-map the weights where they are stored as they are computed with; never asks the network."""
    with lean.quickly() as transformers:
        import torch

        from mtchat.engine.decode import TorchDecoder
        from mtchat.engine.engine import Engine

        place = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **place)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, precision), **place
            ).eval()
            model.to(device)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ModelError(f"cannot load the model in {folder}: {reason}") from error
        card = ModelCard(
            name=name,
            architecture=type(model).__name__,
            chat=bool(getattr(tokenizer, "chat_template", None)),
            context=context(model.config),
            fingerprint=fingerprint,
            precision=precision,
        )
        configs = (model.generation_config, model.config)
        return Engine(TorchDecoder(model), tokenizer, card, configs=configs)


def context(config: Any) -> int:
    """How many tokens the model can see, by the names that configs have for it."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        if length := getattr(text, name, None):
            return int(length)
    return DEFAULT_CONTEXT
