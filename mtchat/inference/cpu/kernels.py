"""The compiled kernels: the builds of the C library, the best one for this CPU, and the number of threads."""

import contextlib
import ctypes
import os
import platform
from collections.abc import Mapping
from ctypes import POINTER, c_float, c_int32, c_int64, c_uint32, c_void_p
from functools import cache
from pathlib import Path

from mtchat.inference.cpu.repack import LAYOUTS

FOLDER = Path(__file__).parent
CPU = Path("/proc/cpuinfo")
# the CPU features that each build of setup.py needs, fastest first; "any" runs on every CPU
NEEDS = {
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512_vnni", "fma", "f16c"},
    "avxvnni": {"avx2", "avx_vnni", "fma", "f16c"},
    "avx2": {"avx2", "fma", "f16c"},
    "any": set[str](),
}


class MatrixStruct(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("rows", c_int32), ("columns", c_int32), ("kind", c_int32))


MATRICES = ("query", "key", "value", "output", "gate_up", "up", "down")
# the parts that have adapters, those with the same input side by side
SAME_INPUT = (("query", "key", "value"), ("output",), ("gate", "up"), ("down",))
NORMS = ("attention", "feed", "query", "key", "attention_post", "feed_post")  # each with a weight and a shift
BIASES = tuple(f"{name}_bias" for name in ("query", "key", "value", "output", "gate", "up", "down"))
VECTORS = (
    *(f"{name}_{part}" for name in NORMS for part in ("norm", "shift")),
    *(*BIASES, "sinks", "router", "router_bias"),
)


class AdapterStruct(ctypes.Structure):
    _fields_ = (("a", c_void_p), ("b", c_void_p), ("rank", c_int32), ("first", c_int32))


class AdaptersStruct(ctypes.Structure):
    _fields_ = tuple((name, AdapterStruct) for names in SAME_INPUT for name in names)


class LayerStruct(ctypes.Structure):
    _fields_ = (
        *((name, MatrixStruct) for name in MATRICES),
        *((name, c_void_p) for name in VECTORS),
        ("window", c_int32),
        ("rotation", c_int32),
        ("adapters", c_void_p),
    )


SIZES = (
    *("layers", "width", "heads", "kv_heads", "head", "rotary", "feed", "vocabulary", "experts"),
    "used_experts",
)
NUMBERS = ("epsilon", "embedding_scale", "residual_scale", "attention_scale", "attention_cap")


class ModelStruct(ctypes.Structure):
    _fields_ = (
        ("architecture", c_int32),  # 0: the Llama class, 1: CodeGen
        *((name, c_int32) for name in SIZES),
        ("capacity", c_int32),
        ("activation", c_int32),
        ("adapted", c_int32),
        *((name, c_float) for name in NUMBERS),
        ("embedding", MatrixStruct),
        ("output", MatrixStruct),
        ("norm", c_void_p),
        ("shift", c_void_p),
        ("output_bias", c_void_p),
        ("layer", POINTER(LayerStruct)),
        ("output_adapter", c_void_p),
        ("keys", c_void_p),
        ("values", c_void_p),
    )


class BatchStruct(ctypes.Structure):
    _fields_ = (
        ("count", c_int32),
        ("wanted", c_int32),
        *((name, c_void_p) for name in ("tokens", "cosines", "sines", "slots", "paths", "lengths")),
        ("rows", c_void_p),
        ("logits", c_void_p),
        ("traced", c_int32),
        ("states", c_void_p),
        ("queries", c_void_p),
    )


STRUCTURES = (ModelStruct, LayerStruct, BatchStruct, AdaptersStruct)


def usable_builds() -> list[str]:
    """The installed builds that this CPU can run, fastest first."""
    has = cpu_features()
    return [name for name, needs in NEEDS.items() if needs <= has and library_path(name).exists()]


@cache
def best_build() -> str:
    """The fastest build that loads; "" if none does."""
    for build in usable_builds():
        with contextlib.suppress(OSError):
            load(build)
            return build
    return ""


def build_problem() -> str:
    """Why no build loads, though some are there for this CPU; "" if there are none."""
    for build in usable_builds():
        try:
            load(build)
        except OSError as error:
            return str(error)
    return ""


def library_path(build: str) -> Path:
    return FOLDER / f"kernels-{build}.so"


def cpu_features() -> set[str]:
    """The features of this CPU, by Linux's names; none on other systems."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return set()
    try:
        lines = CPU.read_text().split("\n")
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def processor_name() -> str:
    """What the processor calls itself, or its architecture."""
    try:
        lines = CPU.read_text().split("\n")
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


@cache
def load(build: str) -> ctypes.CDLL:
    """Load a build and declare its functions; OSError if it cannot be loaded, or is of another version."""
    library = ctypes.CDLL(str(library_path(build)))
    if not hasattr(library, "mtchat_sizes") or library.mtchat_sizes() != struct_sizes():
        raise OSError(
            f"{library_path(build).name} was built from other sources; make install builds it again"
        )
    library.mtchat_open.restype = c_void_p
    library.mtchat_open.argtypes = (POINTER(ModelStruct), c_void_p, c_int32, c_int32)
    library.mtchat_close.argtypes = (c_void_p,)
    library.mtchat_close.restype = None
    library.mtchat_step.argtypes = (c_void_p, POINTER(BatchStruct))
    library.mtchat_step.restype = None
    library.mtchat_read_row.argtypes = (POINTER(MatrixStruct), c_int32, c_void_p)
    library.mtchat_read_row.restype = None
    library.mtchat_product.argtypes = (c_void_p, POINTER(MatrixStruct), c_void_p, c_int32, c_void_p)
    library.mtchat_product.restype = c_int32
    library.mtchat_read_bytes.argtypes = (c_void_p, c_void_p, c_int64)
    library.mtchat_read_bytes.restype = c_uint32
    return library


def struct_sizes() -> int:
    """The bytes of the structures that the kernels are handed, and the number of kinds of matrices."""
    return sum(ctypes.sizeof(each) for each in STRUCTURES) + len(LAYOUTS)


VARIABLE = "OMP_NUM_THREADS"  # which other libraries obey too
TOPOLOGY = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def thread_count(
    environment: Mapping[str, str] = os.environ, topology: Path = TOPOLOGY, quota: Path = QUOTA
) -> int:
    """The threads to compute with: OMP_NUM_THREADS, else one for each core that this process may use.

    Hyper-threads of one core count once; where the topology is unknown, each processor counts.
    """
    chosen = environment.get(VARIABLE, "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    processors = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    )
    cores = {core_id(topology, each) for each in processors}
    return max(min(len(cores), cpu_quota(quota)), 1)


def core_id(topology: Path, processor: int) -> str:
    """An id that the hyper-threads of one core share."""
    try:
        return (topology / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(processor)


def cpu_quota(quota: Path) -> int:
    """The CPU limit of the container, in processors, rounded up."""
    try:
        most, period = quota.read_text().split()
        return -(-int(most) // int(period))
    except (OSError, ValueError):
        return os.cpu_count() or 1
