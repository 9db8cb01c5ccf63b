"""The layout of CodeGen's fused query, key and value weights: finds it, and rearranges it for transformers.

The rows come in one block per accelerator of the training: each has the queries, values and keys of some
heads. transformers expects 4 blocks; codegen2-1B and codegen2-3_7B have 8, which only their own code says.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.loaders.model_files import read_text

BLOCKS = 4
ARCHITECTURE = "CodeGenForCausalLM"
SOURCE = "modeling_codegen.py"
NUMBER = "mp_num"
# width, layers and heads of the released models, by the number of blocks
FOUR = {(1024, 20, 16), (2560, 32, 32), (4096, 33, 16), (6144, 34, 24), (4096, 32, 16)}
SHAPE = ("n_embd", "n_layer", "n_head")
EIGHT = {(2048, 16, 16), (4096, 16, 16)}
# CTranslate2 4.8.5 recognises models with 8 blocks by this entry, which only their configs have
SIZE, SIZES = "head_dim", (128, 256)
NAME = re.compile(r"codegen2-(1B|3[._]7B)", re.IGNORECASE)


@dataclass(frozen=True)
class QkvLayout:
    """The number of blocks, and the evidence for it."""

    blocks: int
    evidence: str


def is_codegen(config: dict[str, Any]) -> bool:
    """Whether a config is that of a CodeGen or CodeGen2 model, even if it names code of its own."""
    named = config.get("architectures")
    return (isinstance(named, list) and ARCHITECTURE in named) or Path(SOURCE).stem in str(
        config.get("auto_map")
    )


def find_layout(folder: Path, config: dict[str, Any], name: str) -> QkvLayout:
    """The layout of a CodeGen model, by the first evidence: its config, its code, its shape, its name.

    A model whose weights were rearranged says so with `"mp_num": 4` in its config.json.
    """
    if type(stated := config.get(NUMBER)) is int:
        return QkvLayout(stated, f"config.json says {NUMBER} = {stated}")
    if found := read_block_count(folder / SOURCE):
        return QkvLayout(found, f"{SOURCE} says {NUMBER} = {found}")
    shape = tuple(each if isinstance(each := config.get(name), int) else 0 for name in SHAPE)
    if shape in EIGHT:
        return QkvLayout(8, "its shape is that of codegen2-1B or codegen2-3_7B")
    if shape in FOUR:
        return QkvLayout(BLOCKS, "its shape is that of a model with 4 blocks")
    if isinstance(config.get(SIZE), int) and config[SIZE] in SIZES:
        return QkvLayout(8, f"config.json has {SIZE} = {config[SIZE]}")
    if NAME.search(name) or NAME.search(folder.name):
        return QkvLayout(8, "its name is that of a model with 8 blocks")
    return QkvLayout(BLOCKS, "nothing says otherwise")


def layout_notes(folder: Path, config: dict[str, Any], name: str) -> tuple[str, ...]:
    """A note for the user about a model with another layout than the usual one."""
    found = find_layout(folder, config, name) if is_codegen(config) else None
    if found is None or found.blocks == BLOCKS:
        return ()
    return (f"loaded as a CodeGen2 model with {found.blocks} blocks of attention weights: {found.evidence}",)


def read_block_count(source: Path) -> int:
    """The number of blocks that a model's own code assigns, or 0; the code is parsed and never run."""
    try:
        tree = ast.parse(read_text(source))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return 0
    found = {
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and type(node.value.value) is int
        and [target.id for target in node.targets if isinstance(target, ast.Name)] == [NUMBER]
    }
    return found.pop() if len(found) == 1 else 0


def rearrange_qkv(model: Any, blocks: int) -> None:
    """Rearrange the rows into 4 blocks, layer by layer: only one layer is in memory twice."""
    config = model.config
    if blocks < 1 or config.n_head % blocks or config.n_head % BLOCKS:
        raise ModelError(
            f"this model has {config.n_head} heads, which {blocks} blocks cannot share evenly; "
            f'correct "{NUMBER}" in its config.json'
        )
    rows = row_order(config.n_embd, blocks)
    for layer in model.transformer.h:
        weight = layer.attn.qkv_proj.weight
        weight.data = weight.data[rows]


def row_order(width: int, blocks: int) -> Any:
    """The source row, in weights of `blocks` blocks, of each row in 4 blocks: (3 * width,) int64.

    Each block has the queries of some heads, then their values, then their keys.
    """
    import torch

    split = torch.arange(3 * width).reshape(blocks, 3, width // blocks)
    whole = split.transpose(0, 1).reshape(3, width)  # all queries, values, keys, in the order of heads
    return whole.reshape(3, BLOCKS, width // BLOCKS).transpose(0, 1).reshape(-1)
