"""Opens a folder in hub layout with transformers: its own classes only, never code that the folder brings."""

import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtchat.core.prompt import ModelCard
from mtchat.engine import devices, lean, pickles, strange
from mtchat.engine.codegen import licences, qkv, tokenizer25
from mtchat.engine.devices import GPU
from mtchat.engine.facts import facts
from mtchat.engine.header import parameters
from mtchat.engine.precision import BYTES
from mtchat.errors import ModelError

if TYPE_CHECKING:
    from mtchat.engine.engine import Engine

DEFAULT_CONTEXT = 2048
UNREADABLE = (OSError, ValueError, KeyError, RuntimeError)
SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")  # what else is read of a folder
PLACE = {"local_files_only": True, "trust_remote_code": False}

Report = Callable[[str, float | None], None]


def weights(folder: Path) -> list[Path]:
    """The files of a folder that hold weights: safetensors, else PyTorch's, read without running code."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            for file in files:
                strange.refuse(file)
            for setting in (each for pattern in SETTINGS for each in folder.glob(pattern)):
                strange.beginning(setting)
            return files
    if found := sorted(folder.glob("*.gguf")):
        raise ModelError(f"{folder} holds GGUF files; give one of them: mtchat --model {found[0]}")
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{folder} {strange.KINDS['adapter']}")
    raise ModelError(
        f"no weights in {folder}; a model's folder has config.json, tokenizer.json and *.safetensors"
    )


def settings(folder: Path) -> dict[str, Any]:
    return facts(folder / "config.json")


def stored(folder: Path) -> str:
    """The number format that a model was released in, as its config names it; "" where it does not."""
    config = settings(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")


def open_folder(
    folder: Path,
    name: str,
    fingerprint: str,
    precision: str,
    device: str,
    cache: Path,
    report: Report,
    rounded: str = "",
) -> "Engine":
    """Memory-map the weights where they are stored as they are computed with.

    On a GPU they can be `rounded` afterwards, to a format that is named by it.
    The network is asked for nothing but what CodeGen2.5's folders lack.
    """
    with lean.quickly(spared=device == "cpu") as transformers:
        import torch
        from huggingface_hub.errors import StrictDataclassError
        from safetensors import SafetensorError

        from mtchat.engine.decode import TorchDecoder
        from mtchat.engine.engine import Engine

        try:
            tokenizer = read_tokenizer(transformers, folder, cache, report)
            several = device == GPU and devices.spread(size(folder, precision))
            model = read_model(transformers, folder, getattr(torch, precision), several)
            notes = arrange(model, folder, name)
            if not several:
                model.to(device)
        except torch.OutOfMemoryError as error:
            raise ModelError(devices.FULL.format(name)) from error
        except pickle.UnpicklingError as error:
            raise pickles.refusal(folder) from error
        except (*UNREADABLE, StrictDataclassError, SafetensorError) as error:
            reason = " ".join(str(error).split("\n")[:2]).strip()
            raise ModelError(f"cannot load the model in {folder}: {reason}") from error
        licence = licences.licence(folder, name)
        card = ModelCard(
            name=name,
            architecture=type(model).__name__,
            chat=bool(getattr(tokenizer, "chat_template", None)),
            context=context(model.config),
            fingerprint=fingerprint,
            precision=rounded or precision,
            licence=licence,
            notes=tuple(filter(None, (*notes, licences.note(licence)))),
            marks=frozenset(tokenizer.added_tokens_encoder),
        )
        if device == GPU:
            from mtchat.engine.gpu import opening

            try:
                return opening.engine(model, tokenizer, card)
            except torch.OutOfMemoryError as error:
                raise ModelError(devices.FULL.format(name)) from error
        configs = (model.generation_config, model.config)
        return Engine(TorchDecoder(model), tokenizer, card, configs=configs)


def read_tokenizer(transformers: Any, folder: Path, cache: Path, report: Report) -> Any:
    if tokenizer25.wanted(folder):
        made = tokenizer25.made(folder, cache, report)
        return transformers.PreTrainedTokenizerFast.from_pretrained(made, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **PLACE)
    if not tokenizer.vocab_size:  # which transformers makes where there is none
        raise ModelError(f"no tokenizer in {folder}; put the model's tokenizer.json or vocab.json there")
    return tokenizer


def size(folder: Path, precision: str) -> int:
    """The bytes that the weights of a folder take."""
    return sum(map(parameters, weights(folder))) * BYTES[precision]


def read_model(transformers: Any, folder: Path, dtype: Any, several: bool = False) -> Any:
    """A model with all of its weights: transformers would make up those that the files lack.

    What the files have beside them is left: old versions stored masks and tables. On `several` GPUs each has
    some of the layers.
    """
    if several and not importlib.util.find_spec("accelerate"):
        raise ModelError("this model needs several GPUs: pip install accelerate")
    spread = {"device_map": "balanced"} if several else {}
    ours = qkv.fits(settings(folder))
    kind = transformers.CodeGenForCausalLM if ours else transformers.AutoModelForCausalLM
    told = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, found = kind.from_pretrained(folder, dtype=dtype, **told, **spread, **PLACE)
    if found["mismatched_keys"]:
        name, stored, expected = sorted(found["mismatched_keys"])[0]
        raise ModelError(
            f"the weights in {folder} do not fit its config.json: {name} is {tuple(stored)} and not "
            f"{tuple(expected)}; fetch both again"
        )
    if missing := sorted(found["missing_keys"]):
        raise ModelError(
            f"the weights in {folder} lack {len(missing)} of those of {type(model).__name__}, {missing[0]} "
            "first; fetch them again, all of them"
        )
    return model.eval()


def arrange(model: Any, folder: Path, name: str) -> tuple[str, ...]:
    """Lay CodeGen2's weights out as transformers computes with them; what to say where that was done."""
    if type(model).__name__ != qkv.ARCHITECTURE:
        return ()
    config = settings(folder)
    layout = qkv.layout(folder, config, name)
    if layout.blocks != qkv.BLOCKS:
        qkv.rearrange(model, layout.blocks)
    return qkv.notes(folder, config, name)


def context(config: Any) -> int:
    """How many tokens the model can see, by the names that configs have for it."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        if length := getattr(text, name, None):
            return int(length)
    return DEFAULT_CONTEXT
