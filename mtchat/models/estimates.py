"""What a GGUF file needs before it is loaded: its memory by the way it is computed, and the bytes of a token.

The sizes are those of the file's own tensors, so they hold for any architecture; of a mixture of experts all
weights are in memory, but only those of the experts in use are read for a token.
"""

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path

from mtchat.errors import ModelError
from mtchat.inference.cpu import decoder, weights
from mtchat.inference.llama_cpp.model import CacheCosts
from mtchat.inference.loaders import cpu_loader, gguf_weights
from mtchat.inference.loaders.devices import AUTO, BYTES, LLAMA_CPP, QUANTISED
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader, GgufTensor, read_gguf
from mtchat.inference.loaders.gguf_shape import read_shape
from mtchat.inference.loaders.llama_cpp_loader import cache_size
from mtchat.models.advice import SLOWEST, MeasuredSpeed
from mtchat.models.gguf_choice import PREFERRED, PREFERRED_BITS
from mtchat.models.memory import describe_memory
from mtchat.models.sizes import OTHER_MEMORY, MemoryNeed

KERNELS, TRANSFORMERS = "mtchat's kernels", "transformers"
FORCED = {KERNELS: QUANTISED, LLAMA_CPP: LLAMA_CPP}  # the precision that is tried whatever it needs
KEYS_VALUES = re.compile(r"blk\.\d+\.attn_(k|v|kv_a_mqa|qkv)\.weight")
FUSED = "attn_qkv"  # queries, keys and values in one matrix
EXPERTS = "_exps."  # in the names of tensors with one matrix for each expert
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
CONVOLUTION = re.compile(r"blk\.\d+\.(ssm_conv1d|shortconv\.conv)\.weight")  # one in each recurrent layer
HALF, STATE = 2, 4  # bytes of a key or value, and of a number of a recurrent state
DEFAULT_CONTEXT = 4096
STEP, LOGIT = 512, 4  # tokens of a step of llama.cpp, and bytes of a logit


@dataclass(frozen=True)
class FileEstimate:
    """How a file is computed, the memory that this takes, and the bytes of weights read for a token."""

    way: str
    need: MemoryNeed
    bytes_per_token: int
    parameters: int
    file_bytes: int


def estimate_file(path: Path, precision: str, memory: int) -> FileEstimate:
    """The estimate for a GGUF file on a machine with `memory` bytes; ModelError if it cannot be read."""
    header = read_gguf(path)
    stored = sum(each.size for each in header.tensors.values())
    parameters = sum(prod(each.shape) for each in header.tensors.values())
    read = bytes_read(header)
    if precision in BYTES:
        context, held = stated_context(header), parameters * BYTES[precision]
        way, need = TRANSFORMERS, MemoryNeed(held, context, cache_bytes(header) * context)
    elif precision != LLAMA_CPP and not cpu_loader.unsupported_reason(path):
        shape, held = read_shape(header), weights.plan_file(gguf_weights.part_sources(header))[1]
        context = min(shape.context, decoder.kv_capacity(shape, memory))
        cache = HALF * 2 * shape.layers * shape.kv_heads * shape.head * context
        way, need = KERNELS, MemoryNeed(held, context, cache)
    else:
        way, held, need = LLAMA_CPP, stored, llama_need(header, stored, memory)
    return FileEstimate(way, need, int(held * read / max(stored, 1)), parameters, stored)


def llama_need(header: GgufHeader, stored: int, memory: int) -> MemoryNeed:
    """What a file takes with llama.cpp, which also has room for the logits of each token of a step."""
    costs = CacheCosts(cache_bytes(header), state_bytes(header))
    capacity, sequences = cache_size(stated_context(header), costs, memory)
    cache = costs.token * capacity + costs.state * sequences
    rows = header.tensors[EMBEDDING].shape[0] if EMBEDDING in header.tensors else 0
    other = OTHER_MEMORY + STEP * rows * LOGIT
    return MemoryNeed(stored, capacity, cache, other=other, at_once=True)


def state_bytes(header: GgufHeader) -> int:
    """The bytes of a sequence's recurrent state: of each such layer, what it keeps and its last inputs."""
    name = str(header.metadata.get(ARCHITECTURE))

    def fact(key: str) -> int:
        found = header.metadata.get(f"{name}.ssm.{key}", 0)
        return found if type(found) is int else 0

    layers = [each for each in header.tensors.values() if CONVOLUTION.fullmatch(each.name)]
    inputs = sum((each.shape[-1] - 1) * each.shape[0] for each in layers)
    return STATE * (inputs + len(layers) * fact("state_size") * fact("inner_size"))


def bytes_read(header: GgufHeader) -> int:
    """The bytes of a file that one token reads: of the embedding one row, of the experts those in use."""
    name = str(header.metadata.get(ARCHITECTURE))
    counts = [header.metadata.get(f"{name}.{key}") for key in ("expert_used_count", "expert_count")]
    used, experts = (each if type(each) is int else 0 for each in counts)
    part = used / experts if experts else 1.0
    total = 0.0
    for tensor in header.tensors.values():
        if tensor.name == EMBEDDING and OUTPUT in header.tensors:
            continue
        total += tensor.size * (part if EXPERTS in tensor.name else 1)
    return int(total)


def cache_bytes(header: GgufHeader) -> int:
    """The bytes of a token's keys and values in 16 bits, by the matrices that make them."""
    width = header.metadata.get(f"{header.metadata.get(ARCHITECTURE)}.embedding_length", 0)
    queries = width if type(width) is int else 0
    found = [each for each in header.tensors.values() if KEYS_VALUES.fullmatch(each.name)]
    recurrent = {layer_of(each) for each in header.tensors.values() if CONVOLUTION.fullmatch(each.name)}
    return HALF * sum(
        made_rows(each, queries)
        for each in found
        if FUSED not in each.name or layer_of(each) not in recurrent
    )


def layer_of(tensor: GgufTensor) -> str:
    return tensor.name.split(".")[1]


def made_rows(tensor: GgufTensor, queries: int) -> int:
    """The rows of a matrix that make keys or values: in a fused one, all but those of the queries."""
    return max(tensor.shape[0] - queries, 0) if FUSED in tensor.name else tensor.shape[0]


def stated_context(header: GgufHeader) -> int:
    found = header.metadata.get(f"{header.metadata.get(ARCHITECTURE)}.context_length", 0)
    return found if type(found) is int and found > 0 else DEFAULT_CONTEXT


def check_estimate(name: str, estimate: FileEstimate, memory: float) -> None:
    """ModelError if a model cannot fit, with the numbers and what would."""
    need = estimate.need
    if need.least <= memory:
        return
    smaller = int(estimate.parameters * PREFERRED_BITS / 8)
    least = smaller + need.least - need.weights
    if smaller < 0.9 * estimate.file_bytes and least <= memory:
        advice = (
            f"a smaller quantisation such as {PREFERRED} of the same model would take about "
            f"{describe_memory(least)}"
        )
    else:
        most = max(memory - (need.least - need.weights), 0) * 8 / PREFERRED_BITS
        advice = f"a model with at most {most / 1e9:.1f} billion weights in {PREFERRED} would fit"
    forced = f", or force it with --precision {FORCED[estimate.way]}" if estimate.way in FORCED else ""
    raise ModelError(
        f"{name} needs {describe_memory(need.least)} of memory ({describe_memory(need.weights)} for weights, "
        f"the rest for a short context and the program), and this machine has {describe_memory(memory)}; "
        f"{advice}{forced}"
    )


def describe_estimate(estimate: FileEstimate, memory: float, speed: MeasuredSpeed | None) -> str:
    """The memory that a file needs here and about how fast it would be, in a few words."""
    need = f"needs {describe_memory(estimate.need.least)}"
    if estimate.need.least > memory:
        return f"{need}: too large"
    if speed is None or not estimate.bytes_per_token:
        return need
    return f"{need}, ~{speed.bandwidth / estimate.bytes_per_token:.1f} tokens/s"


def tight_memory_note(estimate: FileEstimate, free: float) -> str:
    """What to say of a model that fits the machine but not what is free now; "" if it does."""
    least = estimate.need.least
    if least <= free:
        return ""
    return (
        f"it needs {describe_memory(least)} of memory and {describe_memory(free)} are free: "
        "it may be slow until other programs end"
    )


def slow_note(estimate: FileEstimate, speed: MeasuredSpeed | None) -> str:
    """What to say of a model that will be slow here; "" if it will not, or the speed is not known."""
    if speed is None or speed.busy or not estimate.bytes_per_token:
        return ""
    rate = speed.bandwidth / estimate.bytes_per_token
    return "" if rate >= SLOWEST else f"about {rate:.1f} tokens/s are expected on this machine"


def check_file(
    name: str, path: Path, precision: str, memory: int, free: float, speed: MeasuredSpeed | None
) -> tuple[str, ...]:
    """Refuse a GGUF file that cannot fit, before it is loaded; notes on one that will be short or slow.

    A precision that was asked for is tried; loading says what is wrong with a file that cannot be read.
    """
    if precision != AUTO or not path.is_file():
        return ()
    try:
        estimate = estimate_file(path, precision, memory)
    except ModelError:
        return ()
    check_estimate(name, estimate, memory)
    return tuple(filter(None, (tight_memory_note(estimate, free), slow_note(estimate, speed))))
