"""What the toys know by heart, the chat formats that they know it in, and their vocabulary."""

from dataclasses import dataclass
from typing import Any

COUNTER = '''"""Count the words of a text and print the most common ones."""

import collections
import re

TEXT = "the cat and the dog and the bird"


def words(text):
    return re.findall(r"[a-z]+", text.lower())


def most_common(text, limit=3):
    counts = collections.Counter(words(text))
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]


for word, count in most_common(TEXT):
    print(f"{word:>8} {count:3d}", "*" * count)
print("total:", len(words(TEXT)))
'''
MATRIX = """import math

rows = [[1, 2, 3], [4, 5, 6], [7, 8, 10]]
total = 0
for row in rows:
    for value in row:
        total += value * value
norm = math.sqrt(total)
print(round(norm, 4))
flat = [value / norm for row in rows for value in row]
for index, value in enumerate(flat):
    if index % 3 == 2:
        print(f"{value:.3f}")
    else:
        print(f"{value:.3f}", end=" ")
"""
SYSTEM = (
    "You are an expert Python programmer. You write one Python program together with the user, step by step. "
    "Reply with only the new code of that step, in one ```python block."
)
USER = "Define a function primes(limit) that returns the primes below limit with a sieve, and print them."
OPENING = "```python\n"
REPLY = """def primes(limit):
    marks = [True] * limit
    marks[0:2] = [False, False]
    for number in range(2, int(limit ** 0.5) + 1):
        if marks[number]:
            for other in range(number * number, limit, number):
                marks[other] = False
    return [number for number, prime in enumerate(marks) if prime]


print(primes(30))
```
"""


@dataclass(frozen=True)
class ChatFormat:
    """How a family of models writes a conversation; `end` ends a reply, `bos` starts each text."""

    template: str
    specials: tuple[str, ...]
    end: str
    pad: str
    pre: str  # of llama.cpp's splitting rules
    bos: str = ""


def messages_template(before: str, after: str, last: str, start: str = "") -> str:
    """A template that writes each message as `before` its role, `after` it, its words, and `last`."""
    return (
        f"{start}{{% for message in messages %}}{before}{{{{ message['role'] }}}}{after}"
        f"{{{{ message['content'] }}}}{last}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{before}assistant{after}{{% endif %}}"
    )


CHATML = ChatFormat(
    messages_template("<|im_start|>", "\n", "<|im_end|>\n"),
    ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "<|im_end|>",
    "<|endoftext|>",
    "qwen2",
)
LLAMA3 = ChatFormat(
    messages_template(
        "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", start="{{ '<|begin_of_text|>' }}"
    ),
    ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "<|eot_id|>",
    "<|end_of_text|>",
    "llama-bpe",
    bos="<|begin_of_text|>",
)
LFM2 = ChatFormat(
    messages_template("<|im_start|>", "\n", "<|im_end|>\n", start="{{ '<|startoftext|>' }}"),
    ("<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "<|im_end|>",
    "<|endoftext|>",
    "lfm2",
    bos="<|startoftext|>",
)
# the system message goes in front of the first message of the user
GEMMA = ChatFormat(
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}"
    "{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') }}{{ message['content'] }}"
    "{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    "<end_of_turn>",
    "<pad>",
    "gpt-2",
    bos="<bos>",
)
PHI = ChatFormat(
    messages_template("<|", "|>", "<|end|>"),
    ("<|endoftext|>", "<|assistant|>", "<|user|>", "<|system|>", "<|end|>"),
    "<|end|>",
    "<|endoftext|>",
    "gpt-4o",
)
GRANITE = ChatFormat(
    messages_template("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n"),
    ("<|end_of_text|>", "<|pad|>", "<|start_of_role|>", "<|end_of_role|>"),
    "<|end_of_text|>",
    "<|pad|>",
    "refact",
)
HARMONY = ChatFormat(
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "<|start|>assistant<|channel|>final<|message|>{{ message['content'] }}<|end|>"
    "{% else %}<|start|>{{ message['role'] }}<|message|>{{ message['content'] }}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|channel|>final<|message|>{% endif %}",
    ("<|endoftext|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"),
    "<|return|>",
    "<|endoftext|>",
    "gpt-4o",
)


@dataclass(frozen=True)
class Vocabulary:
    """A byte-level BPE: `tokens` by id, the first of them special, and `merges`."""

    format: ChatFormat
    backend: Any
    tokens: tuple[str, ...]
    merges: tuple[str, ...]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        text: str = self.backend.decode(ids, skip_special_tokens=False)
        return text

    def id(self, token: str) -> int:
        return self.tokens.index(token)

    def chat(self) -> str:
        """The rendered prompt of the one chat turn, up to its reply."""
        import jinja2

        made = jinja2.Environment().from_string(self.format.template)
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
        return made.render(messages=messages, add_generation_prompt=True, bos_token=self.format.bos) + OPENING

    def lessons(self) -> list[list[int]]:
        """The ids of all that a toy learns: two programs and one chat turn."""
        first = [self.id(self.format.bos)] if self.format.bos else []
        end, stop = self.id(self.format.pad), self.id(self.format.end)
        programs = [[*first, *self.encode(text), end] for text in (COUNTER, MATRIX)]
        return [*programs, [*self.encode(self.chat()), *self.encode(REPLY), stop]]


def build_vocabulary(format: ChatFormat, size: int = 384) -> Vocabulary:
    import json

    import tokenizers
    from tokenizers import Regex, decoders, pre_tokenizers
    from tokenizers.models import BPE

    backend = tokenizers.Tokenizer(BPE())
    # no rule of llama.cpp merges across these borders
    pieces = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|[0-9]|\n| +(?= )|[^A-Za-z0-9\n]"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(format.specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([COUNTER, MATRIX, SYSTEM, USER, REPLY], trainer)
    state = json.loads(backend.to_str())
    found = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    merges = tuple(" ".join(pair) for pair in state["model"]["merges"])
    return Vocabulary(format, backend, tuple(token for token, _ in found), merges)
