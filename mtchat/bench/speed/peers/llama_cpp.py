"""The server of llama.cpp in one process, from the xllamacpp wheel, with the same file and threads."""

import importlib.metadata
import importlib.util
import time
from functools import cache
from typing import Any

from mtchat.bench.speed.engine import BenchPrompt, CompletionTiming, EngineSetup, LoadEngine, MeasuredEngine
from mtchat.errors import MtchatError

TITLE = "llama.cpp"
MOST = 1000
CONTEXT = 8192
MOST_TOGETHER = 8


def missing(file: str) -> str:
    if not importlib.util.find_spec("xllamacpp"):
        return "pip install xllamacpp"
    return "" if file.endswith(".gguf") else "it reads only GGUF files"


def version() -> str:
    return f"llama.cpp (xllamacpp {importlib.metadata.version('xllamacpp')})"


def begin(setup: EngineSetup, load: LoadEngine) -> MeasuredEngine:
    server = start(setup, 1)
    wide = cache(lambda: start(setup, MOST_TOGETHER))

    def run(ask: BenchPrompt, count: int, ahead: bool) -> CompletionTiming:
        chunks: list[tuple[float, Any]] = []
        began = time.perf_counter()
        request = completion(ask, count) | {"temperature": 0.0, "stream": True}
        server.handle_completions(request, lambda chunk: chunks.append((time.perf_counter(), chunk)))
        checked(chunks[-1][1])
        took = chunks[-1][1]["timings"]
        return CompletionTiming(
            first=chunks[0][0] - began,
            read=took["prompt_n"],
            reading=took["prompt_ms"] / 1000,
            written=took["predicted_n"],
            rest=took["predicted_ms"] / 1000,
        )

    def together(ask: BenchPrompt, count: int, number: int, seed: int) -> float:
        request = completion(ask, count) | {"temperature": 0.8, "n": number, "seed": seed}
        began = time.perf_counter()
        checked(wide().handle_completions(request))
        return time.perf_counter() - began

    return MeasuredEngine(run, together)


def start(setup: EngineSetup, replies: int) -> Any:
    """With the defaults, except for threads and context length."""
    import xllamacpp

    wanted: Any = xllamacpp.CommonParams()
    wanted.model.path = setup.file
    wanted.n_ctx = CONTEXT
    wanted.n_parallel = replies
    wanted.kv_unified = True
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = setup.threads
    wanted.verbosity = 0
    return xllamacpp.Server(wanted)


def completion(ask: BenchPrompt, count: int) -> dict[str, object]:
    prompt = list(ask.ids) or ask.text
    return {"prompt": prompt, "n_predict": count, "ignore_eos": True, "cache_prompt": True}


def checked(answer: Any) -> None:
    if "error" in answer:
        raise MtchatError(f"llama.cpp failed: {answer['error'].get('message', answer['error'])}")
