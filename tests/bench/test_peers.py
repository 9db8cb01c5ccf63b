"""Other engines are run under conditions that are fair to them."""

import os
import sys
from pathlib import Path

import pytest

from mtchat.bench.speed.engine import EngineSetup
from mtchat.bench.speed.peers import llama_cpp
from mtchat.inference.llama_cpp import library

FAKE = """
import os
from types import SimpleNamespace as Some
spins = os.environ.get("GOMP_SPINCOUNT")
CommonParams = lambda: Some(model=Some(), cpuparams=Some(), cpuparams_batch=Some())
Server = lambda wanted: (spins, wanted.cpuparams.n_threads)
"""


def test_the_threads_of_llama_cpp_spin_as_briefly_as_in_our_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenMP reads the setting when the wheel is imported; what the user set stays."""
    (tmp_path / "xllamacpp.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # so that what was imported before comes back
    del sys.modules["xllamacpp"]
    setup = EngineSetup("llama.cpp", "tiny", "tiny.gguf", "auto", 2)
    assert llama_cpp.SPINNING == (library.SPIN, library.SPIN_COUNT)
    assert llama_cpp.start_server(setup, 1) == (library.SPIN_COUNT, 2)
    del sys.modules["xllamacpp"]
    os.environ["GOMP_SPINCOUNT"] = "7"
    assert llama_cpp.start_server(setup, 1) == ("7", 2)
