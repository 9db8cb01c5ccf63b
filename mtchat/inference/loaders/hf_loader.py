"""Opens a folder in hub layout with transformers: its own classes only, never code that the folder brings."""

import importlib.util
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtchat.errors import ModelError, MtchatError, reason
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import (
    codegen25_tokenizer,
    codegen_checkpoint,
    devices,
    licences,
    model_files,
    tensor_files,
)
from mtchat.inference.loaders.devices import BYTES, GPU
from mtchat.inference.loaders.model_files import OnProgress, read_config
from mtchat.inference.loaders.tensor_files import count_parameters, count_tensors
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import ModelCard

if TYPE_CHECKING:
    from mtchat.inference.engine import Engine

DEFAULT_CONTEXT = 2048
SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")  # what else is read of a folder
VOCABULARIES = ("tokenizer.json", "*vocab*", "*.model", "*.tiktoken", "tekken.json", "merges.txt", "*.spm")
LAYERS, FEW_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers"), 256
NEVER_0 = {
    *("n_embd", "n_layer", "n_head", "n_positions", "rotary_dim"),
    *("hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings"),
}
LARGEST = 1 << 24  # of vocabularies, contexts and counts
LOCAL_ONLY = {"local_files_only": True, "trust_remote_code": False}


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder that hold weights: safetensors, else PyTorch's, read without running code."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            for file in files:
                model_files.refuse_unsupported(file)
            for setting in (each for pattern in SETTINGS for each in folder.glob(pattern)):
                model_files.read_start(setting)
            return files
    if found := sorted(folder.glob("*.gguf")):
        raise ModelError(f"{folder} holds GGUF files; give one of them: mtchat --model {found[0]}")
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{folder} {model_files.KINDS['adapter']}")
    raise ModelError(
        f"no weights in {folder}; a model's folder has config.json, tokenizer.json and *.safetensors"
    )


def missing_package_hint(folder: Path) -> str:
    """What to say ahead where weights are stored in a way that needs a package of its own."""
    quantised = read_folder_config(folder).get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, dict) else None
    if not method:
        return "a package is missing, or this machine is not made for it: "
    return f"its weights are quantised ({method}), which takes a package or a GPU that is not here: "


def read_folder_config(folder: Path) -> dict[str, Any]:
    return read_config(folder / "config.json")


def stored_dtype(folder: Path) -> str:
    """The number format that a model was released in, as its config names it; "" where it does not."""
    config = read_folder_config(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")


def load_hf_folder(
    folder: Path,
    name: str,
    fingerprint: str,
    precision: str,
    device: str,
    cache: Path,
    report: OnProgress,
    rounded: str = "",
    tokenizer: Tokenizer | None = None,
) -> "Engine":
    """Memory-map the weights where they are stored as they are computed with.

    On a GPU they can be `rounded` afterwards, to a format that is named by it. `tokenizer` is the model's
    where the folder has none. The network is asked for nothing but what CodeGen2.5's folders lack.
    """
    with fast_import.fast_transformers() as transformers:
        import torch

        from mtchat.inference.engine import Engine
        from mtchat.inference.hf.decoder import TorchDecoder

        try:
            tokenizer = tokenizer or read_tokenizer(transformers, folder, cache, report)
            several = device == GPU and devices.needs_several_gpus(weight_bytes(folder, precision))
            model = read_model(transformers, folder, getattr(torch, precision), several)
            notes = apply_qkv_layout(model, folder, name)
            if not several:
                model.to(device)
        except torch.OutOfMemoryError as error:
            raise ModelError(devices.OUT_OF_MEMORY.format(name)) from error
        except pickle.UnpicklingError as error:
            raise tensor_files.pickle_refusal(folder) from error
        except MtchatError:
            raise
        except ImportError as error:
            raise ModelError(
                f"cannot load the model in {folder}: {missing_package_hint(folder)}{reason(error)}"
            ) from error
        except Exception as error:  # whatever transformers raises at a file that it cannot read
            raise ModelError(f"cannot load the model in {folder}: {reason(error)}") from error
        licence = licences.find_licence(folder, name)
        card = ModelCard(
            name=name,
            architecture=type(model).__name__,
            chat=bool(tokenizer.template),
            context=context_length(model.config),
            fingerprint=fingerprint,
            precision=rounded or precision,
            licence=licence,
            notes=tuple(filter(None, (*notes, licences.licence_note(licence)))),
        )
        if device == GPU:
            from mtchat.inference.loaders import cuda_loader

            try:
                return cuda_loader.gpu_engine(model, tokenizer, card)
            except torch.OutOfMemoryError as error:
                raise ModelError(devices.OUT_OF_MEMORY.format(name)) from error
        configs = (model.generation_config, model.config)
        return Engine(TorchDecoder(model), tokenizer, card, configs=configs)


def read_tokenizer(transformers: Any, folder: Path, cache: Path, report: OnProgress) -> Tokenizer:
    if codegen25_tokenizer.is_codegen25(folder):
        made = codegen25_tokenizer.make_tokenizer(folder, cache, report)
        return Tokenizer.of(transformers.PreTrainedTokenizerFast.from_pretrained(made, local_files_only=True))
    files = [file for pattern in VOCABULARIES for file in folder.glob(pattern)]
    for file in files:
        model_files.refuse_unsupported(file)
    if not files:
        raise ModelError(f"no tokenizer in {folder}; put the model's tokenizer.json or vocab.json there")
    found = Tokenizer.of(transformers.AutoTokenizer.from_pretrained(folder, **LOCAL_ONLY))
    if not found.encode("print(1)"):  # it has no words, as transformers makes one where there is none
        raise ModelError(f"no tokenizer in {folder}; put the model's tokenizer.json or vocab.json there")
    return found


def weight_bytes(folder: Path, precision: str) -> int:
    """The bytes that the weights of a folder take."""
    return sum(map(count_parameters, weight_files(folder))) * BYTES[precision]


def check_config(folder: Path) -> None:
    """ModelError where a config asks for more than any model is: transformers would make all of it first."""
    config = read_folder_config(folder)
    inner = config.get("text_config")
    for name, value in (config | (inner if isinstance(inner, dict) else {})).items():
        if type(value) is not int:
            continue
        layers = (
            name in LAYERS and value > FEW_LAYERS and value > sum(map(count_tensors, weight_files(folder)))
        )
        large = name.startswith(("n_", "num_", "max_position", "vocab_")) and value > LARGEST
        if layers or large or (name in NEVER_0 and value < 1):
            raise ModelError(
                f"config.json in {folder} says {name} = {str(value)[:40]}, which its weights are not for; "
                "fetch both again"
            )


def read_model(transformers: Any, folder: Path, dtype: Any, several: bool = False) -> Any:
    """A model with all of its weights: transformers would make up those that the files lack.

    What the files have beside them is left: old versions stored masks and tables. On `several` GPUs each has
    some of the layers.
    """
    if several and not importlib.util.find_spec("accelerate"):
        raise ModelError("this model needs several GPUs: pip install accelerate")
    placement = {"device_map": "balanced"} if several else {}
    check_config(folder)
    ours = codegen_checkpoint.is_codegen(read_folder_config(folder))
    kind = transformers.CodeGenForCausalLM if ours else transformers.AutoModelForCausalLM
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, found = kind.from_pretrained(folder, dtype=dtype, **options, **placement, **LOCAL_ONLY)
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


def apply_qkv_layout(model: Any, folder: Path, name: str) -> tuple[str, ...]:
    """Lay CodeGen2's weights out as transformers computes with them; what to say where that was done."""
    if type(model).__name__ != codegen_checkpoint.ARCHITECTURE:
        return ()
    config = read_folder_config(folder)
    layout = codegen_checkpoint.find_layout(folder, config, name)
    if layout.blocks != codegen_checkpoint.BLOCKS:
        codegen_checkpoint.rearrange_qkv(model, layout.blocks)
    return codegen_checkpoint.layout_notes(folder, config, name)


def context_length(config: Any) -> int:
    """How many tokens the model can see, by the names that configs have for it."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        if length := getattr(text, name, None):
            return int(length)
    return DEFAULT_CONTEXT
