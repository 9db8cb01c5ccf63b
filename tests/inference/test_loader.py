"""Loading: GGUF files are converted once and exactly, folders load as they are, failures say what to do."""

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import gguf
import numpy
import pytest
import torch

from mtchat.errors import ModelError, UsageError
from mtchat.inference.loaders import devices, gguf_converter, hf_loader, loader, model_cache
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.tensor_files import count_parameters
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import (
    KINDS,
    STARTER_SMALL,
    codegen_tokenizer,
    random_model,
    tiny_tokenizer,
    write_gguf,
)

pytestmark = pytest.mark.slow


def silent(stage: str, done: float | None) -> None:
    assert stage
    assert done is None or 0 <= done <= 1


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_gguf(path)
    return path


def test_a_gguf_file_gives_the_weights_that_gguf_py_gives(file: Path, tmp_path: Path) -> None:
    engine = loader.load(file, "tiny", precision="float32", cache=tmp_path, report=silent)
    mapped = {f"{name}": values for name, values in engine.decoder.model.state_dict().items()}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, 3)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    assert len(mapped) == len(stored) > 30
    for name, values in mapped.items():
        stem, suffix = name.rsplit(".", 1)
        tensor = stored[f"{names.get_name(stem)}.{suffix}"]
        expected = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert numpy.array_equal(values.numpy(), expected.reshape(values.shape)), name


def test_a_gguf_file_brings_its_card_and_tokenizer(file: Path, tmp_path: Path) -> None:
    engine = loader.load(file, "tiny", precision="float32", cache=tmp_path, report=silent)
    card, tokenizer = engine.card, tiny_tokenizer()
    assert (card.name, card.architecture, card.chat, card.context) == ("tiny", "Qwen2ForCausalLM", True, 160)
    assert card.precision == "float32"
    assert card.fingerprint == model_cache.hash_file(file, silent)
    assert engine.stop_ids == {0, 2}
    question = Prompt(messages=(Message("user", "hi ☕"),), opening="x")
    assert engine.encode(question) == tokenizer.encode(engine.text(question), add_special_tokens=False)
    assert list(engine.complete(question, Sampling(max_tokens=3)))[-1].usage.finish in ("stop", "length")


def test_a_gguf_file_is_converted_once(file: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    loader.load(
        file, "tiny", precision="float32", cache=tmp_path, report=lambda stage, _: stages.append(stage)
    )
    assert any("converting" in stage for stage in stages)
    assert any("hashing" in stage for stage in stages)
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    changed = (folder / "model.safetensors").stat().st_mtime_ns
    stages.clear()
    loader.load(
        file, "tiny", precision="float32", cache=tmp_path, report=lambda stage, _: stages.append(stage)
    )
    assert stages == ["loading the model"]
    assert (folder / "model.safetensors").stat().st_mtime_ns == changed


@pytest.mark.parametrize("stop", range(0, 40, 6))
def test_a_conversion_interrupted_half_way_leaves_no_folder(file: Path, tmp_path: Path, stop: int) -> None:
    calls = iter(range(100))

    def report(stage: str, _: float | None) -> None:
        if next(calls) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gguf_converter.convert(file, tmp_path / "it", "float32", report)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_what_a_killed_conversion_left_is_replaced(file: Path, tmp_path: Path) -> None:
    (tmp_path / ".it.part").mkdir()
    (tmp_path / ".it.part" / "model.safetensors").write_bytes(b"half")
    gguf_converter.convert(file, tmp_path / "it", "float32", silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".it.lock", "it"]


def test_two_conversions_at_once_wait_for_one_another(file: Path, tmp_path: Path) -> None:
    said: list[str] = []

    def second(stage: str, _: float | None) -> None:
        said.append(stage)

    started: list[threading.Thread] = []

    def first(stage: str, done: float | None) -> None:
        if not started and done is not None:
            started.append(
                threading.Thread(
                    target=gguf_converter.convert, args=(file, tmp_path / "it", "float32", second)
                )
            )
            started[0].start()
            while not said:
                pass

    gguf_converter.convert(file, tmp_path / "it", "float32", first)
    started[0].join()
    assert said == ["waiting for another mtchat that is converting this model"]


def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"takes 1000000\.0 GB .* XDG_CACHE_HOME"):
        gguf_converter.check_space(tmp_path, 10**15)


def test_bfloat16_weights_are_half_as_large(file: Path, tmp_path: Path) -> None:
    engine = loader.load(file, "tiny", precision="bfloat16", cache=tmp_path, report=silent)
    assert {each.dtype for each in engine.decoder.model.parameters()} == {torch.bfloat16}
    assert engine.card.precision == "bfloat16"
    assert list(engine.complete(Prompt("x"), Sampling(max_tokens=2)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_safetensors_loads(kind: str, tmp_path: Path) -> None:
    tokenizer = codegen_tokenizer() if kind == "codegen" else tiny_tokenizer()
    model = random_model(kind, len(tokenizer))
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    engine = loader.load(tmp_path / "model", kind, cache=tmp_path, report=silent)
    for name, values in model.state_dict().items():
        assert torch.equal(values, engine.decoder.model.state_dict()[name]), name
    assert engine.card.architecture == type(model).__name__
    assert engine.card.context == 160
    ids = torch.tensor([engine.encode(Prompt("def f(x):"))])
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
    text = "".join(piece.text for piece in engine.complete(Prompt("def f(x):"), Sampling(max_tokens=6)))
    assert text == engine.vocabulary.decode(expected[0, ids.shape[1] :].tolist())


def test_a_hash_is_computed_once_for_a_file_that_stays_the_same(tmp_path: Path) -> None:
    path, heard = tmp_path / "weights", []
    path.write_bytes(b"abc")
    for _ in range(2):
        known = model_cache.hash_weights([path], tmp_path / "cache", lambda *said: heard.append(said))
    assert known == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(heard) == 1
    path.write_bytes(b"abcd")
    assert model_cache.hash_weights([path], tmp_path / "cache", silent) != known


def test_a_truncated_file_of_hashes_is_written_again(tmp_path: Path) -> None:
    (tmp_path / model_cache.HASHES).write_text('{"a": ')
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert model_cache.hash_weights([path, path], tmp_path, silent) != model_cache.hash_weights(
        [path], tmp_path, silent
    )


def test_the_header_is_read_as_gguf_py_reads_it(file: Path) -> None:
    header, reader = read_gguf(file), gguf.GGUFReader(file)
    assert header.metadata["general.architecture"] == "qwen2"
    assert header.metadata["qwen2.block_count"] == 3
    for tensor in reader.tensors:
        found = header.tensors[tensor.name]
        assert (found.shape, found.kind, found.start) == (
            tuple(tensor.shape.tolist()[::-1]),
            tensor.tensor_type,
            tensor.data_offset,
        )
    assert count_parameters(file) == sum(tensor.n_elements for tensor in reader.tensors)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 40, b"not a model at all, but text"]
)
def test_a_broken_file_is_a_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.gguf is not a readable GGUF file"):
        loader.load(path, "broken", cache=tmp_path, report=silent)


def test_a_file_cut_short_is_a_clear_error(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(ModelError, match="is truncated"):
        loader.load(path, "short", cache=tmp_path, report=silent)
    assert [each for each in tmp_path.iterdir() if each.is_dir()] == []


@pytest.mark.parametrize("source", ["./nothing", "/nothing/here", "nothing.gguf"])
def test_a_missing_path_is_a_clear_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at"):
        loader.load(source, "x", cache=tmp_path, report=silent)


def test_a_folder_without_weights_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights in"):
        loader.load(tmp_path, "x", cache=tmp_path, report=silent)


@pytest.mark.parametrize("name", ["org/model", "not a name/of/anything"])
def test_a_hub_model_that_cannot_be_had_is_a_clear_error(name: str, tmp_path: Path) -> None:
    """In a process of its own: the hub's client reads its offline switch when it is imported."""
    code = (
        "import sys; from pathlib import Path; from mtchat.inference.loaders.loader import load\n"
        f"load({name!r}, 'x', cache=Path({str(tmp_path)!r}), report=lambda *_: None)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert f"ModelError: cannot download {name!r} from the model hub" in done.stderr.splitlines()[-1]


def test_of_a_hub_model_the_weights_are_fetched_once() -> None:
    both = ["config.json", "model.safetensors", "pytorch_model.bin"]
    assert loader.hub_patterns("org/it", both) == loader.FILES
    assert loader.hub_patterns("org/it", ["config.json", "pytorch_model.bin"]) == [
        *loader.FILES,
        *loader.PICKLES,
    ]


def test_of_weights_in_two_layouts_one_is_downloaded() -> None:
    files = ["config.json", "consolidated.safetensors", "model-00001-of-00001.safetensors"]
    patterns = loader.hub_patterns("org/it", files)
    assert "model*.safetensors" in patterns
    assert "*.safetensors" not in patterns
    assert loader.hub_patterns("org/it", files[:2]) == loader.FILES


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = json.dumps({"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}})


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        ({"model.safetensors": ""}, True),
        ({"pytorch_model.bin": ""}, True),
        ({"config.json": "{}"}, False),
        (dict.fromkeys(SHARDS, ""), True),
        ({SHARDS[0]: ""}, False),
        (dict.fromkeys(SHARDS, "") | {"model.safetensors.index.json": INDEX}, True),
        ({SHARDS[1]: "", "model.safetensors.index.json": INDEX}, False),
    ],
)
def test_half_a_snapshot_is_not_taken_for_all(tmp_path: Path, files: dict[str, str], whole: bool) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert loader.is_whole(tmp_path) == whole


def test_the_index_says_which_weight_files_count(tmp_path: Path) -> None:
    for name in (*SHARDS, "consolidated.safetensors"):
        (tmp_path / name).write_bytes(b"\x10" + bytes(40))
    (tmp_path / "model.safetensors.index.json").write_text(INDEX)
    assert [each.name for each in hf_loader.weight_files(tmp_path)] == list(SHARDS)
    (tmp_path / SHARDS[1]).unlink()
    with pytest.raises(ModelError, match=f"1 of the 2 weight files .* are missing: {SHARDS[1]}; download"):
        hf_loader.weight_files(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["README.md", "b.gguf", "a.gguf"], r"GGUF files only; download one \(hf download org/it a\.gguf\)"),
        (["adapter_config.json", "adapter_model.safetensors"], "org/it is a LoRA adapter, not a whole model"),
    ],
)
def test_a_hub_model_of_another_kind_says_what_to_do(files: list[str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        loader.hub_patterns("org/it", files)


@pytest.mark.parametrize("name", devices.GPU_PRECISIONS)
def test_what_only_a_gpu_computes_is_refused_on_the_processor(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} needs a GPU; .* --precision quantised"):
        devices.choose_precision(name, 10**6, 10**9)


def test_precision_is_float32_where_it_fits() -> None:
    assert devices.choose_precision("auto", 10**9, 16 * 10**9) == "float32"
    assert devices.choose_precision("auto", 10**9, 6 * 10**9) == "bfloat16"
    assert devices.choose_precision("float32", 10**9, 6 * 10**9) == "float32"
    assert devices.machine_memory() > 10**8
    with pytest.raises(ModelError, match=r"needs at least 2\.0 GB, and this machine has 1\.0 GB"):
        devices.choose_precision("auto", 10**9, 10**9)
    with pytest.raises(UsageError, match=r"auto, quantised, llama\.cpp, float32, bfloat16"):
        devices.choose_precision("int3", 10**9, 10**9)


def run(code: str) -> str:
    """What a fresh interpreter prints; nothing may come on stderr."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_importing_the_room_does_not_import_torch() -> None:
    assert (
        run("import sys, mtchat.inference, mtchat.inference.loaders.loader; print('torch' in sys.modules)")
        == "False\n"
    )


def test_loading_and_writing_is_silent_and_leaves_other_packages_as_they_are(
    file: Path, tmp_path: Path
) -> None:
    loader.load(file, "tiny", precision="float32", cache=tmp_path, report=silent)
    code = f"""
import sys
from pathlib import Path
import torch
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from mtchat.inference.loaders.loader import load
before = torch.distributed.is_available
engine = load({str(file)!r}, "tiny", cache=Path({str(tmp_path)!r}), report=lambda *_: None)
list(engine.complete(Prompt("x"), Sampling(max_tokens=3)))
ours = ("torch._dynamo", "torch.distributed", "transformers.")
print([name for name in sys.modules if name.startswith(ours) and not hasattr(sys.modules[name], "__file__")])
import torch._dynamo
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
print(torch.distributed.is_available is before)
"""
    assert run(code) == "[]\n2.0\nTrue\n"


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_starter_small_is_ready_soon_once_it_is_converted() -> None:
    cache = STARTER_SMALL.parents[1] / "converted"
    loader.load(STARTER_SMALL, "starter-small", cache=cache, report=silent)
    code = f"""
from pathlib import Path
from mtchat.inference.loaders.loader import load
load({str(STARTER_SMALL)!r}, "starter-small", cache=Path({str(cache)!r}), report=lambda *_: None)
"""
    started = time.perf_counter()
    run(code)
    assert time.perf_counter() - started < 15  # 3 s on a machine that does nothing else


QUANTISED = ["gptq", "awq", "bitsandbytes", "fp8", "compressed-tensors", "mxfp4", "hqq", "torchao"]
BITS = {"bits": 4, "group_size": 32, "load_in_4bit": True}
ODD_CONFIGS: list[dict[str, object]] = [
    *({"quantization_config": {"quant_method": method} | BITS} for method in QUANTISED),
    {"_attn_implementation": "flash_attention_2"},
    {"hidden_act": "nothing"},
    {"pad_token_id": 32000},
    {"rope_parameters": {"rope_type": "nothing"}},
    {"num_attention_heads": "x"},
    {"model_type": "nothing"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folders") / "tiny"
    tokenizer = tiny_tokenizer()
    random_model("qwen2", len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.parametrize("odd", ODD_CONFIGS, ids=str)
def test_whatever_transformers_raises_at_a_folder_is_one_line(
    odd: dict[str, object], folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "it")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | odd))
    with pytest.raises(ModelError, match=r"cannot load the model in .*: \S") as told:
        loader.load(copy, "it", precision="float32", cache=tmp_path / "cache", report=silent)
    assert "\n" not in str(told.value)
    if quantised := odd.get("quantization_config"):
        assert str(quantised["quant_method"]) in str(told.value).lower()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("tokenizer.json", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("tokenizer.json", "{}", "cannot load the model in"),
        ("tokenizer.json", None, "no tokenizer in"),
        ("tokenizer_config.json", "[]", "cannot load the model in"),
        ("chat_template.jinja", "{% for %}", "cannot read the chat template of it: line 1"),
        ("chat_template.jinja", "{{ raise_exception('none') }}", "cannot use the chat template of it: none"),
    ],
)
def test_a_tokenizer_or_template_that_is_not_right_is_one_line(
    file: str, content: str | None, said: str, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "it")
    if content is None:
        (copy / file).unlink()
    else:
        (copy / file).write_text(content)
    with pytest.raises(ModelError, match=said) as told:
        loader.load(copy, "it", precision="float32", cache=tmp_path / "cache", report=silent)
    assert "\n" not in str(told.value)


def test_a_default_model_is_loaded_without_transformers_and_torch(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, hidden_size=256, intermediate_size=512, max_position_embeddings=700)
    code = f"""
import sys
from pathlib import Path
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from mtchat.inference.loaders.loader import load
engine = load(Path({str(file)!r}), "tiny", precision="auto", cache=Path({str(tmp_path)!r}), report=print)
list(engine.complete(Prompt(messages=(Message("user", "x"),)), Sampling(max_tokens=2)))
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    assert run(code).endswith("\n[]\n")
    assert run(code).endswith("\n[]\n")


def test_a_tokenizer_of_another_vocabulary_beside_a_gguf_file_is_not_taken(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", num_hidden_layers=1)
    (tmp_path / "tokenizer.json").write_text(
        '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {}}}'
    )
    engine = loader.load(
        tmp_path / "tiny.gguf", "tiny", precision="float32", cache=tmp_path / "cache", report=silent
    )
    text = "<|im_start|>user\nnaïve ☕ def add(a, b)"
    assert engine.ids(text, special=False) == tiny_tokenizer().encode(text)
