"""The server of llama.cpp in one process, from the xllamacpp wheel, with the same file and threads."""

import importlib.metadata
import importlib.util
import os
import time
from functools import cache
from typing import Any

from mtchat.bench.speed.engine import BenchPrompt, CompletionTiming, EngineSetup, LoadEngine, MeasuredEngine
from mtchat.errors import MtchatError

TITLE = "llama.cpp"
MOST = 1000
CONTEXT = 8192
MOST_TOGETHER = 8
SPINNING = ("GOMP_SPINCOUNT", "1000")  # as our engine sets it


def missing(file: str) -> str:
    if not importlib.util.find_spec("xllamacpp"):
        return "pip install xllamacpp"
    return "" if file.endswith(".gguf") else "it reads only GGUF files"


def version() -> str:
    return f"llama.cpp (xllamacpp {importlib.metadata.version('xllamacpp')})"


def begin(setup: EngineSetup, load: LoadEngine) -> MeasuredEngine:
    server = start_server(setup, 1)
    wide = cache(lambda: start_server(setup, MOST_TOGETHER))

    def run(prompt: BenchPrompt, count: int, speculate: bool) -> CompletionTiming:
        chunks: list[tuple[float, Any]] = []
        began = time.perf_counter()
        request = completion_request(prompt, count) | {"temperature": 0.0, "stream": True}
        server.handle_completions(request, lambda chunk: chunks.append((time.perf_counter(), chunk)))
        check_answer(chunks[-1][1])
        took = chunks[-1][1]["timings"]
        return CompletionTiming(
            first_seconds=chunks[0][0] - began,
            prompt_tokens=took["prompt_n"],
            prefill_seconds=took["prompt_ms"] / 1000,
            completion_tokens=took["predicted_n"],
            decode_seconds=took["predicted_ms"] / 1000,
        )

    def complete_batch(prompt: BenchPrompt, count: int, number: int, seed: int) -> float:
        request = completion_request(prompt, count) | {"temperature": 0.8, "n": number, "seed": seed}
        began = time.perf_counter()
        check_answer(wide().handle_completions(request))
        return time.perf_counter() - began

    return MeasuredEngine(run, complete_batch)


def start_server(setup: EngineSetup, replies: int) -> Any:
    """With the defaults, except for threads and context length; waiting threads spin as briefly as ours."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(*SPINNING)  # OpenMP reads it when it is loaded; this process is only for this
    import xllamacpp

    wanted: Any = xllamacpp.CommonParams()
    wanted.model.path = setup.file
    wanted.n_ctx = CONTEXT
    wanted.n_parallel = replies
    wanted.kv_unified = True
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = setup.threads
    wanted.verbosity = 0
    return xllamacpp.Server(wanted)


def completion_request(prompt: BenchPrompt, count: int) -> dict[str, object]:
    content = list(prompt.ids) or prompt.text
    return {"prompt": content, "n_predict": count, "ignore_eos": True, "cache_prompt": True}


def check_answer(answer: Any) -> None:
    if "error" in answer:
        raise MtchatError(f"llama.cpp failed: {answer['error'].get('message', answer['error'])}")
