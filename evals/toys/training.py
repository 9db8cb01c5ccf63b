"""Trains a toy from random weights until it knows its texts by heart."""

from collections.abc import Callable
from typing import Any

import gguf
import torch
from torch.nn import functional

from evals.toys.table import Toy
from evals.toys.texts import Vocabulary

IGNORED = -100


def build_model(toy: Toy, vocabulary: Vocabulary) -> Any:
    """A random model whose norms and biases differ from 1 and 0, so that none can be left out unnoticed."""
    import transformers

    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    config = transformers.CONFIG_MAPPING[toy.kind](
        **toy.config | special, vocab_size=len(vocabulary.tokens), attn_implementation="eager"
    )
    torch.manual_seed(len(toy.kind))
    model = transformers.AutoModelForCausalLM.from_config(config)
    centred = toy.architecture.startswith("gemma")
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.endswith("norm.weight"):
                values.uniform_(-0.4, 0.4).add_(0.0 if centred else 1.0)
            elif name.endswith(("bias", "sinks")):
                values.normal_(std=0.3)
            elif "experts" in name:
                values.normal_(std=0.08)
    return model


def round_weights(model: Any, matrices: str, experts: str = "") -> None:
    """Give the matrices the values that they have in a file; rounded experts are trained no more."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
                across = experts == "MXFP4"  # gpt-oss has the columns of its experts first
                rows = values.transpose(1, 2) if across else values
                kept = rounded(rows, experts or matrices)
                values.copy_(kept.transpose(1, 2) if across else kept)
                values.requires_grad_(not experts)
            elif values.ndim == 2 and matrices and name.endswith("weight") and "router" not in name:
                values.copy_(rounded(values, matrices))


def rounded(values: torch.Tensor, kind: str) -> torch.Tensor:
    stored = gguf.GGMLQuantizationType[kind]
    blocks = gguf.quantize(values.contiguous().numpy(), stored)
    return torch.from_numpy(gguf.dequantize(blocks, stored))


def batch(lessons: list[list[int]]) -> tuple[Any, Any]:
    """Ids (B, T) and targets (B, T); what pads a text is after it and is not learned."""
    longest = max(map(len, lessons))
    ids = torch.zeros(len(lessons), longest, dtype=torch.long)
    targets = torch.full((len(lessons), longest), IGNORED)
    for row, lesson in enumerate(lessons):
        ids[row, : len(lesson)] = torch.tensor(lesson)
        targets[row, : len(lesson) - 1] = ids[row, 1 : len(lesson)]
    return ids, targets


def train(
    model: Any, lessons: list[list[int]], steps: int, rate: float, report: Callable[[str], None]
) -> float:
    """Train all weights that need a gradient; the loss of the last step."""
    ids, targets = batch(lessons)
    parameters = [values for values in model.parameters() if values.requires_grad]
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0.01)
    warm, known = steps // 10, int((targets != IGNORED).sum())
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 1.0) * max(0.02, 1 - step / steps)
    )
    model.train()
    for step in range(steps):
        logits = model(input_ids=ids, use_cache=False).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            report(f"step {step}: loss {loss.item():.3f}, {right(logits, targets)} of {known}")
    model.eval()
    return float(loss.item())


def right(logits: Any, targets: Any) -> int:
    """How many targets are the most likely id."""
    return int((logits.argmax(-1) == targets).sum())
