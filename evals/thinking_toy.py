"""Trains the two toys of tests/toys/thinking, small Qwen2 models in Q8_0 that think before they write code.

python -m evals.thinking_toy [FOLDER [NAME]]

What they learn by heart are turns in the exact prompts of mtchat: a conversation with a scripted model makes
them. One toy marks its thought with tags, the other with channels. The right prime is taught only after a
whole thought, so that a benchmark can see a thought, and one that was cut.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy
import tokenizers
import torch
import transformers

from mtchat.conversation.conversation import Conversation
from mtchat.inference.tokens.chat_template import ChatFormat
from mtchat.inference.tokens.tokenizer import Tokenizer
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Settings
from mtchat.testing import FakeModel

FOLDER = Path("tests/toys/thinking")
FENCE = "\n```"
BUDGET = 96
PRIME = "Print the seventh prime."
GUESS = "print(13)"


@dataclass(frozen=True)
class ToyStep:
    """An instruction, what is thought about it, and the code."""

    instruction: str
    thought: str
    code: str


SQUARES = ToyStep(
    "Store the squares of 1 to 5 as squares and print them.",
    "The user wants the squares of 1 to 5. A list comprehension over range(1, 6) gives 1, 4, 9, 16 and 25. "
    "The name must be squares, and the list is printed.",
    "squares = [n * n for n in range(1, 6)]\nprint(squares)",
)
STEPS = (
    SQUARES,
    ToyStep(
        "Print the sum of squares.",
        "The list squares is there already. The function sum adds its numbers, which gives 55. Print it.",
        "print(sum(squares))",
    ),
    ToyStep(
        PRIME,
        "The primes are 2, 3, 5, 7, 11, 13 and 17. Count them: 2 is the first, 3 the second, 5 the third, 7 "
        "the fourth, 11 the fifth, 13 the sixth. So the seventh prime is 17.",
        "print(17)",
    ),
    ToyStep(
        "Write a function shout that puts a text in capitals, and shout hello.",
        "A function shout takes a text and returns text.upper(). Then it is called with hello and the result "
        "is printed, so HELLO appears.",
        'def shout(text):\n    return text.upper()\n\nprint(shout("hello"))',
    ),
)
TAGS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content and loop.last %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
CHANNELS = (
    "<|start|>system<|message|>Reasoning: {{ reasoning_effort or 'medium' }}<|end|>"
    "{% for m in messages %}"
    "{% if m.role == 'assistant' %}"
    "{% if m.thinking and loop.last %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>"
    "{% endif %}<|start|>assistant<|channel|>final<|message|>"
    "{% else %}<|start|>{{ 'developer' if m.role == 'system' else m.role }}<|message|>{% endif %}"
    "{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)


@dataclass(frozen=True)
class Toy:
    """A toy: its file, its template, the mark that ends a message, and its other special tokens.

    Tokens in `hidden` have no text of their own, as in models of that kind.
    """

    name: str
    template: str
    end: str
    tokens: tuple[str, ...]
    hidden: bool


TOYS = (
    Toy("thinking", TAGS, "<|im_end|>", ("<|im_start|>", "<think>", "</think>"), False),
    Toy("channels", CHANNELS, "<|end|>", ("<|start|>", "<|message|>", "<|channel|>"), True),
)


@dataclass(frozen=True)
class Lesson:
    """A prompt and what is written after it."""

    prompt: Prompt
    reply: str


def lessons() -> Iterator[Lesson]:
    """Turns of short conversations: without a thought, with one, and with one that was cut."""
    first, rest = STEPS[:2], STEPS[2:]
    orders = [(*first, *rest), (*first, *rest[::-1]), *itertools.permutations(rest), rest[:1], rest[1:]]
    for order, policy, think in itertools.product(orders, ("plain", "default"), ("off", str(BUDGET))):
        replies = {step.instruction: step.code for step in order}
        thoughts = {step.instruction: step.thought for step in order}
        settings = Settings(policy=policy, think=think, corrections=False)
        model = FakeModel(replies, thoughts=thoughts)
        with Conversation(model, settings=settings) as chat:
            for step in order:
                model.requests.clear()
                chat.take(step.instruction)
                yield from lessons_of(model.requests[: 1 + bool(think != "off")], step)


def lessons_of(requests: Any, step: ToyStep) -> Iterator[Lesson]:
    prompts = [prompt for prompt, _ in requests]
    if not prompts[-1].think:
        code = GUESS if step.instruction == PRIME else step.code
        yield Lesson(prompts[-1], code + FENCE)
        return
    asked, after = prompts
    yield Lesson(replace(asked, thought=None), step.thought)
    yield Lesson(replace(after, thought=step.thought), step.code + FENCE)
    words = step.thought.split(" ")
    for count in range(1, len(words) - 1, 3):
        cut = " ".join(words[:count])
        code = GUESS if step.instruction == PRIME else step.code
        yield Lesson(replace(after, thought=cut), code + FENCE)


def make_tokenizer(toy: Toy, texts: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=["<|endoftext|>", toy.end],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    add = backend.add_special_tokens if toy.hidden else backend.add_tokens
    add(list(toy.tokens))
    return backend


def encode(lesson: Lesson, chat: ChatFormat, tokens: Tokenizer, end: str) -> tuple[list[int], list[int]]:
    """The ids of a lesson, and as targets those that are learned; -100 for the others."""
    prompt = lesson.prompt
    context = chat.parts(prompt.messages, prompt.think, prompt.thought)
    before = "".join(part.text for part in context)
    if prompt.asks_for_thought:
        said = lesson.reply + chat.thoughts.closes
    else:
        before += prompt.opening
        said = lesson.reply + end
    whole = tokens.encode(before + said)
    known = len(tokens.encode(before))
    return whole, [-100] * known + whole[known:]


def train(toy: Toy, taught: list[Lesson], steps: int = 200) -> tuple[Any, tokenizers.Tokenizer]:
    """The model that has learned the lessons, and its tokenizer."""
    texts = [m.content for lesson in taught for m in lesson.prompt.messages]
    texts += [lesson.reply for lesson in taught]
    backend = make_tokenizer(toy, texts)
    tokens = Tokenizer(backend, {"eos_token": toy.end}, toy.template)
    chat = ChatFormat(tokens, toy.name)
    print(toy.name, chat.thoughts)
    rows = [encode(lesson, chat, tokens, toy.end) for lesson in taught]
    # thoughts are few and long, cut ones many and alike
    weights = torch.tensor(
        [6.0 if each.prompt.asks_for_thought or not each.prompt.think else 1.0 for each in taught]
    )
    torch.manual_seed(1)
    config = transformers.Qwen2Config(
        vocab_size=-(-backend.get_vocab_size() // 32) * 32,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    model = transformers.Qwen2ForCausalLM(config)
    print(
        f"{len(rows)} lessons, longest {max(len(ids) for ids, _ in rows)}, {model.num_parameters()} weights"
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.1)
    for step in range(steps):
        chosen = torch.multinomial(weights, 8).tolist()
        width = max(len(rows[at][0]) for at in chosen)
        ids = torch.tensor([rows[at][0] + [0] * (width - len(rows[at][0])) for at in chosen])
        targets = torch.tensor([rows[at][1] + [-100] * (width - len(rows[at][1])) for at in chosen])
        loss = model(ids, labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        plan.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)
    return model, backend


def write_gguf(path: Path, toy: Toy, model: Any, backend: tokenizers.Tokenizer) -> None:
    config, kind = model.config, gguf.GGMLQuantizationType.Q8_0
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    out = gguf.GGUFWriter(path, "qwen2")
    out.add_name(f"mtchat toy {toy.name}")
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    add_vocabulary(out, toy, backend, config.vocab_size)
    for name, values in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied to the embedding
        stem, suffix = name.rsplit(".", 1)
        array = values.to(torch.float32).numpy()
        target = f"{names.get_name(stem)}.{suffix}"
        if array.ndim == 2:
            out.add_tensor(target, gguf.quantize(array, kind), raw_dtype=kind)
        else:
            out.add_tensor(target, numpy.ascontiguousarray(array))
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()


def add_vocabulary(out: Any, toy: Toy, backend: tokenizers.Tokenizer, rows: int) -> None:
    known = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    words = [word for word, _ in known]
    kinds = [
        4 if word in toy.tokens and not toy.hidden else 3 if word[:1] == "<" and word in marks(toy) else 1
        for word in words
    ]
    words += [f"<unused{number}>" for number in range(rows - len(words))]
    kinds += [5] * (rows - len(kinds))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(words)
    out.add_token_types(kinds)
    out.add_token_merges([" ".join(pair) for pair in json.loads(backend.to_str())["model"]["merges"]])
    out.add_eos_token_id(backend.token_to_id(toy.end))
    out.add_pad_token_id(0)
    out.add_chat_template(toy.template)


def marks(toy: Toy) -> set[str]:
    return {"<|endoftext|>", toy.end, *toy.tokens}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    wanted = sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    taught = list(lessons())
    for toy in TOYS:
        if not wanted or toy.name in wanted:
            model, backend = train(toy, taught)
            write_gguf(folder / f"{toy.name}.gguf", toy, model, backend)
            print(f"{toy.name}.gguf: {(folder / f'{toy.name}.gguf').stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
