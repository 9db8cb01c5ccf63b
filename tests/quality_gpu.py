"""The benchmark's conversations in float32 on a GPU, many at once, for `python -m tests.quality score`.

    python -m tests.quality_gpu MODELS OUT [--data FILE]

MODELS is a folder with the GGUF files of the starters; OUT gets one JSONL file for each. Needs torch,
transformers, gguf and platformdirs. Without a GPU it runs on the CPU.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import DynamicCache

from mtchat.engine import loader
from mtchat.engine.decode import TorchDecoder
from mtchat.engine.engine import Engine
from tests.quality import DATA, FILES, Reply, Talk, talks


def exactly() -> None:
    """Multiply float32 as float32, and not with shortened numbers."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def converse(engine: Engine, talks: list[Talk], most: int) -> Iterator[Talk]:
    """Hold the talks turn by turn, `most` at once, those with prompts of one length together."""
    while talks:
        replies = [(talk, Reply(engine, talk)) for talk in talks]
        replies.sort(key=lambda each: (each[0].length, len(each[1].ids)))
        for first in range(0, len(replies), most):
            write(engine, [reply for _, reply in replies[first : first + most]])
        answered = [talk.answered(reply.text) for talk, reply in replies]
        yield from (talk for talk in answered if talk.ended)
        talks = [talk for talk in answered if not talk.ended]


@torch.inference_mode()
def write(engine: Engine, replies: list[Reply]) -> None:
    """Write replies together, the prompts padded on the left; one that ends leaves the batch."""
    assert isinstance(engine.decoder, TorchDecoder)
    model = engine.decoder.model
    width = max(len(reply.ids) for reply in replies)
    pads = [width - len(reply.ids) for reply in replies]
    pairs = zip(pads, replies, strict=True)
    ids = torch.tensor([[0] * pad + reply.ids for pad, reply in pairs], device=model.device)  # (B, T)
    mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads], device=model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    while True:
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        chosen = logits.argmax(-1)  # (B,)
        going = [row for row, id in enumerate(chosen.tolist()) if replies[row].push(id)]
        if not going:
            return
        if len(going) < len(replies):
            kept = torch.tensor(going, device=model.device)
            cache.batch_select_indices(kept)
            chosen, mask, positions = chosen[kept], mask[kept], positions[kept]
            replies = [replies[row] for row in going]
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.quality_gpu", description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--batch", type=int, default=160, help="conversations at once")
    parser.add_argument("--problems", type=int, help="only so many of them")
    parser.add_argument("--model", choices=FILES, help="only this one")
    asked = parser.parse_args()
    exactly()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in [asked.model] if asked.model else list(FILES):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            engine = loader.load(
                asked.models / FILES[name],
                name,
                precision="float32",
                cache=Path(folder),
                report=lambda *said: None,
            )
            assert isinstance(engine.decoder, TorchDecoder)
            # finite where a whole row is masked, as padding is; the fast ways differ in what they give there
            engine.decoder.model.set_attn_implementation("eager")
            engine.decoder.model.to(device)
        print(f"{name}: on {device} after {time.monotonic() - began:.0f} s", flush=True)
        waiting = list(talks(asked.data, problems=asked.problems))
        with (asked.out / f"{name}-float32-{device}.jsonl").open("w") as stream:
            for talk in converse(engine, waiting, asked.batch):
                stream.write(talk.line())
                stream.flush()
        print(f"{name}: {len(waiting)} conversations after {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
