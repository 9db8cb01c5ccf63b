"""Loads a folder in hub layout with transformers' own classes; code in the folder is never run."""

import importlib.util
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtchat.errors import ModelError, MtchatError, reason
from mtchat.inference.hf import fast_import
from mtchat.inference.hf.adapters import PeftAdapter, apply_adapters
from mtchat.inference.loaders import (
    codegen25_tokenizer,
    codegen_checkpoint,
    devices,
    licences,
    lora_fitting,
    model_files,
    quantised_folders,
    tensor_files,
)
from mtchat.inference.loaders.devices import BYTES, GPU
from mtchat.inference.loaders.lora_fitting import ScaledAdapter
from mtchat.inference.loaders.model_files import OnProgress, read_config
from mtchat.inference.loaders.tensor_files import count_tensors
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import ModelCard

if TYPE_CHECKING:
    from mtchat.inference.engine import Engine

DEFAULT_CONTEXT = 2048
SETTINGS = ("*.json", "*.jinja", "*.txt", "*.model")  # the other files of a folder that are read
VOCABULARIES = ("tokenizer.json", "*vocab*", "*.model", "*.tiktoken", "tekken.json", "merges.txt", "*.spm")
INDEXED = {"*.safetensors": "model.safetensors", "pytorch_model*.bin": "pytorch_model.bin"}
LAYERS, FEW_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers"), 256
NEVER_0 = {
    *("n_embd", "n_layer", "n_head", "n_positions", "rotary_dim"),
    *("hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings"),
}
LARGEST = 1 << 24  # the most that a vocabulary, a context or a count can be
LOCAL_ONLY = {"local_files_only": True, "trust_remote_code": False}


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder: safetensors, else PyTorch's, which are read without running code."""
    if (folder / "adapter_config.json").exists() and not (folder / "config.json").exists():
        raise ModelError(f"{folder} {describe_adapter(read_config(folder / 'adapter_config.json'))}")
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if files := indexed_files(folder, pattern) or sorted(folder.glob(pattern)):
            for file in files:
                model_files.refuse_unsupported(file)
            for setting in (each for pattern in SETTINGS for each in folder.glob(pattern)):
                model_files.read_start(setting)
            return files
    if found := sorted(folder.glob("*.gguf")):
        raise ModelError(f"{folder} contains GGUF files; give one of them: mtchat --model {found[0]}")
    raise ModelError(
        f"no weights in {folder}; a model folder has config.json, tokenizer.json and *.safetensors"
    )


def indexed_files(folder: Path, pattern: str) -> list[Path]:
    """The files that a folder's index names: others are the same weights in another layout.

    [] without an index; ModelError that names missing files.
    """
    index = f"{INDEXED[pattern]}.index.json"
    listed = read_config(folder / index).get("weight_map")
    if (
        not isinstance(listed, dict)
        or not listed
        or not all(isinstance(each, str) for each in listed.values())
    ):
        single = folder / INDEXED[pattern]
        return [single] if single.exists() else []
    names = sorted(set(listed.values()))
    missing = [each for each in names if "/" in each or not (folder / each).exists()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ModelError(
            f"{len(missing)} of the {len(names)} weight files that {folder / index} names are missing: "
            f"{', '.join(missing[:5])[:200]}{more}; download them into that folder"
        )
    return [folder / each for each in names]


def describe_adapter(config: dict[str, Any]) -> str:
    """What an adapter's folder is, in words that follow its name."""
    base, kind = config.get("base_model_name_or_path"), config.get("peft_type", "LORA")
    made_for = f" of {base[:200]}" if isinstance(base, str) and base.isprintable() and base else ""
    what = "a LoRA adapter" if kind == "LORA" else f"an adapter ({str(kind)[:40]!a})"
    return f"is {what}{made_for}, not a whole model; give it after that model: MODEL+ADAPTER"


def read_folder_config(folder: Path) -> dict[str, Any]:
    return read_config(folder / "config.json")


def stored_dtype(folder: Path) -> str:
    """The precision that a model was released in, by its config; "" if it names none."""
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
    quantised: str = "",
    tokenizer: Tokenizer | None = None,
    adapters: Sequence[ScaledAdapter] = (),
) -> "Engine":
    """The engine of a folder; weights stored in the precision they are computed in are memory-mapped.

    `quantised` names the precision that they are quantised to on a GPU. `tokenizer` is for folders without
    one. `adapters` are folders of peft. Only the vocabulary that CodeGen2.5's folders lack may be downloaded.
    """
    with fast_import.fast_transformers() as transformers:
        import torch

        from mtchat.inference.hf.decoders import make_engine

        try:
            tokenizer = tokenizer or read_tokenizer(transformers, folder, cache, report)
            several = device == GPU and devices.needs_several_gpus(weight_bytes(folder, precision))
            model = read_model(transformers, folder, getattr(torch, precision), several)
            notes = (*apply_qkv_layout(model, folder, name), quantised_folders.quantisation_note(folder))
            apply_adapters(model, peft_folders(adapters))
            if not several:
                model.to(device)
        except torch.OutOfMemoryError as error:
            raise ModelError(devices.OUT_OF_MEMORY.format(name)) from error
        except pickle.UnpicklingError as error:
            raise tensor_files.pickle_refusal(folder) from error
        except MtchatError:
            raise
        except ImportError as error:
            hint = quantised_folders.missing_package_hint(folder)
            raise ModelError(f"cannot load the model in {folder}: {hint}{reason(error)}") from error
        except Exception as error:  # transformers raises anything at a file that it cannot read
            raise ModelError(f"cannot load the model in {folder}: {reason(error)}") from error
        licence = licences.find_licence(folder, name)
        card = ModelCard(
            name=name,
            architecture=type(model).__name__,
            chat=bool(tokenizer.template),
            context=context_length(model.config),
            fingerprint=lora_fitting.joined_fingerprint(fingerprint, adapters),
            precision=quantised or precision,
            licence=licence,
            notes=tuple(
                filter(
                    None,
                    (
                        *lora_fitting.adapter_notes(adapters, [name, folder.name]),
                        *(*notes, licences.licence_note(licence)),
                    ),
                )
            ),
        )
        if device == GPU:
            from mtchat.inference.loaders import cuda_loader

            try:
                return cuda_loader.gpu_engine(model, tokenizer, card)
            except torch.OutOfMemoryError as error:
                raise ModelError(devices.OUT_OF_MEMORY.format(name)) from error
        return make_engine(model, tokenizer, card)


def peft_folders(adapters: Sequence[ScaledAdapter]) -> list[PeftAdapter]:
    """The folders of adapters with their scales; ModelError for one in a GGUF file."""
    for each in adapters:
        if not each.file.peft:
            raise ModelError(
                f"{each.file.place} is an adapter for a GGUF model, and this one is computed as floats; give "
                "the folder of a peft adapter, or a GGUF model without --precision"
            )
    return [
        PeftAdapter(
            each.file.place,
            each.scale,
            {matrix.name: (len(matrix.b), matrix.a.shape[1]) for matrix in each.file.matrices},
        )
        for each in adapters
    ]


def read_tokenizer(transformers: Any, folder: Path, cache: Path, report: OnProgress) -> Tokenizer:
    if codegen25_tokenizer.is_codegen25(folder):
        made = codegen25_tokenizer.make_tokenizer(folder, cache, report)
        return Tokenizer.of(transformers.PreTrainedTokenizerFast.from_pretrained(made, local_files_only=True))
    files = [file for pattern in VOCABULARIES for file in folder.glob(pattern)]
    for file in files:
        model_files.refuse_unsupported(file)
    if not files:
        raise ModelError(f"no tokenizer in {folder}; add the model's tokenizer.json or vocab.json")
    found = Tokenizer.of(transformers.AutoTokenizer.from_pretrained(folder, **LOCAL_ONLY))
    if not found.encode("print(1)"):  # empty: transformers makes one up if there is none
        raise ModelError(f"no tokenizer in {folder}; add the model's tokenizer.json or vocab.json")
    return found


def weight_bytes(folder: Path, precision: str) -> int:
    """The bytes of a folder's weights in a precision."""
    return quantised_folders.count_values(weight_files(folder)) * BYTES[precision]


def check_config(folder: Path) -> None:
    """ModelError if a config has impossible sizes: transformers would allocate them before it fails."""
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
                f"config.json in {folder} has {name} = {str(value)[:40]}, which does not fit its weights; "
                "download both again"
            )


def read_model(transformers: Any, folder: Path, dtype: Any, several: bool = False) -> Any:
    """A model with all of its weights: transformers would invent those that the files lack.

    Extra tensors are ignored: old versions stored masks and tables. `several` GPUs share the layers.
    """
    if several and not importlib.util.find_spec("accelerate"):
        raise ModelError("this model needs several GPUs, which takes a package: pip install accelerate")
    placement = {"device_map": "balanced"} if several else {}
    check_config(folder)
    quantised_folders.check_method(folder)
    for each in quantised_folders.NOISY:
        logging.getLogger(each).setLevel(logging.ERROR)
    kind = model_class(transformers, folder)
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, found = kind.from_pretrained(folder, dtype=dtype, **options, **placement, **LOCAL_ONLY)
    if found["mismatched_keys"]:
        name, stored, expected = sorted(found["mismatched_keys"])[0]
        raise ModelError(
            f"the weights in {folder} do not fit its config.json: {name} is {tuple(stored)} instead of "
            f"{tuple(expected)}; download both again"
        )
    if missing := sorted(found["missing_keys"]):
        raise ModelError(
            f"the checkpoint in {folder} is missing {len(missing)} tensors of {type(model).__name__} "
            f"(first: {missing[0]}); download it again"
        )
    return model.eval()


def model_class(transformers: Any, folder: Path) -> Any:
    """The class that opens a folder: a causal language model, or one for images whose text part is used."""
    if codegen_checkpoint.is_codegen(read_folder_config(folder)):
        return transformers.CodeGenForCausalLM
    causal, images = transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText
    config = type(transformers.AutoConfig.from_pretrained(folder, **LOCAL_ONLY))
    return images if config in images._model_mapping and config not in causal._model_mapping else causal


def apply_qkv_layout(model: Any, folder: Path, name: str) -> tuple[str, ...]:
    """Rearrange CodeGen2's attention weights as transformers expects them; a note if that was needed."""
    if type(model).__name__ != codegen_checkpoint.ARCHITECTURE:
        return ()
    config = read_folder_config(folder)
    layout = codegen_checkpoint.find_layout(folder, config, name)
    if layout.blocks != codegen_checkpoint.BLOCKS:
        codegen_checkpoint.rearrange_qkv(model, layout.blocks)
    return codegen_checkpoint.layout_notes(folder, config, name)


def context_length(config: Any) -> int:
    """The tokens of a model's context, by any of the names that configs have for it."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        if length := getattr(text, name, None):
            return int(length)
    return DEFAULT_CONTEXT
