"""Which GGUF file of a repository a name means."""

import pytest

from mtchat.bundled_models.hub_files import HubFile
from mtchat.errors import ModelError
from mtchat.models.gguf_choice import (
    HubName,
    choose,
    explain_excess,
    find_label,
    list_ggufs,
    parse_name,
    recommend,
)

GB = 10**9


def files(*names: str, size: int = GB) -> list[HubFile]:
    return [HubFile(name, size, "") for name in names]


@pytest.mark.parametrize(
    ("name", "repository", "choice"),
    [
        ("Qwen/Qwen3-8B-GGUF:Q4_K_M", "Qwen/Qwen3-8B-GGUF", "Q4_K_M"),
        ("Qwen/Qwen3-8B-GGUF", "Qwen/Qwen3-8B-GGUF", ""),
        ("hf.co/unsloth/gpt-oss-20b-GGUF:UD-Q4_K_XL", "unsloth/gpt-oss-20b-GGUF", "UD-Q4_K_XL"),
        ("hf.co/a/b:latest", "a/b", ""),
        ("https://huggingface.co/a/b", "a/b", ""),
        ("https://huggingface.co/a/b/blob/main/x/m.gguf", "a/b", "x/m.gguf"),
        ("https://huggingface.co/a/b/resolve/main/m.gguf", "a/b", "m.gguf"),
        ("https://huggingface.co/a/b/", "a/b", ""),
        ("https://huggingface.co/a/b/tree/main", "a/b", ""),
        ("https://huggingface.co/a/b/tree/main/Q8_0/", "a/b", "Q8_0"),
        ("https://huggingface.co/a/b?show_file_info=x.gguf", "a/b", ""),
        ("hf.co/a/b/blob/main/m.gguf?download=true#top", "a/b", "m.gguf"),
        ("hf:a/b:m-Q8_0.gguf", "a/b", "m-Q8_0.gguf"),
        ("a/b:BF16/m-00001-of-00002.gguf", "a/b", "BF16/m-00001-of-00002.gguf"),
    ],
)
def test_names_of_repositories(name: str, repository: str, choice: str) -> None:
    assert parse_name(name) == HubName(repository, choice)


@pytest.mark.parametrize(
    "name", ["starter", "models/m/x.gguf", "./a/b", "~/a", "/a/b", "ollama:qwen3:0.6b", "a b/c"]
)
def test_other_names_are_none_of_a_repository(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Mistral-7B.i1-IQ2_XXS.gguf", "IQ2_XXS"),
        ("model.Q8_0.gguf", "Q8_0"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("GLM-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("UD-TQ1_0/m-00001-of-00003.gguf", "UD-TQ1_0"),
        ("Q4_K_M/DeepSeek-Q4_K_M-00002-of-00009.gguf", "Q4_K_M"),
        ("gemma-3-270m-it-F16.gguf", "F16"),
        ("Bonsai-Q1_0.gguf", "Q1_0"),
        ("Phi-3-mini-4k-instruct-q4.gguf", "Q4"),
        ("Qwen3-30B-A3B.gguf", ""),
        ("ggml-model.gguf", ""),
    ],
)
def test_the_quantisation_in_a_file_name(path: str, label: str) -> None:
    assert find_label(path) == label


USUAL = files(
    "README.md",
    "config.json",
    "m-Q4_K_M.gguf",
    "m-Q8_0.gguf",
    "m-UD-Q4_K_XL.gguf",
    "m-IQ4_XS.gguf",
    "mmproj-m-F16.gguf",
    "imatrix.gguf",
    "ggml-vocab-qwen2.gguf",
    *("BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"),
)


@pytest.mark.parametrize(
    ("choice", "paths"),
    [
        ("Q4_K_M", ["m-Q4_K_M.gguf"]),
        ("q4_k_m", ["m-Q4_K_M.gguf"]),
        ("UD-Q4_K_XL", ["m-UD-Q4_K_XL.gguf"]),
        ("Q4_K_XL", ["m-UD-Q4_K_XL.gguf"]),
        ("iq4_xs", ["m-IQ4_XS.gguf"]),
        ("BF16", ["BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"]),
        (
            "BF16/m-BF16-00002-of-00002.gguf",
            ["BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"],
        ),
        ("m-Q8_0.gguf", ["m-Q8_0.gguf"]),
        ("m-Q8_0", ["m-Q8_0.gguf"]),
    ],
)
def test_a_choice_gives_all_files_of_one_model(choice: str, paths: list[str]) -> None:
    found, note = choose(HubName("o/r", choice), list_ggufs(USUAL), 0, 100 * GB)
    assert [each.path for each in found.files] == paths
    assert not note


def test_a_choice_that_is_not_there_lists_what_is() -> None:
    with pytest.raises(ModelError, match="o/r has no Q3_K_S; it has") as error:
        choose(HubName("o/r", "Q3_K_S"), list_ggufs(USUAL), 0, 100 * GB)
    said = str(error.value)
    assert all(each in said for each in ("Q4_K_M", "Q8_0", "UD-Q4_K_XL", "IQ4_XS", "BF16"))
    assert "F16," not in said.replace("BF16", "")
    assert "\n" not in said


def test_several_models_of_one_quantisation_are_listed_with_what_to_type() -> None:
    models = list_ggufs(files("base-Q4_K_M.gguf", "chat-Q4_K_M.gguf"))
    for choice in ("Q4_K_M", ""):
        with pytest.raises(ModelError, match=r"o/r:base-Q4_K_M\.gguf, o/r:chat-Q4_K_M\.gguf"):
            choose(HubName("o/r", choice), models, 0, 100 * GB)


def test_a_word_of_the_name_chooses_where_one_file_has_it() -> None:
    models = list_ggufs(files("m-Q4_K_M-v1.gguf", "m-Q4_K_M-v2.gguf"))
    assert choose(HubName("o/r", "v2"), models, 0, 100 * GB)[0].path == "m-Q4_K_M-v2.gguf"


def test_missing_parts_of_a_repository_are_an_error() -> None:
    with pytest.raises(ModelError, match="only 1 of 2 parts"):
        choose(HubName("o/r", "Q8_0"), list_ggufs(files("m-Q8_0-00001-of-00002.gguf")), 0, 100 * GB)


def test_a_repository_without_models_says_so() -> None:
    with pytest.raises(ModelError, match="o/r has no GGUF model"):
        choose(HubName("o/r", "Q8_0"), list_ggufs(files("mmproj-F16.gguf", "README.md")), 0, 100 * GB)


SIZES = [
    HubFile(f"m-{name}.gguf", size * GB // 10, "")
    for name, size in (("Q2_K", 30), ("Q4_K_M", 49), ("F16", 160))
]


@pytest.mark.parametrize(("memory", "label"), [(64, "Q4_K_M"), (6, "Q4_K_M"), (5, "Q2_K"), (1, "Q2_K")])
def test_the_recommended_one_fits(memory: int, label: str) -> None:
    assert recommend(list_ggufs(SIZES), 8 * GB, memory * GB).label == label


def test_without_the_usual_one_the_nearest_in_size_is_recommended() -> None:
    models = list_ggufs([HubFile("m-Q5_K_S.gguf", 56 * GB // 10, ""), HubFile("m-F16.gguf", 16 * GB, "")])
    assert recommend(models, 8 * GB, 64 * GB).label == "Q5_K_S"


def test_the_choice_without_a_name_is_said() -> None:
    found, note = choose(HubName("o/r", ""), list_ggufs(SIZES), 8 * GB, 64 * GB)
    assert found.label == "Q4_K_M"
    assert note == "Q4_K_M (4.9 GB) of o/r, recommended for this machine; 2 others: Q2_K, F16"


def test_of_a_model_that_cannot_fit_one_that_would_is_told() -> None:
    models = list_ggufs(SIZES)
    chosen, _ = choose(HubName("o/r", "F16"), models, 8 * GB, 8 * GB)
    said = explain_excess(HubName("o/r", "F16"), chosen, models, 8 * GB)
    assert said == (
        "o/r:F16 has 16.0 GB of weights, and this machine has 8.0 GB of memory; o/r:Q4_K_M (4.9 GB) would fit"
    )
    assert "no other file" in explain_excess(HubName("o/r", "F16"), chosen, models, 1 * GB)
    assert explain_excess(HubName("o/r", "F16"), chosen, models, 64 * GB) == ""
