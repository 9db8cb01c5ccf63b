"""A model that llama.cpp computes: its weights, its KV cache of numbered sequences, its steps."""

import ctypes
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from mtchat.errors import ModelError
from mtchat.inference.decoder import Logits, check_ids
from mtchat.inference.llama_cpp.library import (
    PROGRESS,
    LlamaBatch,
    LlamaLibrary,
    failure_reason,
    load_library,
)

MAX_STEP_TOKENS = 64
SEQUENCES = 96  # 64 candidates, and as many prefixes as fit beside them
PARTIAL = 1  # the state of a sequence without the keys and values of its tokens
PAD = 256  # llama.cpp rounds the capacity up to a multiple of it
FULL = 1  # what a step returns when no KV cells are left
ALL = -1
BFLOAT16 = 30  # a type of the KV cache
WAIT_SECONDS = 0.1

OnShare = Callable[[float], None]


@dataclass(frozen=True)
class LlamaRow:
    """The next ids of a sequence, from a position on; logits are computed after the ids from `wanted` on."""

    sequence: int
    position: int
    ids: Sequence[int]
    wanted: int = 0


class CacheFull(Exception):  # noqa: N818 - it is no failure: sequences are dropped and the step is repeated
    """No KV cells are left for a step; nothing was computed."""


class LlamaWeights:
    """The weights and vocabulary of a GGUF file and its further parts; ModelError if they cannot be read."""

    def __init__(self, file: Path, report: OnShare = lambda part: None) -> None:
        self.library = load_library()
        self.file = file
        self.handle = load_weights(self.library, file, report)
        self.free = weakref.finalize(self, self.library.model_free, self.handle)
        self.vocabulary = self.library.model_get_vocab(self.handle)
        self.rows = int(self.library.vocab_n_tokens(self.vocabulary))
        self.trained_context = int(self.library.model_n_ctx_train(self.handle))
        self.window = int(self.library.model_n_swa(self.handle))
        self.recurrent = bool(
            self.library.model_is_recurrent(self.handle) or self.library.model_is_hybrid(self.handle)
        )
        if self.library.model_has_encoder(self.handle) or self.library.model_is_diffusion(self.handle):
            raise ModelError(f"{file.name} does not write text from left to right; use another model")


def load_weights(library: LlamaLibrary, file: Path, report: OnShare) -> int:
    """The handle of the weights; what `report` raises ends the loading and is raised here."""
    raised: list[BaseException] = []

    def follow(part: float, _: object) -> bool:
        try:
            report(part)
        except BaseException as error:  # carried past the C code
            raised.append(error)
        return not raised

    settings = library.model_default_params()
    settings.gpu_layers = 0
    settings.repack = False  # repacked weights are computed differently in steps of four tokens
    settings.progress = PROGRESS(follow)
    with library.logged() as lines:
        handle = library.model_load_from_file(str(file).encode(), settings)
    if raised:
        if handle:
            library.model_free(handle)
        raise raised[0]
    if not handle:
        raise ModelError(
            f"llama.cpp cannot load {file}: {failure_reason(lines)}; use another file, or a newer xllamacpp"
        )
    return int(handle)


class LlamaModel:
    """Weights with a KV cache for `capacity` tokens in all sequences; for one thread at a time.

    `sequences` is how many sequences it can hold. A step runs in a thread of its own, so that an interrupt
    of the one that waits stops it at once. `adapters` are LoRA GGUF files, each times a number.
    """

    def __init__(
        self,
        weights: LlamaWeights,
        threads: int,
        capacity: int,
        sequences: int = SEQUENCES,
        adapters: Sequence[tuple[Path, float]] = (),
    ) -> None:
        self.weights = weights
        self.library = weights.library
        self.rows = weights.rows
        self.sequences = sequences
        self.capacity = -(-capacity // PAD) * PAD
        self.batch = max(MAX_STEP_TOKENS, sequences)  # room for the logits of all sequences
        self.stop_flag = ctypes.create_string_buffer(b"", 2)
        self.handle = self.open_context(threads)
        self.adapt(adapters)
        self.memory = self.library.get_memory(self.handle)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="llama.cpp")
        self.close = weakref.finalize(
            self, free_context, self.library, self.handle, self.worker, self.stop_flag, weights
        )

    def open_context(self, threads: int) -> int:
        settings = self.library.context_default_params()
        settings.context = self.capacity
        settings.batch = self.batch
        settings.step = MAX_STEP_TOKENS
        settings.sequences = self.sequences
        settings.outputs_per_sequence = 0
        settings.threads = settings.batch_threads = threads
        settings.unified = True
        settings.abort = self.library.is_raised
        settings.abort_data = ctypes.cast(self.stop_flag, ctypes.c_void_p)
        usual = settings.value_type
        # With keys and values of one type, a step of one token divides its sums by the threads and by what
        # else is cached, and larger steps do not: candidates would not be what single completions are.
        settings.value_type = BFLOAT16
        with self.library.logged() as lines:
            handle = self.library.init_from_model(self.weights.handle, settings)
            if not handle:  # some architectures need one type
                settings.value_type = usual
                handle = self.library.init_from_model(self.weights.handle, settings)
        if not handle:
            raise ModelError(
                f"llama.cpp cannot make room for {self.capacity} tokens of {self.weights.file.name}: "
                f"{failure_reason(lines)}; use a smaller model"
            )
        asked = {
            "n_ctx": self.capacity,
            "n_ctx_seq": self.capacity,
            "n_batch": self.batch,
            "n_ubatch": MAX_STEP_TOKENS,
            "n_seq_max": self.sequences,
            "n_threads": threads,
            "n_threads_batch": threads,
        }
        odd = {
            name: got
            for name, value in asked.items()
            if (got := getattr(self.library, name)(handle)) != value
        }
        if odd:
            self.library.free(handle)
            raise ModelError(f"llama.cpp took other settings than mtchat gave ({odd}); use another xllamacpp")
        return int(handle)

    def adapt(self, adapters: Sequence[tuple[Path, float]]) -> None:
        """Put adapters beside the weights, which free them; ModelError if one does not fit."""
        if not adapters:
            return
        handles = (ctypes.c_void_p * len(adapters))()
        scales = (ctypes.c_float * len(adapters))(*(scale for _, scale in adapters))
        for number, (file, _) in enumerate(adapters):
            with self.library.logged() as lines:
                handles[number] = self.library.adapter_lora_init(self.weights.handle, str(file).encode())
            if not handles[number]:
                self.library.free(self.handle)
                raise ModelError(f"llama.cpp cannot apply the adapter {file}: {failure_reason(lines)}")
        if self.library.set_adapters_lora(self.handle, handles, len(adapters), scales):
            self.library.free(self.handle)
            raise ModelError("llama.cpp cannot apply these adapters together; give one of them")

    def step(self, rows: Sequence[LlamaRow]) -> Logits:
        """Compute at most MAX_STEP_TOKENS ids: the logits (W, V) after those wanted. CacheFull if no room.

        An interrupt leaves none or some of them in the cache; the caller removes them.
        """
        assert self.close.alive
        ids = [id for row in rows for id in row.ids]
        assert 0 < len(ids) <= MAX_STEP_TOKENS
        check_ids(ids, self.rows)
        tokens = numpy.array(ids, numpy.int32)
        positions = numpy.concatenate(
            [numpy.arange(row.position, row.position + len(row.ids), dtype=numpy.int32) for row in rows]
        )
        sequences = numpy.repeat(
            numpy.array([row.sequence for row in rows], numpy.int32), [len(row.ids) for row in rows]
        )
        addresses = sequences.ctypes.data + 4 * numpy.arange(len(ids), dtype=numpy.uint64)
        counts = numpy.ones(len(ids), numpy.int32)
        wanted = numpy.concatenate([numpy.arange(len(row.ids)) >= row.wanted for row in rows]).astype(
            numpy.int8
        )
        batch = LlamaBatch(
            count=len(ids),
            tokens=tokens.ctypes.data,
            positions=positions.ctypes.data,
            counts=counts.ctypes.data,
            sequences=addresses.ctypes.data,
            wanted=wanted.ctypes.data,
        )
        self.run(batch, (tokens, positions, counts, sequences, addresses, wanted))
        found = numpy.empty((int(wanted.sum()), self.rows), numpy.float32)
        for row, place in enumerate(numpy.flatnonzero(wanted)):
            pointer = self.library.get_logits_ith(self.handle, int(place))
            found[row] = numpy.ctypeslib.as_array(pointer, (self.rows,))
        return found

    def run(self, batch: LlamaBatch, arrays: Sequence[object]) -> None:
        """Compute a batch; its arrays live until the step has ended, whatever interrupts the waiting.

        The flag that stops a step is lowered before one begins and never during it: that would lose a stop.
        """
        if self.stop_flag.value:
            self.in_order(int)  # the step that was stopped
            self.stop_flag[0] = b"\0"
        try:
            work = self.worker.submit(self.decode, batch, arrays)
            # a thread that another one interrupts notices only between two waits
            while not wait([work], WAIT_SECONDS).done:
                continue
            status = work.result()
        except BaseException:
            self.stop_flag[0] = b"!"  # the step ends within one operation of the graph
            self.in_order(int)
            raise
        if status == FULL:
            raise CacheFull
        if status:
            raise ModelError(f"llama.cpp failed at a step (status {status}); use another file or model")

    def decode(self, batch: LlamaBatch, arrays: Sequence[object]) -> int:
        return int(self.library.decode(self.handle, batch))

    def in_order(self, function: Callable[..., Any], *arguments: object) -> Any:
        """The result of a function that runs once every step before it has ended, even a stopped one."""
        return self.worker.submit(function, *arguments).result()

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a sequence, which is empty, begin as another one does; the cells are shared."""
        end = ALL if self.weights.recurrent else length
        self.in_order(self.library.memory_seq_cp, self.memory, source, target, 0, end)

    def cut(self, sequence: int, length: int) -> bool:
        """Drop what a sequence has beyond a length; whether the model can do so."""
        return bool(self.in_order(self.library.memory_seq_rm, self.memory, sequence, length, ALL))

    def has_window(self, sequence: int, length: int) -> bool:
        """Whether all cells are there that a token at position `length` of a sequence sees."""
        if not self.weights.window:
            return True
        first = int(self.in_order(self.library.memory_seq_pos_min, self.memory, sequence))
        return 0 <= first <= max(0, length - self.weights.window)


def free_context(
    library: LlamaLibrary,
    handle: int,
    worker: ThreadPoolExecutor,
    stop_flag: "ctypes.Array[ctypes.c_char]",
    weights: LlamaWeights,
) -> None:
    """Free a context once its step has ended; `weights` is an argument so that they live as long."""
    stop_flag[0] = b"!"
    worker.shutdown()
    library.free(handle)


@dataclass(frozen=True)
class CacheCosts:
    """The bytes of the KV cache: for each token, and for the recurrent state of each sequence."""

    token: int
    state: int


def measure_costs(weights: LlamaWeights, threads: int) -> CacheCosts:
    """What the KV cache of a model takes, found by computing two tokens with the smallest one."""
    model = LlamaModel(weights, threads, PAD, 1)
    sizes = []
    for position in range(2):
        model.step([LlamaRow(0, position, [0])])
        sizes.append(int(model.library.state_seq_get_size_ext(model.handle, 0, 0)))
    state = int(model.library.state_seq_get_size_ext(model.handle, 0, PARTIAL)) if weights.recurrent else 0
    model.close()
    return CacheCosts(max(sizes[1] - sizes[0], 0), state)
