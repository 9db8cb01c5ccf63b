"""Loads a GGUF file for llama.cpp, which computes architectures that our own kernels do not."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from mtchat.errors import ModelError
from mtchat.inference.cpu.decoder import MIN_CAPACITY, cache_budget
from mtchat.inference.cpu.kernels import thread_count
from mtchat.inference.llama_cpp import library
from mtchat.inference.llama_cpp.model import SEQUENCES, CacheCosts, LlamaModel, LlamaWeights, measure_costs
from mtchat.inference.llama_cpp.vocabulary import LlamaTokenizer, LlamaVocabulary, differing_probe
from mtchat.inference.loaders import gguf_tokenizer, lora_fitting, model_cache
from mtchat.inference.loaders.devices import LLAMA_CPP, machine_memory
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader, read_gguf
from mtchat.inference.loaders.lora_fitting import ScaledAdapter
from mtchat.inference.loaders.model_files import OnProgress
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import ModelCard

if TYPE_CHECKING:
    from mtchat.inference.engine import Engine

RULES = 1  # of the cached tokenizer
SPARE_TOKENS = 16384  # of prompts beside the longest one; all memory of the cache is taken at once
STATES, LEAST_STATES = 32, 6  # recurrent states: of turns, of candidates and of their prompt


def refuse_without_llama_cpp(path: Path, why: str) -> None:
    """ModelError if llama.cpp is missing, with the reason `why` our own kernels cannot run a file."""
    if missing := library.missing_reason():
        reason = f"mtchat's own kernels cannot run {path.name} ({why}), and " if why else ""
        raise ModelError(
            f"{reason}{missing}; or convert the weights to 4 bytes each with --precision float32"
        )


def load_llama_model(
    path: Path,
    name: str,
    fingerprint: str,
    cache: Path,
    report: OnProgress,
    adapters: Sequence[ScaledAdapter] = (),
) -> "Engine":
    """The engine of a GGUF file, computed by llama.cpp with its weights as they are stored."""
    from mtchat.inference.engine import Engine
    from mtchat.inference.llama_cpp.decoder import LlamaDecoder

    header = read_gguf(path)
    report("loading the model", None)
    weights = LlamaWeights(path, lambda part: report("loading the model", part))
    vocabulary = LlamaVocabulary(weights)
    tokenizer, notes = find_tokenizer(path, fingerprint, vocabulary, cache, report)
    threads = thread_count()
    costs = measure_costs(weights, threads)
    model = make_model(weights, threads, costs, machine_memory(), gguf_files(adapters))
    card = ModelCard(
        name=name,
        architecture=str(header.metadata[ARCHITECTURE]),
        chat=bool(tokenizer.template),
        context=min(weights.trained_context, model.capacity),
        fingerprint=lora_fitting.joined_fingerprint(fingerprint, adapters),
        precision=LLAMA_CPP,
        notes=(
            *lora_fitting.adapter_notes(adapters, [name, path.stem, *lora_fitting.own_names(header)]),
            *(computed_note(header), *notes),
        ),
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


def gguf_files(adapters: Sequence[ScaledAdapter]) -> list[tuple[Path, float]]:
    """The files of adapters with their scales; ModelError for a folder of peft."""
    for each in adapters:
        if each.file.peft:
            raise ModelError(
                f"llama.cpp reads adapters from GGUF files only, and {each.file.place} is a folder; convert "
                "it with llama.cpp's convert_lora_to_gguf.py"
            )
    return [(each.file.place, each.scale) for each in adapters]


def make_model(
    weights: LlamaWeights,
    threads: int,
    costs: CacheCosts,
    memory: int,
    adapters: Sequence[tuple[Path, float]] = (),
) -> LlamaModel:
    """The model with as large a KV cache as a machine with `memory` bytes affords."""
    capacity, sequences = cache_size(weights.trained_context, costs, memory)
    return LlamaModel(weights, threads, capacity, sequences, adapters)


def cache_size(context: int, costs: CacheCosts, memory: int) -> tuple[int, int]:
    """The tokens and the sequences of the KV cache of a model on a machine with `memory` bytes."""
    budget = cache_budget(memory)
    sequences = SEQUENCES
    if costs.state:
        sequences = max(min(budget // 2 // costs.state, STATES), LEAST_STATES)
        budget = max(budget - sequences * costs.state, budget // 2)
    wanted = max(context, min(2 * context, SPARE_TOKENS))
    room = budget // costs.token if costs.token else wanted
    return max(min(room, wanted), min(MIN_CAPACITY, context)), sequences


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
