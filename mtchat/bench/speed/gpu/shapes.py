"""Models of real sizes with random weights: trained weights would compute just as fast."""

from collections.abc import Mapping
from typing import Any

from mtchat.inference.hf import fast_import
from mtchat.session.prompt import ModelCard

CODEGEN = {"vocab_size": 51200, "n_positions": 2048, "n_ctx": 2048}
LLAMA = {"max_position_embeddings": 2048, "vocab_size": 51200, "tie_word_embeddings": False}
QWEN = {"max_position_embeddings": 32768, "vocab_size": 151936, "tie_word_embeddings": True}


def codegen(layers: int, width: int, heads: int, rotated: int) -> tuple[str, dict[str, object]]:
    sizes = {"n_layer": layers, "n_embd": width, "n_head": heads, "rotary_dim": rotated}
    return "CodeGenConfig", {**CODEGEN, **sizes}


def gated(
    kind: str, layers: int, width: int, heads: int, kv_heads: int, feed: int, rest: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    sizes = {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": feed,
    }
    return kind, {**rest, **sizes}


# as in their config.json files
SHAPES: Mapping[str, tuple[str, dict[str, object]]] = {
    "codegen-350M": codegen(20, 1024, 16, 32),
    "codegen-2B": codegen(32, 2560, 32, 64),
    "codegen-6B": codegen(33, 4096, 16, 64),
    "codegen-16B": codegen(34, 6144, 24, 64),
    "codegen25-7b": gated("LlamaConfig", 32, 4096, 32, 32, 11008, LLAMA),
    "qwen2.5-coder-0.5b": gated("Qwen2Config", 24, 896, 14, 2, 4864, QWEN),
    "qwen2.5-coder-1.5b": gated("Qwen2Config", 28, 1536, 12, 2, 8960, QWEN),
}


def build(name: str, device: str, dtype: str, seed: int = 0) -> Any:
    """A transformers model of a shape, created on its device."""
    import torch

    kind, sizes = SHAPES[name]
    transformers = fast_import.import_transformers()
    config = getattr(transformers, kind)(**sizes, bos_token_id=None, eos_token_id=None)
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            model = transformers.AutoModelForCausalLM.from_config(config).eval()
    finally:
        torch.set_default_dtype(before)
    return model


def tokenizer(words: int) -> Any:
    """A tokenizer of `words` words; each word is the number of its id."""
    import tokenizers

    transformers = fast_import.import_transformers()
    vocabulary = {f"w{number}": number for number in range(words)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="w0"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend)


def card(name: str, model: Any, dtype: str) -> ModelCard:
    context = model.config.max_position_embeddings
    return ModelCard(name, type(model).__name__, context=context, precision=dtype)
