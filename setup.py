"""Builds the engine's kernels, one library for each instruction set; one that fails stops no install."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

Words = tuple[str, ...]
Say = Callable[[str], object]

FOLDER = Path("mtchat/inference/cpu")
COMMON = (
    *("-std=gnu11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi"),
    *("-shared", "-fPIC", "-pthread"),
)
# For each build just what library.py says that it needs. No -march: zig knows other names for it.
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mfma", "-mf16c")
FLAGS: Mapping[str, Words] = {
    "avx512": (*AVX512, "-mprefer-vector-width=512"),
    "avxvnni": ("-mavx2", "-mavxvnni", "-mfma", "-mf16c"),
    "avx2": ("-mavx2", "-mfma", "-mf16c"),
    "any": (),
}
# Left to itself, zig builds for the processor at hand, and with what debuggers need.
ZIG = (sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline", "-s")
SMALL = """
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
float small(float value) { return sqrtf(value); }
"""


def flags_for(machine: str) -> Mapping[str, Words]:
    """The builds that a machine can have, by platform.machine()."""
    return FLAGS if machine in ("x86_64", "AMD64") else {"any": FLAGS["any"]}


def named(environment: Mapping[str, str]) -> list[Words]:
    """The compilers to try: $CC, then those of the usual names on PATH."""
    path = environment.get("PATH", "")
    found = [(name,) for name in ("cc", "gcc", "clang") if shutil.which(name, path=path)]
    chosen = tuple(environment.get("CC", "").split())
    return [chosen, *found] if chosen else found


def choose(compilers: Iterable[Words], works: Callable[[Words], bool]) -> Words:
    """The first that works; where none does, zig's, which PyPI has."""
    return next(filter(works, compilers), ZIG)


def works(compiler: Words) -> bool:
    """Whether it has all that a small library needs: a compiler may be there without linker or headers."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "small.c")
        source.write_text(SMALL)
        return not compile_library(compiler, (), source, Path(folder, "small.so"))


@cache
def compiler() -> Words:
    return choose(named(os.environ), works)


def build(compiler: Words, flags: Mapping[str, Words], folder: Path, say: Say) -> None:
    """Makes what builds can be made, and says in one line each which cannot."""

    def make(name: str) -> None:
        target = folder / f"kernels-{name}.so"
        if why := compile_library(compiler, flags[name], FOLDER / "step.c", target):
            target.unlink(missing_ok=True)  # an older one may not fit the Python that calls it
            say(f"mtchat: {target.name} is not built, and is done without: {why}")

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, flags))


def compile_library(compiler: Words, flags: Words, source: Path, target: Path) -> str:
    """Compiles a library and puts it in its place at once; returns why not, else nothing."""
    fresh = target.with_stem(f".{target.stem}-{os.getpid()}")
    command = [*compiler, *COMMON, *flags, str(source), "-o", str(fresh), "-lm"]
    with tempfile.TemporaryDirectory() as cached:
        caches = {"ZIG_GLOBAL_CACHE_DIR": cached, "ZIG_LOCAL_CACHE_DIR": cached}
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, errors="replace", env=os.environ | caches
            )
            fresh.replace(target)
        except subprocess.CalledProcessError as error:
            fresh.unlink(missing_ok=True)
            lines = error.stderr.splitlines() or [str(error)]
            return next((line for line in lines if "error" in line), lines[-1])
        except OSError as error:
            return str(error)
    return ""


class BuildKernels(build_ext):
    """Takes the place of the step that builds extension modules: the kernels need nothing of Python."""

    def run(self) -> None:
        folder = FOLDER if self.inplace else Path(self.build_lib, FOLDER)
        build(compiler(), flags_for(platform.machine()), folder, lambda line: print(line, file=sys.stderr))

    def get_source_files(self) -> list[str]:
        return sorted(map(str, FOLDER.glob("*.[ch]")))

    def get_outputs(self) -> list[str]:
        folder = FOLDER if self.inplace else Path(self.build_lib, FOLDER)
        return [str(Path(self.build_lib, FOLDER, each.name)) for each in sorted(folder.glob("kernels-*.so"))]

    def get_output_mapping(self) -> dict[str, str]:
        return {each: str(FOLDER / Path(each).name) for each in self.get_outputs()} if self.inplace else {}


class PlatformWheel(bdist_wheel):
    """A wheel for every Python of one platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


class PlatformDistribution(Distribution):
    """Has files for one platform, which setuptools takes to be extension modules."""

    def has_ext_modules(self) -> bool:
        return True


if __name__ == "__main__":
    setup(
        distclass=PlatformDistribution,
        cmdclass={"build_ext": BuildKernels, "bdist_wheel": PlatformWheel},
        setup_requires=["ziglang"] if compiler() == ZIG else [],
    )
