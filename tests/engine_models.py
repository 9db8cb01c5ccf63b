"""Small random models and tokenizers for the tests of the engine, made in memory."""

import os
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import torch

from mtchat.core.prompt import ModelCard
from mtchat.engine import lean
from mtchat.engine.engine import Engine

STARTER_SMALL = platformdirs.user_cache_path("mtchat") / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
DATA = Path(os.environ.get("MTCHAT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
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

    transformers = lean.load()
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


def codegen_tokenizer() -> Any:
    if not (CODEGEN_TOKENIZER / "tokenizer.json").exists():
        pytest.skip(f"the CodeGen tokenizer is not at {CODEGEN_TOKENIZER}")
    return lean.load().AutoTokenizer.from_pretrained(CODEGEN_TOKENIZER, local_files_only=True)


def random_model(kind: str, vocabulary: int, **changes: Any) -> Any:
    """A causal model whose weights are large enough that its greedy text varies."""
    transformers = lean.load()
    torch.manual_seed(7)
    if kind == "codegen":
        config = transformers.CodeGenConfig(
            vocab_size=vocabulary,
            n_positions=160,
            n_ctx=160,
            n_embd=32,
            n_layer=3,
            n_head=4,
            rotary_dim=4,
            **changes,
        )
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
                parameter.normal_(std=0.2)
    return model


def random_engine(kind: str, tokenizer: Any = None, **changes: Any) -> Engine:
    tokenizer = tokenizer or tiny_tokenizer()
    model = random_model(kind, len(tokenizer), **changes)
    card = ModelCard("tiny", type(model).__name__, chat=bool(tokenizer.chat_template), context=160)
    return Engine(model, tokenizer, card)
