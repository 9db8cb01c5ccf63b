"""Reads the shape of a model from a GGUF file's metadata, by llama.cpp's rules and defaults.

Whatever the kernels do not compute is refused by name: nothing is left out in silence.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy

from mtchat.inference.cpu.weights import CpuShape, Rotation, plain_rotation
from mtchat.inference.decoder import Floats
from mtchat.inference.loaders import gguf_architectures as table
from mtchat.inference.loaders.gguf_architectures import ARCHITECTURES, PLAIN_BASE, GgufArchitecture
from mtchat.inference.loaders.gguf_metadata import format_value
from mtchat.inference.loaders.gguf_reader import ARCHITECTURE, GgufHeader, GgufTensor, MetadataValue

KINDS = ("none", "linear", "yarn", "longrope")  # of scaled rotary embeddings


class UncomputedError(Exception):
    """The kernels do not compute a model; the message says what of it."""


@dataclass(frozen=True)
class Facts:
    """The metadata of a file under its architecture's prefix."""

    header: GgufHeader

    @property
    def name(self) -> str:
        return str(self.header.metadata.get(ARCHITECTURE))

    @property
    def architecture(self) -> GgufArchitecture:
        found = ARCHITECTURES.get(self.name)
        if found is None:
            raise UncomputedError(f"the architecture {self.name}")
        return found

    def get(self, key: str) -> MetadataValue | None:
        return self.header.metadata.get(f"{self.name}.{key}")

    def number(self, key: str, default: float | None = None) -> float:
        """KeyError if a key without a default is missing, ValueError if it is no number."""
        found = self.get(key)
        if found is None:
            if default is None:
                raise KeyError(f"{self.name}.{key}")
            return float(default)
        if isinstance(found, str | bool):
            raise ValueError(f"{self.name}.{key} is {str(found)[:80]}")
        return float(found)

    def whole(self, key: str, default: int | None = None) -> int:
        return int(self.number(key, default))

    def check_keys(self) -> None:
        """UncomputedError if a key would have no effect, though it has one."""
        known = table.IMPLIED | table.COMMON_KEYS | self.architecture.keys
        prefix = f"{self.name}."
        for key, value in self.header.metadata.items():
            short = key.removeprefix(prefix)
            if key.startswith(prefix) and short not in known and not self.is_neutral(short, value):
                raise UncomputedError(f"{key} = {format_value(value)}")
        for key in self.header.array_lengths:
            if key.startswith(prefix):
                raise UncomputedError(f"{key}, an array")

    def is_neutral(self, key: str, value: MetadataValue) -> bool:
        """Whether a value changes nothing: a window does not that holds the whole context."""
        wide = key == table.WINDOW and isinstance(value, int) and value >= self.whole(table.CONTEXT)
        return wide or value in table.NEUTRAL.get(key, ())


def read_shape(header: GgufHeader) -> CpuShape:
    """The sizes of a model and how it is computed.

    UncomputedError if the kernels cannot, KeyError if a key is missing, ValueError if one is odd.
    """
    facts = Facts(header)
    kind = facts.architecture
    facts.check_keys()
    width, heads = facts.whole(table.WIDTH), facts.whole(table.HEADS)
    head = facts.whole(table.KEY, width // heads)
    if (value := facts.whole(table.VALUE, width // heads)) != head:
        raise UncomputedError(f"{facts.name}.{table.VALUE} = {value}, with keys of {head}")
    layers, experts = facts.whole("block_count"), facts.whole(table.EXPERTS, 0)
    windows = tuple(layer_windows(facts, layers))
    rotary = facts.whole(table.ROTATED, head)
    rotations, turns = read_rotations(facts, rotary, windows)
    base = facts.number(table.BASE, PLAIN_BASE)
    longer: tuple[Rotation, ...] = ()
    if has_longer(facts):
        longer = (scaled_rotation(facts, rotary, base, longer=True),)
        rotations = rotations or (scaled_rotation(facts, rotary, base),)
    feed = facts.whole(table.FEED, 0 if experts else None)
    embedding_scale = facts.number(table.EMBEDDING_SCALE, 1) or 1.0
    return CpuShape(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=facts.whole(table.KV_HEADS, heads),
        head=head,
        rotary=rotary,
        feed=facts.whole(table.EXPERT_FEED, feed) if experts else feed,
        vocabulary=header.tensors[table.EMBEDDING].shape[0],
        context=facts.whole(table.CONTEXT),
        epsilon=facts.number(table.EPSILON),
        theta=base,
        experts=experts,
        used_experts=facts.whole(table.USED_EXPERTS) if experts else 0,
        activation=kind.activation,
        embedding_scale=math.sqrt(width) if kind.scaled_embedding else embedding_scale,
        residual_scale=facts.number(table.RESIDUAL_SCALE, 1) or 1.0,
        attention_scale=attention_scale(facts, layers, width, heads),
        attention_cap=facts.number(table.ATTENTION_CAP, kind.attention_cap),
        logit_cap=facts.number(table.LOGIT_CAP, kind.logit_cap),
        windows=windows if any(windows) else (),
        rotations=rotations,
        turns=turns,
        original=original_length(facts) if longer else 0,
        longer=longer,
    )


def attention_scale(facts: Facts, layers: int, width: int, heads: int) -> float:
    """What scores are multiplied by; 0 for the usual 1 / sqrt(head width)."""
    if layers == facts.architecture.wide_layers:
        return 1 / math.sqrt(width // heads)
    return facts.number(table.SCALE, 0)


def layer_windows(facts: Facts, layers: int) -> Iterator[int]:
    """How many tokens each layer sees; 0 for all."""
    kind = facts.architecture
    window = facts.whole(table.WINDOW, kind.window)
    pattern = facts.whole(table.PATTERN, kind.pattern)
    for layer in range(layers):
        sees_all = pattern > 0 and layer % pattern == pattern - 1
        yield 0 if sees_all or window >= facts.whole(table.CONTEXT) else window


def scaling_kind(facts: Facts) -> str:
    """The kind of scaled rotary embedding; "none" if nothing is scaled."""
    kind = str(facts.get(table.SCALING) or "linear")
    if kind not in KINDS:
        raise UncomputedError(f"{facts.name}.{table.SCALING} = {kind[:80]}")
    scaled = facts.number(table.FACTOR, 1) not in (0, 1) or facts.number(table.MAGNITUDE, 1) != 1
    return kind if scaled or kind == "longrope" else "none"


def has_longer(facts: Facts) -> bool:
    """Whether contexts longer than the original one have factors of their own (LongRoPE)."""
    there = [name for name in (table.SHORT_FACTORS, table.LONG_FACTORS) if name in facts.header.tensors]
    if len(there) == 1:
        raise UncomputedError(f"the tensor {there[0]} alone")
    return bool(there) and facts.whole(table.CONTEXT) > original_length(facts)


def original_length(facts: Facts) -> int:
    return facts.whole(table.ORIGINAL, facts.whole(table.CONTEXT))


def read_rotations(
    facts: Facts, rotary: int, windows: tuple[int, ...]
) -> tuple[tuple[Rotation, ...], tuple[int, ...]]:
    """The rotations of a model, and which of them each layer uses; empty for the plain one in all layers."""
    kind = facts.architecture
    base = facts.number(table.BASE, PLAIN_BASE)
    main = scaled_rotation(facts, rotary, base)
    found = [main]
    local_base = facts.number(table.LOCAL_BASE, kind.local_base or base)
    if kind.local_base:
        magnitude = facts.number(table.MAGNITUDE, 1) or 1.0  # holds for all layers
        found.append(replace(plain_rotation(rotary, local_base), magnitude=magnitude))
    elif local_base != base:
        found.append(scaled_rotation(facts, rotary, local_base))
    unturned = {layer for layer in range(len(windows)) if kind.unturned and (layer + 1) % kind.unturned == 0}
    if facts.name == "granite" and facts.get(table.FINETUNED) is False:
        unturned = set(range(len(windows)))
    turns = tuple(
        -1 if layer in unturned else len(found) - 1 if window or is_local(facts, layer) else 0
        for layer, window in enumerate(windows)
    )
    rotations = () if found == [plain_rotation(rotary, base)] else tuple(found)
    return rotations, turns if any(turns) else ()


def is_local(facts: Facts, layer: int) -> bool:
    """Whether a layer is one of those with a window, even if the window holds the whole context."""
    kind = facts.architecture
    pattern = facts.whole(table.PATTERN, kind.pattern)
    return bool(facts.whole(table.WINDOW, kind.window)) and pattern > 0 and layer % pattern != pattern - 1


def scaled_rotation(facts: Facts, rotary: int, base: float, longer: bool = False) -> Rotation:
    """The rotation with a file's scaling.

    Linear and YaRN (arXiv:2309.00071) as llama.cpp computes them; Llama 3's factors and LongRoPE's from their
    tensors.
    """
    if not base > 1:
        raise ValueError(f"a base of {base:g} for rotary embeddings")
    frequencies = numpy.array(plain_rotation(rotary, base).frequencies, numpy.float32)
    names = (table.FREQUENCIES, table.LONG_FACTORS if longer else table.SHORT_FACTORS)
    for name in filter(facts.header.tensors.__contains__, names):
        frequencies = frequencies / read_factors(facts.header.tensors[name], rotary)
    kind, magnitude = scaling_kind(facts), facts.number(table.MAGNITUDE, 1) or 1.0
    factor = facts.number(table.FACTOR, 1) or 1.0
    if kind == "yarn":
        share = yarn_shares(facts, rotary, base)
        frequencies = frequencies / numpy.float32(factor) * (1 - share) + frequencies * share
        magnitude *= yarn_magnitude(factor, facts.number(table.LOG_SCALE, 0))
    elif kind in ("linear", "longrope"):
        frequencies = frequencies / numpy.float32(factor)
    return Rotation(tuple(frequencies.astype(numpy.float32).tolist()), magnitude)


def read_factors(tensor: GgufTensor, rotary: int) -> Floats:
    """The numbers that the frequencies are divided by."""
    if tensor.shape != (rotary // 2,) or tensor.size != 4 * (rotary // 2):
        raise ValueError(f"{tensor.name} is {tensor.shape}")
    found: Floats = numpy.fromfile(tensor.file, numpy.float32, rotary // 2, offset=tensor.start)
    if not (numpy.isfinite(found) & (found > 0)).all():
        raise ValueError(f"{tensor.name} has numbers that are not positive")
    return found


def yarn_shares(facts: Facts, rotary: int, base: float) -> Floats:
    """How much of each frequency stays as it is: all of the fast ones, nothing of the slow ones."""
    original = facts.number(table.ORIGINAL, facts.number(table.CONTEXT))

    def column(turns: float) -> float:
        return rotary * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(column(facts.number(table.BETA_FAST, 32))), 0)
    high = min(math.ceil(column(facts.number(table.BETA_SLOW, 1))), rotary - 1)
    steps = (numpy.arange(rotary // 2, dtype=numpy.float32) - low) / max(0.001, high - low)
    shares: Floats = 1 - steps.clip(0, 1)
    return shares


def yarn_magnitude(factor: float, log_scale: float) -> float:
    """What YaRN multiplies cosines and sines by."""
    whole = 1 + 0.1 * math.log(factor) if factor > 1 else 1.0
    return whole / (1 + 0.1 * log_scale * math.log(factor)) if log_scale and factor > 1 else whole
