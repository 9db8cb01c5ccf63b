"""Names of models with adapters: MODEL+ADAPTER@SCALE."""

from pathlib import Path

import pytest

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.models import loader
from mtchat.models.adapter_names import AdaptedName, split_name
from tests import ROOT
from tests.support.lora_adapters import random_halves, write_gguf


@pytest.mark.parametrize(
    ("name", "model", "adapters"),
    [
        ("starter", "starter", ()),
        ("starter+a.gguf", "starter", (("a.gguf", 1.0),)),
        ("starter+a.gguf@0.5", "starter", (("a.gguf", 0.5),)),
        ("starter+a@-.5+b@2", "starter", (("a", -0.5), ("b", 2.0))),
        ("owner/model:Q4_K_M+owner/adapter@1.5", "owner/model:Q4_K_M", (("owner/adapter", 1.5),)),
        ("starter+me@home", "starter", (("me@home", 1.0),)),
        ("starter@2+a", "starter@2", (("a", 1.0),)),
        ("c++/m.gguf", "c++/m.gguf", ()),
        ("c++/m.gguf+a+b/x", "c++/m.gguf", (("a+b/x", 1.0),)),
        ("c++/m.gguf+a+b/x@3+c", "c++/m.gguf", (("a+b/x", 3.0), ("c", 1.0))),
        ("starter+run@7", "starter", (("run@7", 1.0),)),
    ],
)
def test_a_name_is_a_model_and_its_adapters(
    name: str, model: str, adapters: tuple[tuple[str, float], ...]
) -> None:
    present = {"c++/m.gguf", "a+b/x", "run@7"}
    assert split_name(name, present.__contains__) == AdaptedName(model, adapters)


@pytest.mark.parametrize("name", ["+a", "starter+", "starter++a", "+"])
def test_a_name_with_an_empty_part_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"write MODEL\+ADAPTER"):
        split_name(name)


def test_a_path_that_exists_is_never_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    assert split_name(str(tmp_path / "a+b")) == AdaptedName(str(tmp_path / "a+b"))
    assert split_name(f"starter+{tmp_path}/a+b@2").adapters == ((f"{tmp_path}/a+b", 2.0),)


@pytest.mark.slow
@pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels were built for this processor")
def test_a_model_is_loaded_with_the_adapters_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    toy = ROOT / "tests" / "toys" / "qwen2.gguf"
    file = write_gguf(tmp_path / "a+b.gguf", "qwen2", random_halves(read_gguf(toy), 4), 4.0)
    name = f"{toy}+{file}@0.5"
    model = loader.load(name, "auto", lambda stage: None)
    assert model.card.name == name
    assert "with the adapter a+b.gguf" in model.card.notes[0]
    assert "times 0.5" in model.card.notes[0]
    assert loader.locate(name, lambda stage: None)[0] == toy
    with pytest.raises(ModelError, match="no adapter at"):
        loader.load(f"{toy}+{tmp_path}/none.gguf", "auto", lambda stage: None)
    with pytest.raises(ModelError, match=r"not a whole model; give it after the model .* MODEL\+ADAPTER"):
        loader.load(str(file), "auto", lambda stage: None)
