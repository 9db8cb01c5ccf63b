"""Names of models with adapters: MODEL+ADAPTER@SCALE."""

from pathlib import Path

import pytest

from mtchat.errors import ModelError
from mtchat.models.adapter_names import AdaptedName, split_name


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
