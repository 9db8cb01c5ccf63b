"""Small random models and tokenizers for the tests of the engine, made in memory."""

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy
import platformdirs
import pytest
import torch

from mtchat.inference.cuda.decoder import GpuDecoder
from mtchat.inference.cuda.scheduler import gpu_scheduler
from mtchat.inference.engine import Engine
from mtchat.inference.hf import fast_import
from mtchat.inference.hf.decoder import TorchDecoder
from mtchat.inference.hf.decoders import make_engine
from mtchat.inference.loaders.cuda_loader import fuse
from mtchat.inference.prefix_tree import PrefixTree
from mtchat.session.prompt import ModelCard
from tests import SHARED

STARTER_SMALL = platformdirs.user_cache_path("mtchat") / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
DATA = Path(os.environ.get("MTCHAT_TEST_DATA", SHARED))
CODEGEN_TOKENIZER = DATA / "codegen-tokenizer"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "def add(a, b):\n    return a + b\n",
    "import numpy as np\nx = np.arange(10)\nprint(x.mean())\n",
    "naïve café ☕",
]
KINDS = ("qwen2", "codegen")


def tiny_tokenizer() -> Any:
    """A byte-level BPE of 320 words with Qwen's special tokens and chat format."""
    import tokenizers

    transformers = fast_import.import_transformers()
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )


def codegen_files() -> list[Path]:
    """The files of CodeGen's tokenizer; a test that needs them is skipped where they are not."""
    if not (CODEGEN_TOKENIZER / "tokenizer.json").exists():
        pytest.skip(f"the CodeGen tokenizer is not at {CODEGEN_TOKENIZER}")
    return list(CODEGEN_TOKENIZER.glob("tokenizer*.json"))


def codegen_tokenizer() -> Any:
    codegen_files()
    return fast_import.import_transformers().AutoTokenizer.from_pretrained(
        CODEGEN_TOKENIZER, local_files_only=True
    )


def random_model(kind: str, vocabulary: int, spread: float = 0.2, seed: int = 7, **changes: Any) -> Any:
    """A causal model whose weights are large enough that its greedy text varies."""
    transformers = fast_import.import_transformers()
    torch.manual_seed(seed)
    if kind == "codegen":
        sizes = {
            "vocab_size": vocabulary,
            "n_positions": 160,
            "n_ctx": 160,
            "n_embd": 32,
            "n_layer": 3,
            "n_head": 4,
            "rotary_dim": 4,
        }
        config = transformers.CodeGenConfig(**(sizes | changes))
    elif kind == "lfm2":
        config = transformers.Lfm2Config(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            layer_types=["conv", "full_attention", "conv"],
        )
    else:
        sizes = {
            "vocab_size": vocabulary,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 160,
            "tie_word_embeddings": False,
        }
        config = transformers.Qwen2Config(**(sizes | changes))
    config.bos_token_id = config.eos_token_id = None
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=spread)
    return model


def write_vocabulary(out: Any) -> None:
    """Writes the tokenizer of the toy models into a GGUF file."""
    tokenizer = tiny_tokenizer()
    words = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list([word for word, _ in vocabulary])
    out.add_token_types([3 if word.startswith("<|") else 1 for word, _ in vocabulary])
    out.add_token_merges([" ".join(pair) for pair in words["model"]["merges"]])
    out.add_eos_token_id(2)
    out.add_pad_token_id(0)
    out.add_chat_template(TEMPLATE)


def write_gguf(path: Path, matrices: str = "Q8_0", **changes: Any) -> Any:
    """A GGUF file of a random Qwen2, its matrices of one type; gives the model that it was made of."""
    tokenizer, kind = tiny_tokenizer(), gguf.GGMLQuantizationType[matrices]
    model = random_model("qwen2", len(tokenizer), **changes)
    config, names = (
        model.config,
        gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, model.config.num_hidden_layers),
    )
    out = gguf.GGUFWriter(path, "qwen2")
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(10000.0)
    write_vocabulary(out)
    for name, values in model.state_dict().items():
        stem, suffix = name.rsplit(".", 1)
        array = values.numpy()
        target = f"{names.get_name(stem)}.{suffix}"
        if array.ndim == 2:
            out.add_tensor(target, gguf.quantize(array, kind), raw_dtype=kind)
        else:
            out.add_tensor(target, array)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    return model


def random_engine(kind: str, tokenizer: Any = None, **changes: Any) -> Engine:
    tokenizer = tokenizer or tiny_tokenizer()
    model = random_model(kind, len(tokenizer), **changes)
    card = ModelCard("tiny", type(model).__name__, chat=bool(tokenizer.chat_template), context=160)
    return make_engine(model, tokenizer, card)


def shuffle(tree: PrefixTree, seed: int) -> None:
    """Let slots be taken in another order."""
    slots = list(tree.free)
    numpy.random.default_rng(seed).shuffle(slots)
    tree.free = dict.fromkeys(slots)


def gpu_engine(
    kind: str, tokenizer: Any = None, slots: int = 2000, steps_per_launch: int = 1, **changes: Any
) -> Engine:
    """The same as a GPU computes it, in torch's own words and on the CPU."""
    plain = random_engine(kind, tokenizer, **changes)
    assert isinstance(plain.decoder, TorchDecoder)
    model = plain.decoder.model
    configs = (model.generation_config, model.config)
    return Engine(
        GpuDecoder(fuse(model), slots, steps_per_launch=steps_per_launch),
        plain.tokenizer,
        plain.card,
        configs=configs,
        scheduler=gpu_scheduler,
    )


def interrupted(count: int, act: Callable[[], object]) -> bool:
    """Does something, with Ctrl-C before line `count` of the engine's; whether it came to that line."""
    remaining = itertools.count(count, -1)

    def trace(frame: Any, event: str, _: object) -> Any:
        ours = "mtchat/inference" in frame.f_code.co_filename.replace("\\", "/")
        if ours and event == "line" and next(remaining) == 0:
            raise KeyboardInterrupt
        return trace if ours else None

    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False
