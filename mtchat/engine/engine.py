"""A loaded model: makes the exact context of a prompt and completes it, piece by piece."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from mtchat.core.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.core.settings import Sampling
from mtchat.engine.decode import prefill, step
from mtchat.engine.detokenise import Detokeniser, vocabulary
from mtchat.engine.prefix import Prefix
from mtchat.engine.sampling import choose
from mtchat.errors import ModelError, MtchatError

# A GGUF file names one end only, while chat models end a reply in one way and a text in another.
ENDS = ("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>")


class Engine:
    """One model with its prefix cache; for one thread at a time."""

    def __init__(self, model: Any, tokenizer: Any, card: ModelCard) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.card = card
        self.ends = ends(model, tokenizer)
        self.vocabulary = vocabulary(tokenizer)
        self.prefix = Prefix(model.config)

    def text(self, prompt: Prompt) -> str:
        """The exact context: plain text, or messages through the model's chat template; then the opening."""
        if not prompt.messages:
            return prompt.text + prompt.opening
        if not self.card.chat:
            raise ModelError(
                f"{self.card.name} has no chat template; prompt it as a base model (family codegen)"
            )
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        text: str = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return text + prompt.opening

    def encode(self, prompt: Prompt) -> list[int]:
        """The ids of `text(prompt)`; a chat template writes the special tokens itself."""
        return self.ids(self.text(prompt), special=not prompt.messages)

    def count(self, text: str) -> int:
        return len(self.ids(text, special=False))

    def ids(self, text: str, special: bool) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=special)
        return found

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """The reply in pieces: an empty one after each stretch of the prompt, one for each token, a last one.

        Closing it, or an interrupt anywhere inside, leaves the engine ready for the next prompt.
        """
        ids = self.encode(prompt)
        context = self.card.context
        if not ids:
            raise MtchatError("the prompt is empty; give the model some text to go on from")
        if len(ids) >= context:
            raise MtchatError(
                f"the context takes {len(ids)} tokens and {self.card.name} sees {context}; "
                "shorten the instruction, /undo some turns, start a new session, or use one that sees more"
            )
        return self.pieces(ids, sampling, min(sampling.max_tokens, context - len(ids)))

    def pieces(self, ids: list[int], sampling: Sampling, room: int) -> Iterator[Piece]:
        watch = Stopwatch()
        usage = Usage(prompt=len(ids), reused=self.prefix.keep(ids))
        for each in prefill(self.model, self.prefix, ids):
            logits = each
            usage = replace(usage, prefill_seconds=watch.seconds())
            yield Piece("", usage)
            watch.resume()
        watch = Stopwatch()
        generator = torch.Generator().manual_seed(sampling.seed)
        words = Detokeniser(self.vocabulary, context=ids)
        written: list[int] = []
        while True:
            token = int(choose(logits, sampling, generator))
            if token in self.ends:
                finish = "stop"
                break
            written.append(token)
            text = words.push(token)
            usage = replace(usage, written=len(written), decode_seconds=watch.seconds())
            yield Piece(text, usage)
            watch.resume()
            if len(written) == room:
                finish = "length"
                break
            # the whole sequence, so that another completion may have used the prefix meanwhile
            logits = step(self.model, self.prefix, ids + written)
        yield Piece(words.finish(), replace(usage, decode_seconds=watch.seconds(), finish=finish))


class Stopwatch:
    """Seconds spent here, without those that the reader of the pieces takes."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.resume()

    def resume(self) -> None:
        self.started = time.perf_counter()

    def seconds(self) -> float:
        """Stop, and say how much was spent so far."""
        self.spent += time.perf_counter() - self.started
        self.started = time.perf_counter()
        return self.spent


def ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that ends a text: by the generation config, the config, the tokenizer, or its usual name."""
    found = {tokenizer.eos_token_id}
    for config in (model.generation_config, model.config):
        stated = getattr(config, "eos_token_id", None)
        found |= set(stated) if isinstance(stated, list) else {stated}
    known = tokenizer.added_tokens_encoder
    found |= {known.get(name) for name in ENDS}
    return frozenset(found - {None})
