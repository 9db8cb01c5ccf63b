"""An installation without PyTorch and transformers, as `make run` makes it where there is no GPU."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.codegen_models import random_state, write_codegen
from tests.support.scripts import needs_sandbox
from tests.support.starter import needs_small

pytestmark = pytest.mark.slow

WITHOUT = """
import sys
from importlib import metadata

def version(name, installed=metadata.version):
    if name in ("torch", "transformers"):
        raise metadata.PackageNotFoundError(name)
    return installed(name)

metadata.version = version

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
from mtchat.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def without(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """mtchat in a Python that finds neither package."""
    (folder / "sessions").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], cwd=folder, capture_output=True, text=True, timeout=120
    )


@pytest.mark.model
@needs_small
@needs_sandbox
def test_the_starters_need_no_pytorch(tmp_path: Path) -> None:
    done = without(tmp_path, "--model", "starter-small", "-p", "Print the numbers from 1 to 3", "--run")
    assert (done.stdout, done.returncode) == ("1\n2\n3\n", 0), done.stderr


def test_a_model_that_needs_pytorch_says_how_to_get_it(tmp_path: Path) -> None:
    folder = write_codegen(tmp_path / "model", random_state())
    done = without(tmp_path, "--model", str(folder), "-p", "Print 1")
    assert done.returncode == 3
    assert "PyTorch, which is not installed: `make torch`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wish_for_a_gpu_says_what_is_missing(tmp_path: Path) -> None:
    done = without(tmp_path, "--model", "starter-small", "--device", "cuda", "-p", "Print 1")
    assert done.returncode in (2, 3)
    assert "make torch" in done.stderr
    assert "Traceback" not in done.stderr
