"""Puts a transformers model on a GPU: through the kernels where they can compute it."""

import importlib.util
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.cuda.lanes import lanes
from mtchat.inference.cuda.model import GpuDecoder, slots
from mtchat.inference.cuda.plain import RUN
from mtchat.inference.cuda.rounding import in_4_bits, in_8_bits, rounded
from mtchat.inference.cuda.weights import fused, obstacle
from mtchat.inference.decode import TorchDecoder
from mtchat.inference.engine import Engine
from mtchat.inference.precision import INT4, INT8
from mtchat.session.prompt import ModelCard

SMALL = 2 << 30  # bytes: a step over fewer is so short that starting it counts
SHARE = 0.6  # of the memory that is free beside the weights
ROUNDED = {INT8: in_8_bits, INT4: in_4_bits}


def engine(model: Any, tokenizer: Any, card: ModelCard) -> Engine:
    """The engine of a model that is on a GPU, or spread over some; it is not to be used otherwise then."""
    import torch

    configs = (model.generation_config, model.config)
    spread = len({each.device for each in model.parameters()}) > 1
    why = "several GPUs" if spread else obstacle(model.config, type(model).__name__)
    if why or not importlib.util.find_spec("triton"):
        if card.precision in ROUNDED:
            reason = why or "no Triton is here"
            raise ModelError(
                f"cannot compute {card.name} in {card.precision}: {reason}; leave --precision out"
            )
        return Engine(TorchDecoder(model), tokenizer, card, configs=configs)
    from mtchat.inference.cuda import kernels

    with torch.inference_mode():
        weights = fused(model)
        if card.precision in ROUNDED:
            weights = rounded(weights, ROUNDED[card.precision])
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(weights.embedding.device)
        run = RUN if weights.bytes < SMALL else 1
        decoder = GpuDecoder(weights, slots(weights, int(SHARE * free)), kernels, run)
    return Engine(decoder, tokenizer, card, configs=configs, writers=lanes)
