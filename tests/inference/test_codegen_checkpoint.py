"""The CodeGen family loads without its own code: layouts of attention weights, old files, licences."""

import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from mtchat.errors import ModelError
from mtchat.inference.loaders import codegen_checkpoint, devices, licences, loader
from mtchat.inference.loaders import hf_loader as folders
from mtchat.inference.loaders.model_cache import hash_weights
from mtchat.inference.loaders.tensor_files import count_parameters
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests.support.codegen_models import KINDS, REMOTE, random_state, restated, write_codegen, write_weights
from tests.support.engine_models import codegen_tokenizer
from tests.support.shell import mtchat

pytestmark = pytest.mark.slow

CODE = "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n"
REMOTE_CODE = """from pathlib import Path
Path({trap!r}).write_text("this code was run")
class CodeGenAttention:
    def forward(self):
        # mp_num = 4
        mp_num = 8
"""


# heads that only transformers takes here, and some that our kernels take
READERS = pytest.mark.parametrize("reader", [{}, {"n_head": 4}], ids=["transformers", "kernels"])


def silent(stage: str, done: float | None) -> None:
    assert stage


def load(folder: Path, cache: Path, name: str = "it", **options: Any) -> Any:
    return loader.load(folder, name, cache=cache, report=silent, **options)


def logits(engine: Any, ids: list[int]) -> Any:
    with torch.inference_mode():
        return engine.decoder.model(torch.tensor([ids])).logits[0].double().numpy()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state()


@pytest.fixture(scope="module")
def expected(state: dict[str, torch.Tensor]) -> dict[int, Any]:
    """The logits of CODE by the number of blocks."""
    ids = codegen_tokenizer().encode(CODE)
    return {count: restated(state, ids, count) for count in (4, 8)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_8_blocks_gives_the_logits_of_its_own_code_from_files_of_every_kind(
    kind: str, state: dict[str, torch.Tensor], expected: dict[int, Any], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, kind, auto_map=REMOTE, head_dim=128)
    trap = tmp_path / "trap"
    (folder / "modeling_codegen.py").write_text(REMOTE_CODE.format(trap=str(trap)))
    engine = load(folder, tmp_path)
    found, scale = logits(engine, engine.encode(Prompt(CODE))), numpy.abs(expected[8]).max()
    assert numpy.abs(found - expected[8]).max() < 1e-5 * scale
    assert numpy.abs(found - expected[4]).max() > 0.1 * scale  # the layout matters
    assert not trap.exists()
    assert engine.card.notes == (
        "loaded as a CodeGen2 model with 8 blocks of attention weights: modeling_codegen.py says mp_num = 8",
    )
    assert engine.card.fingerprint == hash_weights(folders.weight_files(folder), tmp_path, silent)
    greedy = [piece.text for piece in engine.complete(Prompt(CODE), Sampling(max_tokens=1))]
    assert "".join(greedy) == engine.vocabulary.decode([int(expected[8][-1].argmax())])


def test_a_model_of_4_blocks_is_computed_as_it_is_stored(
    state: dict[str, torch.Tensor], expected: dict[int, Any], tmp_path: Path
) -> None:
    engine = load(write_codegen(tmp_path / "codegen-350M-mono", state, "bin"), tmp_path)
    found, scale = logits(engine, engine.encode(Prompt(CODE))), numpy.abs(expected[4]).max()
    assert numpy.abs(found - expected[4]).max() < 1e-5 * scale
    assert engine.card.notes == ()
    assert engine.card.licence == "BSD-3-Clause"
    for name, values in engine.decoder.model.state_dict().items():
        assert torch.equal(values, state[name]), name


SMALL = {"n_embd": 64, "n_layer": 2, "n_head": 8}


def shape(width: int, layers: int, heads: int, **more: object) -> dict[str, object]:
    return {"n_embd": width, "n_layer": layers, "n_head": heads, **more}


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        # codegen 350M, 2B, 6B, 16B, whatever their folders are called
        ("Salesforce/codegen-350M-mono", shape(1024, 20, 16), 4),
        ("codegen2-1B", shape(2560, 32, 32), 4),
        ("codegen2-3_7B", shape(4096, 33, 16), 4),
        ("mine", shape(6144, 34, 24), 4),
        # codegen2 1B, 3_7B, 7B, 16B
        ("renamed", shape(2048, 16, 16), 8),
        ("renamed", shape(4096, 16, 16, head_dim=256), 8),
        ("Salesforce/codegen2-7B_P", shape(4096, 32, 16), 4),
        ("Salesforce/codegen2-16B_P", shape(6144, 34, 24), 4),
        # others
        ("fork", SMALL | {"head_dim": 128}, 8),
        ("fork", SMALL | {"head_dim": 64}, 4),
        ("Salesforce/codegen2-1B_P", SMALL, 8),
        ("Salesforce/codegen2-3_7B", SMALL, 8),
        ("Salesforce/codegen2-16B", SMALL, 4),
        ("rearranged", shape(2048, 16, 16, mp_num=4), 4),
        ("fork", SMALL | {"mp_num": 2}, 2),
    ],
)
def test_which_models_have_8_blocks(name: str, config: dict[str, Any], expected: int, tmp_path: Path) -> None:
    found = codegen_checkpoint.find_layout(tmp_path, config, name)
    assert found.blocks == expected
    assert found.evidence


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f():\n    mp_num = 8\n", 8),
        ("# mp_num = 8\nmp_num = 4\n", 4),
        ("mp_num = 8\nmp_num = 4\n", 0),
        ("mp_num = count()\n", 0),
        ("mp_num = True\n", 0),
        ("def broken(:\n    mp_num = 8\n", 0),
        ("\0", 0),
    ],
)
def test_the_number_of_blocks_is_read_from_code_that_is_never_run(
    code: str, expected: int, tmp_path: Path
) -> None:
    file = tmp_path / "modeling_codegen.py"
    file.write_text(code)
    assert codegen_checkpoint.read_block_count(file) == expected
    assert codegen_checkpoint.read_block_count(tmp_path / "none") == 0


@pytest.mark.parametrize(("width", "count"), [(8, 2), (32, 8), (48, 1), (64, 16)])
def test_rows_are_rearranged_and_back(width: int, count: int) -> None:
    there = codegen_checkpoint.row_order(width, count)
    assert sorted(there.tolist()) == list(range(3 * width))
    assert codegen_checkpoint.row_order(width, 4).tolist() == list(range(3 * width))
    # row r of block b is query r of all: the first third of each block
    third = width // count
    queries = [block * 3 * third + row for block in range(count) for row in range(third)]
    quarter = width // 4
    assert [
        there[block * 3 * quarter + row].item() for block in range(4) for row in range(quarter)
    ] == queries


def test_heads_that_do_not_fit_the_blocks_are_a_clear_error(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, mp_num=3)
    with pytest.raises(ModelError, match="8 heads, which 3 blocks cannot share evenly"):
        load(folder, tmp_path)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_missing_weights_are_a_clear_error(kind: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    lacking = {name: each for name, each in state.items() if not name.endswith("h.1.attn.qkv_proj.weight")}
    folder = write_codegen(tmp_path / "model", lacking, kind)
    with pytest.raises(
        ModelError, match=r"missing 1 tensors of CodeGenForCausalLM \(first: transformer\.h\.1\.attn\.qkv"
    ):
        load(folder, tmp_path)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"n_head": "x"}, "cannot load the model in .*'n_head'"),
        ({"n_head": 3}, "cannot load the model in .*divisible"),
        ({"n_embd": 128}, r"ln_1\.weight is \(64,\), but config\.json implies \(128,\)"),
        ({"n_embd": 96}, r"do not fit its config\.json: lm_head\.weight is \(51200, 64\) instead"),
        ({"mp_num": 0}, "8 heads, which 0 blocks cannot share evenly"),
        ({"model_type": "codegen2", "architectures": None}, "cannot load the model in .*codegen2"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_is_a_clear_error(
    entries: dict[str, Any], said: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, **entries)
    with pytest.raises(ModelError, match=said):
        load(folder, tmp_path)


ODD_SIZES: list[dict[str, Any]] = [
    {name: value}
    for name in ("n_layer", "n_embd", "n_head", "n_positions", "vocab_size", "rotary_dim")
    for value in (0, -1, 2**31, 10**30)
] + [{"architectures": 0.5, "n_layer": -1}, {"n_embd": {}, "n_layer": 2**31}]


@pytest.mark.parametrize("entries", ODD_SIZES, ids=str)
def test_a_config_with_sizes_that_no_model_has_is_refused_at_once(
    entries: dict[str, Any], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, **entries)
    with pytest.raises(ModelError):
        load(folder, tmp_path)


@pytest.mark.parametrize(
    "entries",
    [{"architectures": None}, {"model_type": "codegen2"}, {"model_type": "", "mp_num": True}],
    ids=str,
)
def test_a_config_of_codegen2_is_known_by_what_it_names(
    entries: dict[str, Any], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, auto_map=REMOTE, head_dim=256, **entries)
    assert "head_dim = 256" in load(folder, tmp_path).card.notes[0]


@READERS
def test_a_folder_without_a_tokenizer_is_a_clear_error(
    reader: dict[str, Any], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, **reader)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match=r"no tokenizer in .*tokenizer\.json"):
        load(folder, tmp_path)


@READERS
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_file_cut_short_is_a_clear_error(
    kind: str, reader: dict[str, Any], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, kind, **reader)
    (file,) = folders.weight_files(folder)
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"cannot load the model|is not a readable weight file|is truncated"):
        load(folder, tmp_path)


def test_a_missing_shard_is_a_clear_error(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    folder = write_codegen(tmp_path / "model", state, "shards of bin")
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ModelError, match=r"missing: pytorch_model-00002-of-00002\.bin; download them"):
        load(folder, tmp_path)


class Trap:
    """What runs a function of the machine's when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@READERS
@pytest.mark.parametrize("how", ["zip", "old", "plain"])
@pytest.mark.parametrize("options", [{}, {"precision": "float32"}, {"fingerprint": "f" * 64}], ids=str)
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(
    how: str,
    options: dict[str, str],
    reader: dict[str, Any],
    state: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    mark = tmp_path / "run"
    harmful = {"transformer.ln_f.bias": state["transformer.ln_f.bias"], "x": Trap(mark)}
    folder = write_codegen(tmp_path / "model", {}, "none", **reader)
    file = folder / "pytorch_model.bin"
    if how == "plain":
        file.write_bytes(pickle.dumps({"x": Trap(mark)}))
    else:
        torch.save(harmful, file, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ModelError, match=r"refused .*pytorch_model\.bin: it contains more than weights"):
        load(folder, tmp_path, **options)
    assert not mark.exists()
    with file.open("rb") as stream:  # the trap is one: what reads pickles as they come falls into it
        if how == "plain":
            pickle.load(stream)
            assert mark.exists()


@pytest.mark.parametrize("content", [b"", b"abc", b"PK\x03\x04" + b"x" * 100, pickle.dumps([1, 2], 2)])
@READERS
def test_a_file_that_is_no_weights_is_a_clear_error(
    content: bytes, reader: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", {}, "none", **reader)
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin (is not a readable|contains no named weights)"):
        load(folder, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_counted_in_files_of_every_kind(
    kind: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    write_weights(tmp_path, state, kind)
    count = sum(map(count_parameters, folders.weight_files(tmp_path)))
    weights = sum(each.numel() for each in state.values() if each.is_floating_point())
    assert weights <= count <= sum(each.numel() for each in state.values())
    if "bin" in kind:
        assert count == weights


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('{"torch_dtype": "float16"}', "float16"),
        ('{"dtype": "float16", "torch_dtype": "float32"}', "float16"),
        ('{"torch_dtype": "bfloat16"}', "bfloat16"),
        ('{"torch_dtype": "float32"}', "bfloat16"),
        ("{}", "bfloat16"),
        ("[]", "bfloat16"),
        ("{", "bfloat16"),
    ],
)
def test_a_gpu_computes_in_the_16_bits_of_the_release(config: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    assert devices.gpu_precision(folders.stored_dtype(tmp_path)) == expected


def test_float16_weights_stay_as_they_were_released(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    halves = {name: each.half() if each.is_floating_point() else each for name, each in state.items()}
    folder = write_codegen(tmp_path / "model", halves, torch_dtype="float16")
    engine = load(folder, tmp_path, device="cpu:0")  # to be chosen for, as a GPU is, and not the plain "cpu"
    assert engine.card.precision == "float16"
    assert list(engine.complete(Prompt(CODE), Sampling(max_tokens=2)))[-1].usage.completion_tokens == 2
    for name, values in engine.decoder.model.state_dict().items():
        assert torch.equal(values, halves[name]), name
    assert load(folder, tmp_path).card.precision == "float32"


@pytest.mark.parametrize(
    ("readme", "name", "expected"),
    [
        ("---\nlicense: bsd-3-clause\ntags: [x]\n---\n# CodeGen\n", "mine", "BSD-3-Clause"),
        ('---\r\nlanguage: en\r\nlicense: "apache-2.0"\r\n---\r\n', "mine", "Apache-2.0"),
        ("---\nlicense:\n- cc-by-nc-4.0\n---\n", "codegen25-7b-instruct", "cc-by-nc-4.0"),
        ("---\nlicense: other\nlicense_name: some-research\n---\n", "mine", "some-research"),
        ("license: mit\n", "mine", ""),
        ("# CodeGen\n", "Salesforce/codegen-6B-nl", "BSD-3-Clause"),
        ("", "Salesforce/codegen2-3_7B_P", "Apache-2.0"),
        ("", "Salesforce/codegen25-7b-multi", "Apache-2.0"),
        ("", "Salesforce/codegen25-7b-instruct_P", "research only"),
        ("", "./models/codegen25-7b-instruct/", "research only"),
        ("", "codegen-350M-monologue", ""),
    ],
)
def test_a_licence_is_that_of_the_folder_else_that_of_the_name(
    readme: str, name: str, expected: str, tmp_path: Path
) -> None:
    if readme:
        (tmp_path / "README.md").write_bytes(readme.encode())
    assert licences.find_licence(tmp_path, name) == expected


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("research only", "allows research only"),
        ("cc-by-nc-4.0", "allows no commercial use"),
        ("some-research", "allows no commercial use"),
        ("Apache-2.0", ""),
        ("BSD-3-Clause", ""),
        ("", ""),
    ],
)
def test_only_a_licence_that_forbids_uses_is_noted(licence: str, said: str) -> None:
    note = licences.licence_note(licence)
    assert said in note
    assert bool(note) == bool(said)


def test_a_script_with_a_codegen2_model_says_how_it_was_read_and_what_it_is_for(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = write_codegen(tmp_path / "model", state, "shards of bin", auto_map=REMOTE, head_dim=128)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    words = ["--model", str(folder), "--policy", "plain", "--max-tokens", "8", "-p", "define x"]
    done = mtchat(tmp_path, *words, "--sessions", str(tmp_path / "sessions"))
    assert done.returncode == 0, done.stderr
    said = "loaded as a CodeGen2 model with 8 blocks of attention weights: config.json has head_dim = 128"
    assert done.stderr.count(said) == 1
    assert done.stderr.count("the licence of this model, cc-by-nc-4.0, allows no commercial use") == 1
    (session,) = (tmp_path / "sessions").glob("*.jsonl")
    assert '"family": "codegen"' in session.read_text() or '"family":"codegen"' in session.read_text()
