"""Loads a GGUF file for llama.cpp, which computes architectures that our own kernels do not."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from mtchat.errors import ModelError
from mtchat.inference.cpu.kernels import thread_count
from mtchat.inference.llama_cpp import library
from mtchat.inference.llama_cpp.model import SEQUENCES, CacheCosts, LlamaModel, LlamaWeights, measure_costs
from mtchat.inference.llama_cpp.vocabulary import LlamaTokenizer, LlamaVocabulary, differing_probe
from mtchat.inference.loaders import gguf_tokenizer, model_cache
from mtchat.inference.loaders.devices import LLAMA_CPP, machine_memory
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader, read_gguf
from mtchat.inference.loaders.model_files import OnProgress
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import ModelCard

if TYPE_CHECKING:
    from mtchat.inference.engine import Engine

RULES = 1  # of the cached tokenizer
CACHE_SHARE, MAX_CACHE_BYTES = 8, 2 << 30  # the KV cache takes 1/8 of the memory, and 2 GiB at most
MIN_CAPACITY = 4096  # tokens, however small the memory
SPARE_TOKENS = 16384  # of prompts beside the longest one; all memory of the cache is taken at once
STATES, LEAST_STATES = 32, 6  # recurrent states: of turns, of candidates and of their prompt


def refuse_without_llama_cpp(path: Path, why: str) -> None:
    """ModelError if llama.cpp is missing, with the reason `why` our own kernels cannot run a file."""
    if missing := library.missing_reason():
        reason = f"mtchat's own kernels cannot run {path.name} ({why}), and " if why else ""
        raise ModelError(
            f"{reason}{missing}; or convert the weights to 4 bytes each with --precision float32"
        )


def load_llama_model(path: Path, name: str, fingerprint: str, cache: Path, report: OnProgress) -> "Engine":
    """The engine of a GGUF file, computed by llama.cpp with its weights as they are stored."""
    from mtchat.inference.engine import Engine
    from mtchat.inference.llama_cpp.decoder import LlamaDecoder

    header = read_gguf(path)
    report("loading the model", None)
    weights = LlamaWeights(path, lambda part: report("loading the model", part))
    vocabulary = LlamaVocabulary(weights)
    tokenizer, notes = find_tokenizer(path, fingerprint, vocabulary, cache, report)
    threads = thread_count()
    model = make_model(weights, threads, measure_costs(weights, threads), machine_memory())
    card = ModelCard(
        name=name,
        architecture=str(header.metadata[ARCHITECTURE]),
        chat=bool(tokenizer.template),
        context=min(weights.trained_context, model.capacity),
        fingerprint=fingerprint,
        precision=LLAMA_CPP,
        notes=(computed_note(header), *notes),
    )
    stops = SimpleNamespace(eos_token_id=sorted(vocabulary.stop_ids(sorted(tokenizer.hidden))))
    return Engine(LlamaDecoder(model), tokenizer, card, configs=[stops], closing=model.close)


def computed_note(header: GgufHeader) -> str:
    """That llama.cpp computes the file, with the types of its matrices, the largest share first."""
    import gguf

    sizes: Counter[int] = Counter()
    for tensor in header.tensors.values():
        if len(tensor.shape) > 1:
            sizes[tensor.kind] += tensor.size
    kinds = ", ".join(gguf.GGMLQuantizationType(kind).name for kind, _ in sizes.most_common())
    return f"computed by llama.cpp with the weights as they are stored ({kinds})"


def make_model(weights: LlamaWeights, threads: int, costs: CacheCosts, memory: int) -> LlamaModel:
    """The model with as large a KV cache as a machine with `memory` bytes affords."""
    budget = min(memory // CACHE_SHARE, MAX_CACHE_BYTES)
    sequences = SEQUENCES
    if costs.state:
        sequences = max(min(budget // 2 // costs.state, STATES), LEAST_STATES)
        budget = max(budget - sequences * costs.state, budget // 2)
    context = weights.trained_context
    wanted = max(context, min(2 * context, SPARE_TOKENS))
    room = budget // costs.token if costs.token else wanted
    return LlamaModel(weights, threads, max(min(room, wanted), min(MIN_CAPACITY, context)), sequences)


def find_tokenizer(
    path: Path, fingerprint: str, vocabulary: LlamaVocabulary, cache: Path, report: OnProgress
) -> tuple[Tokenizer, tuple[str, ...]]:
    """Our tokenizer of a file where it agrees with llama.cpp's, else llama.cpp's own; and notes."""
    folder = cache / f"{fingerprint[: model_cache.KEY_LENGTH]}-llamacpp-{RULES}"
    made = model_cache.make_recipe(path, fingerprint, LLAMA_CPP, RULES)

    def fill() -> None:
        model_cache.discard_stale(folder, made, lambda _: True, report)
        model_cache.make_once(folder, lambda part: model_cache.write_recipe(part, made), report)

    try:
        found = model_cache.cached_tokenizer(
            folder, lambda: gguf_tokenizer.read_tokenizer(path), fill, report
        )
    except ModelError as error:
        return llama_tokenizer(path, vocabulary), (f"tokenized by llama.cpp: {error}",)
    if text := differing_probe(found, vocabulary):
        return llama_tokenizer(path, vocabulary), (
            f"tokenized by llama.cpp: mtchat would split {text[:20]!r} differently",
        )
    return found, ()


def llama_tokenizer(path: Path, vocabulary: LlamaVocabulary) -> LlamaTokenizer:
    table = gguf_tokenizer.read_vocabulary(path)
    ids = {
        "bos_token": vocabulary.library.vocab_bos(vocabulary.handle),
        "eos_token": vocabulary.library.vocab_eos(vocabulary.handle),
    }
    names = {role: text for role, id in ids.items() if (text := vocabulary.id_to_token(id))}
    return LlamaTokenizer(vocabulary, names, table.template)
