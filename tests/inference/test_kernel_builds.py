"""What an install compiles: each build loads, and no compiler, or a bad one, stops nothing."""

import ctypes
import platform
import sys
from pathlib import Path

import pytest

import setup
from mtchat.inference.cpu import kernels

pytestmark = pytest.mark.slow

FUNCTIONS = ("open", "close", "step", "read_row", "product")
FAST = ("-mprefer-vector-width=512",)  # changes what is fast, not what can run

# A compiler for which one instruction set is too new.
OLD = """
import sys
from pathlib import Path

if "-mavx512f" in sys.argv:
    sys.exit("warning: old\\nerror: unrecognized option -mavx512f\\nstopped")
Path(sys.argv[sys.argv.index("-o") + 1]).write_text("a library")
"""


def has_all_functions(path: Path) -> bool:
    loaded = ctypes.CDLL(str(path))
    return all(hasattr(loaded, f"mtchat_{name}") for name in FUNCTIONS)


def test_every_build_has_its_flags_and_asks_of_the_processor_what_they_use() -> None:
    assert list(setup.FLAGS) == list(kernels.NEEDS), "the fastest first, in both"
    for build, flags in setup.FLAGS.items():
        used = {flag.removeprefix("-m") for flag in flags if flag not in FAST}
        assert used == {need.replace("_", "") for need in kernels.NEEDS[build]}, build


@pytest.mark.parametrize("build", kernels.NEEDS)
def test_an_installed_build_loads_and_has_the_five_functions(build: str) -> None:
    if not kernels.library_path(build).exists():
        pytest.skip(f"the build {build} is not here")
    assert has_all_functions(kernels.library_path(build))


def test_a_build_loads_from_wherever_it_is_put(tmp_path: Path) -> None:
    if setup.compiler() == setup.ZIG:
        pytest.skip("there is no working compiler on PATH")
    flags = setup.flags_for(platform.machine())
    name = next(iter(flags))  # the fastest to run is the fastest to compile
    said: list[str] = []
    setup.build(setup.compiler(), {name: flags[name]}, tmp_path / "new", said.append)
    assert not said
    assert has_all_functions(tmp_path / "new" / f"kernels-{name}.so")
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_only_x86_has_builds_of_its_own() -> None:
    assert list(setup.flags_for("x86_64")) == list(kernels.NEEDS)
    assert list(setup.flags_for("aarch64")) == ["any"]


def test_the_compiler_that_is_asked_for_is_tried_before_those_on_the_path(tmp_path: Path) -> None:
    for name in ("clang", "gcc"):
        (tmp_path / name).touch(mode=0o755)
    path = {"PATH": str(tmp_path)}
    assert setup.named(path) == [("gcc",), ("clang",)]
    assert setup.named({"CC": "ccache cc", **path}) == [("ccache", "cc"), ("gcc",), ("clang",)]


def test_the_first_compiler_that_works_is_chosen() -> None:
    tried = [("cc",), ("gcc",), ("clang",)]
    assert setup.choose(tried, lambda compiler: compiler != ("cc",)) == ("gcc",)


def test_without_a_working_compiler_zigs_is_chosen() -> None:
    assert setup.choose(setup.named({"PATH": ""}), lambda compiler: True) == setup.ZIG
    assert setup.choose([("cc",)], lambda compiler: False) == setup.ZIG


@pytest.mark.parametrize("compiler", [("/nowhere/cc",), (sys.executable, "-c", "raise SystemExit(1)")])
def test_a_compiler_that_fails_does_not_work(compiler: setup.Words) -> None:
    assert not setup.works(compiler)


@pytest.mark.parametrize("compiler", [("/nowhere/cc",), (sys.executable, "-c", "raise SystemExit(1)")])
def test_a_failure_raises_nothing_is_one_line_and_leaves_no_old_library(
    compiler: setup.Words, tmp_path: Path
) -> None:
    (tmp_path / "kernels-any.so").write_text("of another version")
    said: list[str] = []
    setup.build(compiler, {"any": ()}, tmp_path, said.append)
    assert len(said) == 1
    assert said[0].startswith("mtchat: kernels-any.so is not built")
    assert "\n" not in said[0]
    assert not list(tmp_path.iterdir())


def test_a_build_that_fails_stops_no_other_and_says_the_error(tmp_path: Path) -> None:
    said: list[str] = []
    setup.build((sys.executable, "-c", OLD), setup.FLAGS, tmp_path, said.append)
    assert [line.rpartition(": ")[2] for line in said] == ["unrecognized option -mavx512f"]
    assert {each.name for each in tmp_path.iterdir()} == {
        f"kernels-{name}.so" for name in setup.FLAGS if name != "avx512"
    }
