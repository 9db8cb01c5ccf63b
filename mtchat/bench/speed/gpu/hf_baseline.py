"""The baselines on a GPU: transformers' generate, and how fast memory can be copied."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mtchat.bench.speed.peers.transformers import TokenTimes

COPY_BYTES = 2 << 30
WARM = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0}


@dataclass(frozen=True)
class HfGenerate:
    """transformers' generate with a dynamic cache, or a static one, for which it compiles the model."""

    model: Any
    static: bool = False

    def write(self, ids: Sequence[int], count: int) -> tuple[Sequence[int], float, float]:
        """The greedy next ids, and the seconds to the first and to the last of them."""
        began, times = time.perf_counter(), TokenTimes()
        out = self.run(ids, count, do_sample=False, streamer=times)
        return out[0].tolist(), times.first - began, time.perf_counter() - began

    def complete_batch(self, ids: Sequence[int], count: int, number: int) -> float:
        """The seconds that `number` sampled completions take from their first token on."""
        began = time.perf_counter()
        self.run(ids, 1, num_return_sequences=number, **WARM)
        middle = time.perf_counter()
        self.run(ids, count, num_return_sequences=number, **WARM)
        return time.perf_counter() - middle - (middle - began)

    def run(self, ids: Sequence[int], count: int, **options: Any) -> Any:
        tokens = torch.tensor([list(ids)], device=self.model.device)
        cache = {"cache_implementation": "static"} if self.static else {}
        out = self.model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=count,
            min_new_tokens=count,
            pad_token_id=0,
            **cache,
            **options,
        )
        torch.cuda.synchronize()
        return out[:, len(ids) :]


@torch.inference_mode()
def compute_logits(model: Any, context: Sequence[int], text: Sequence[int]) -> Any:
    """The logits (T, V) after a context and each id of a text but the last, in one pass, as float32."""
    tokens = torch.tensor([[*context, *text]], device=model.device)
    return model(tokens, use_cache=False).logits[0, len(context) - 1 : -1].float().cpu()


def first_difference(
    logits: Any, dtype: Any, mine: Sequence[int], theirs: Sequence[int]
) -> tuple[int, float, float]:
    """After how many ids two completions diverge, the gap of both ids' logits there, and the spacing of
    numbers of the dtype at that size. `logits` (T, V) are those along `theirs`."""
    equal = next(
        (at for at, pair in enumerate(zip(mine, theirs, strict=False)) if len(set(pair)) > 1), len(theirs)
    )
    if equal == len(theirs):
        return equal, 0.0, 0.0
    row = logits[equal]
    one, other = float(row[mine[equal]]), float(row[theirs[equal]])
    return equal, abs(one - other), abs(other) * float(torch.finfo(dtype).eps)


def measure_copy_rate() -> float:
    """Bytes per second that a large copy on the GPU reads and writes, the best of three."""
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    seconds = []
    for _ in range(4):
        torch.cuda.synchronize()
        began = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * COPY_BYTES / min(seconds[1:])


def empty_cache() -> None:
    """Free the GPU memory that is no longer used."""
    torch.cuda.empty_cache()


def versions() -> str:
    import transformers

    return f"torch {torch.__version__}, transformers {transformers.__version__}"
