"""What llama.cpp writes with a toy: greedy ids after some prompts, and the likeliest ids of some places."""

import json
import re
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

from evals.toys.table import Toy
from evals.toys.texts import build_vocabulary

PROMPT = 24  # ids of a program that its text is asked after
SHOWN = 8  # likeliest ids of a place


def start_server(path: Path, context: int, threads: int = 1) -> Any:
    import xllamacpp

    wanted: Any = xllamacpp.CommonParams()
    wanted.model.path = str(path)
    wanted.n_ctx = context
    wanted.n_parallel = 1
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = threads
    wanted.warmup = False
    wanted.verbosity = 0
    return xllamacpp.Server(wanted)


def complete(server: Any, ids: list[int], count: int, shown: int = 1) -> dict[str, Any]:
    """The one choice of an answer; `shown` likeliest ids of each place."""
    answer: dict[str, Any] = server.handle_completions(
        {"prompt": ids, "n_predict": count, "temperature": 0.0, "cache_prompt": True, "n_probs": shown}
    )
    if "error" in answer:
        raise ValueError(f"llama.cpp failed: {answer['error']}")
    choice: dict[str, Any] = answer["choices"][0]
    return choice


def greedy(server: Any, ids: list[int], count: int) -> tuple[list[int], str]:
    """The ids and the text after a prompt, up to the end of the reply, which is not among them."""
    choice = complete(server, ids, count)
    return [each["id"] for each in choice["logprobs"]["content"]], choice["text"]


def likeliest(server: Any, ids: list[int]) -> dict[str, float]:
    """The log-probabilities of the likeliest ids after a prompt."""
    first = complete(server, ids, 1, SHOWN)["logprobs"]["content"][0]
    return {str(each["id"]): round(each["logprob"], 4) for each in first["top_logprobs"]}


def odd_prompts(lessons: list[list[int]]) -> Iterator[list[int]]:
    """Prompts that no toy has learned: the beginning of one text, then a part of another."""
    for length in (40, 150, 90, 210):
        for first, second in permutations(lessons, 2):
            for start in (30, 80, 130):
                yield first[:length] + second[start : start + 45]


def places(server: Any, lessons: list[list[int]]) -> list[dict[str, Any]]:
    """Prompts after which several ids are likely, so that a wrong computation shows, and these ids."""
    least: dict[int, tuple[float, dict[str, Any]]] = {}
    for ids in odd_prompts(lessons):
        likely = likeliest(server, ids)
        place = max(likely.values()), {"prompt": ids, "likeliest": likely}
        least[len(ids)] = min(place, least.get(len(ids), place), key=lambda each: each[0])
    return [place for _, (_, place) in sorted(least.items())]


def record(path: Path, toy: Toy) -> dict[str, Any]:
    """The prompts and texts of a toy; ValueError unless the texts are those that it was trained on."""
    vocabulary = build_vocabulary(toy.format)
    lessons, chat = vocabulary.lessons(), vocabulary.encode(vocabulary.chat())
    server = start_server(path, toy.context)
    texts = []
    for lesson, length in zip(lessons, (PROMPT, PROMPT, len(chat)), strict=True):
        prompt, expected = lesson[:length], lesson[length:]
        ids, text = greedy(server, prompt, len(expected))
        if ids != expected:
            raise ValueError(f"llama.cpp writes another text with {path.name}: {text!r}")
        texts.append({"prompt": prompt, "ids": ids, "text": text})
    return {
        "note": toy.note,
        "context": toy.context,
        "texts": texts,
        "places": places(server, lessons),
    }


def as_json(value: Any) -> str:
    """Indented, with lists of numbers and what holds no other values in one line."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    flat = r"\[[\d\s,]*\]|\{[^{}\[\]]*\}"
    return re.sub(flat, lambda found: " ".join(found[0].split()), text) + "\n"
