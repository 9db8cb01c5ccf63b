"""A GPU that was not asked for is used where it can compute the model, and the CPU otherwise."""

from pathlib import Path
from typing import Any

import pytest

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.loaders import devices
from mtchat.inference.loaders import loader as inference
from mtchat.models import loader
from tests import ROOT

TOY = ROOT / "tests" / "toys" / "qwen3moe.gguf"
pytestmark = pytest.mark.skipif(
    not kernels.usable_builds(), reason="no kernels were built for this processor"
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A GPU on which nothing can be loaded; the devices that are tried."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tried: list[str] = []
    load = inference.load

    def refuse(*given: Any, device: str, **named: Any) -> Any:
        tried.append(device)
        if device != devices.CPU:
            raise ModelError("experts are not supported")
        return load(*given, device=device, **named)

    monkeypatch.setattr(devices, "choose_device", lambda *_: devices.GPU)
    monkeypatch.setattr(inference, "load", refuse)
    return tried


def test_a_file_that_the_gpu_cannot_compute_runs_on_the_cpu(gpu: list[str]) -> None:
    model = loader.load(str(TOY), "auto", lambda stage: None, device=devices.AUTO)
    assert gpu == [devices.GPU, devices.CPU]
    assert model.card.notes[0] == "it runs on the CPU: experts are not supported"


def test_a_gpu_that_was_asked_for_is_not_left(gpu: list[str]) -> None:
    with pytest.raises(ModelError, match="experts are not supported"):
        loader.load(str(TOY), "auto", lambda stage: None, device=devices.GPU)
    assert gpu == [devices.GPU]


def test_a_folder_is_not_tried_twice(gpu: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="experts are not supported"):
        loader.load(str(tmp_path), "auto", lambda stage: None, device=devices.AUTO)
    assert gpu == [devices.GPU]
