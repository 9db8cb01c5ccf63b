"""GGUF models of the Llama class in plain numpy, against which the kernels are tested.

Everything is in float64, except that matrices see activations in 8 bits and attention sees keys and values as
halves, as in the kernels.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy
from numpy.typing import NDArray

from tests.support.cpu_models import in_eight_bits

Array = NDArray[numpy.float64]


class PlainModel:
    """A model read by gguf-py; `told` are its metadata without the architecture's prefix."""

    def __init__(self, file: Path) -> None:
        reader = gguf.GGUFReader(file)
        facts = {name: field.contents() for name, field in reader.fields.items()}
        self.name = str(facts["general.architecture"])
        self.told: Mapping[str, Any] = {
            key.removeprefix(f"{self.name}."): value
            for key, value in facts.items()
            if key.startswith(f"{self.name}.")
        }
        self.tensors = {
            each.name: gguf.dequantize(each.data, each.tensor_type).astype(numpy.float64)
            for each in reader.tensors
        }
        self.width, self.heads = self.told["embedding_length"], self.told["attention.head_count"]
        self.groups = self.told.get("attention.head_count_kv", self.heads)
        self.head = self.told.get("attention.key_length", self.width // self.heads)
        self.layers = self.told["block_count"]
        self.gemma = self.name.startswith("gemma")

    def logits(self, ids: list[int]) -> Array:
        """The logits (T, V) after each id."""
        rows = self.tensors["token_embd.weight"][ids]
        rows = rows * (math.sqrt(self.width) if self.gemma else self.told.get("embedding_scale", 1))
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            part = {
                name.removeprefix(prefix): each
                for name, each in self.tensors.items()
                if name.startswith(prefix)
            }
            scale = self.told.get("residual_scale", 1)
            rows = rows + scale * self.after(self.attend(rows, part, layer), part, "post_attention_norm")
            rows = rows + scale * self.after(self.feed(rows, part), part, "post_ffw_norm")
        last = self.tensors.get("output.weight", self.tensors["token_embd.weight"])
        found = in_eight_bits(self.normed(rows, self.tensors["output_norm.weight"])) @ last.T
        found = found / self.told.get("logit_scale", 1)
        cap = self.told.get("final_logit_softcapping", 30 if self.name == "gemma2" else 0)
        return cap * numpy.tanh(found / cap) if cap else found

    def normed(self, rows: Array, weight: Array) -> Array:
        size = numpy.sqrt((rows**2).mean(-1, keepdims=True) + self.told["attention.layer_norm_rms_epsilon"])
        return rows / size * weight

    def after(self, rows: Array, part: Mapping[str, Array], name: str) -> Array:
        weight = part.get(f"{name}.weight") if self.gemma else None
        return rows if weight is None else self.normed(rows, weight)

    def attend(self, rows: Array, part: Mapping[str, Array], layer: int) -> Array:
        count, heads, groups, head = len(rows), self.heads, self.groups, self.head
        seen = in_eight_bits(self.normed(rows, part["attn_norm.weight"]))
        if "attn_qkv.weight" in part:
            sizes = numpy.cumsum([heads * head, groups * head])
            query, key, value = numpy.split(seen @ part["attn_qkv.weight"].T, sizes, axis=1)
        else:
            query, key, value = (
                seen @ part[f"attn_{name}.weight"].T + part.get(f"attn_{name}.bias", 0) for name in "qkv"
            )
        query, key = query.reshape(count, heads, head), key.reshape(count, groups, head)
        if "attn_q_norm.weight" in part:
            query, key = (
                self.normed(query, part["attn_q_norm.weight"]),
                self.normed(key, part["attn_k_norm.weight"]),
            )
        query, key = self.turned(query, layer), self.turned(key, layer)
        keys, values = (
            each.reshape(count, groups, head)
            .astype(numpy.float16)
            .astype(float)
            .repeat(heads // groups, axis=1)
            for each in (key, value)
        )
        scores = numpy.einsum("ihd,jhd->hij", query, keys) * self.score_scale()
        if cap := self.told.get("attn_logit_softcapping", 50 if self.name == "gemma2" else 0):
            scores = cap * numpy.tanh(scores / cap)
        distance = numpy.arange(count)[:, None] - numpy.arange(count)
        hidden = (distance < 0) | (distance >= (self.window(layer) or count))
        scores = numpy.where(hidden, -numpy.inf, scores)
        sinks = part.get("attn_sinks.weight", numpy.full(heads, -numpy.inf))[:, None, None]
        peak = numpy.maximum(scores.max(-1, keepdims=True), sinks)
        shares = numpy.exp(scores - peak)
        shares = shares / (shares.sum(-1, keepdims=True) + numpy.exp(sinks - peak))
        mixed = numpy.einsum("hij,jhd->ihd", shares, values).reshape(count, -1)
        found: Array = in_eight_bits(mixed) @ part["attn_output.weight"].T + part.get("attn_output.bias", 0)
        return found

    def score_scale(self) -> float:
        if self.layers == {"gemma2": 46, "gemma3": 62}.get(self.name):
            return 1 / math.sqrt(self.width // self.heads)
        return float(self.told.get("attention.scale", 0) or 1 / math.sqrt(self.head))

    def is_local(self, layer: int) -> bool:
        pattern = self.told.get(
            "attention.sliding_window_pattern", {"gemma2": 2, "gemma3": 6, "gpt-oss": 2}.get(self.name, 0)
        )
        return not pattern or layer % pattern < pattern - 1

    def window(self, layer: int) -> int:
        size = self.told.get("attention.sliding_window", 4096 if self.name == "gemma2" else 0)
        return int(size) if self.is_local(layer) else 0

    def turned(self, rows: Array, layer: int) -> Array:
        """Rows (T, heads, head) with rotary embeddings."""
        turned = self.told.get("rope.dimension_count", self.head)
        base, scaled = self.told.get("rope.freq_base", 10000.0), True
        if self.name == "gemma3" and self.window(layer):
            base, scaled = self.told.get("rope.freq_base_swa", 10000.0), False
        steps = numpy.arange(turned // 2)
        frequencies, magnitude = (
            base ** (-2.0 * steps / turned),
            self.told.get("rope.scaling.attn_factor", 1.0),
        )
        context = self.told["context_length"]
        longer = context > self.told.get("rope.scaling.original_context_length", context)
        for name in ("rope_freqs.weight", f"rope_factors_{'long' if longer else 'short'}.weight"):
            frequencies = frequencies / self.tensors.get(name, 1)
        factor, kind = self.told.get("rope.scaling.factor", 1), self.told.get("rope.scaling.type", "linear")
        if scaled and kind == "linear":
            frequencies = frequencies / factor
        elif kind == "yarn":
            length = self.told["rope.scaling.original_context_length"]
            low, high = (
                turned * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base)) for turns in (32, 1)
            )
            low, high = max(math.floor(low), 0), min(math.ceil(high), turned - 1)
            slow = ((steps - low) / max(0.001, high - low)).clip(0, 1)
            frequencies = frequencies / factor * slow + frequencies * (1 - slow)
            magnitude *= 1 + 0.1 * math.log(factor)
        angles = numpy.arange(len(rows))[:, None] * frequencies
        cosine, sine = (magnitude * each(angles)[:, None] for each in (numpy.cos, numpy.sin))
        paired = self.name in ("llama", "granite", "smollm3")
        first, second = (
            (slice(0, turned, 2), slice(1, turned, 2))
            if paired
            else (slice(0, turned // 2), slice(turned // 2, turned))
        )
        found = rows.copy()
        found[..., first] = rows[..., first] * cosine - rows[..., second] * sine
        found[..., second] = rows[..., second] * cosine + rows[..., first] * sine
        return found

    def feed(self, rows: Array, part: Mapping[str, Array]) -> Array:
        norm = part["ffn_norm.weight"] if "ffn_norm.weight" in part else part["post_attention_norm.weight"]
        seen = self.normed(rows, norm)
        if "ffn_gate_inp.weight" in part:
            return self.feed_experts(seen, part)
        seen = in_eight_bits(seen)
        if "ffn_gate.weight" in part:
            gate, up = (
                seen @ part[f"ffn_{name}.weight"].T + part.get(f"ffn_{name}.bias", 0)
                for name in ("gate", "up")
            )
        else:
            gate, up = numpy.split(seen @ part["ffn_up.weight"].T, 2, axis=1)
        found: Array = in_eight_bits(self.gated(gate, up)) @ part["ffn_down.weight"].T
        return found + part.get("ffn_down.bias", 0)

    def feed_experts(self, rows: Array, part: Mapping[str, Array]) -> Array:
        scores = rows @ part["ffn_gate_inp.weight"].T + part.get("ffn_gate_inp.bias", 0)
        picked = numpy.argsort(-scores, axis=1)[:, : self.told["expert_used_count"]]
        seen, found = in_eight_bits(rows), numpy.zeros_like(rows)
        for at, experts in enumerate(picked):
            shares = numpy.exp(scores[at, experts] - scores[at, experts].max())
            for expert, share in zip(experts, shares / shares.sum(), strict=True):
                gate, up = (
                    seen[at] @ part[f"ffn_{name}_exps.weight"][expert].T + self.bias(part, name, expert)
                    for name in ("gate", "up")
                )
                inner = in_eight_bits(self.gated(gate, up)[None])[0]
                down = inner @ part["ffn_down_exps.weight"][expert].T + self.bias(part, "down", expert)
                found[at] += share * down
        return found

    def bias(self, part: Mapping[str, Array], name: str, expert: int) -> Any:
        rows = part.get(f"ffn_{name}_exps.bias")
        return 0 if rows is None else rows[expert]

    def gated(self, gate: Array, up: Array) -> Array:
        if self.name == "gpt-oss":
            gate = gate.clip(max=7)
            return gate / (1 + numpy.exp(-1.702 * gate)) * (up.clip(-7, 7) + 1)
        if self.gemma:
            inner = math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)
            return 0.5 * gate * (1 + numpy.tanh(inner)) * up
        return gate / (1 + numpy.exp(-gate)) * up
