"""What a GPU is measured by: the arithmetic of its figures, and how two texts are compared."""

from collections.abc import Sequence

import pytest
import torch

from mtchat.bench.speed.engine import OURS
from mtchat.bench.speed.gpu import hf_baseline, shapes, suite
from mtchat.bench.speed.gpu.suite import GreedyDifference, TimedEngine, choose
from mtchat.bench.speed.results import collect, table
from mtchat.cli.arguments import parse
from mtchat.cli.main import main
from mtchat.errors import UsageError
from mtchat.inference.loaders.cuda_loader import fuse

PARAMETERS = {  # in all, as the models' cards and papers name them, in millions
    "codegen-350M": 357,
    "codegen-2B": 2780,
    "codegen-6B": 7070,
    "codegen-16B": 16030,
    "codegen25-7b": 6890,
    "qwen2.5-coder-0.5b": 494,
    "qwen2.5-coder-1.5b": 1544,
}


def player(steps: list[int]) -> TimedEngine:
    """One whose first token takes 0.1 s a thousand tokens of context, and each other one 0.01 s."""

    def write(ids: Sequence[int], count: int) -> tuple[Sequence[int], float, float]:
        steps.append(count)
        first = len(ids) / 10_000
        return list(range(count)), first, first + 0.01 * (count - 1)

    return TimedEngine(write, lambda ids, count, number: 0.01 * (count - 1))


def test_figures_are_those_of_the_times() -> None:
    steps: list[int] = []
    found = suite.measure_engine(player(steps), lambda length: [0] * length, 3)
    assert found["decode"] == pytest.approx([100.0] * 3)
    assert found["decode_8"] == pytest.approx([800.0] * 3)
    assert found["first_1000"] == pytest.approx([100.0] * 3)
    assert steps[0] < suite.WRITTEN  # what comes first only warms up
    assert set(found) | {"copy", "of_limit"} == {each.name for each in suite.QUANTITIES}


def test_who_writes_alone_is_not_asked_for_several() -> None:
    alone = TimedEngine(player([]).write, None)
    assert "decode_8" not in suite.measure_engine(alone, lambda length: [0] * length, 1)


def test_other_formats_of_ours_are_measured_beside_one_generate() -> None:
    args = parse(["bench", "speed", "--suite", "gpu", "--dtype", "float16", "--also", "int8,int4"])
    own = choose(args.shapes, args.dtype, args.also, args.static, args.repeats).formats()
    assert own == {OURS: "float16", "mtchat, int8": "int8", "mtchat, int4": "int4"}
    samples = {
        (engine, "decode"): [speed]
        for engine, speed in zip((*own, "generate"), (40, 60, 80, 10), strict=True)
    }
    head, _, line = table(
        collect(samples, suite.QUANTITIES, (*own, "generate"), "m"), suite.QUANTITIES, own
    ).splitlines()
    assert [cell.strip() for cell in head.split("|")[3:-1]] == [*own, "generate", "×"]
    assert [cell.strip() for cell in line.split("|")[3:-1]] == ["40", "60", "80", "10", "4.0"]


def test_a_format_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no format 'int3'; choose from int8, int4"):
        choose("", "bfloat16", "int4,int3", False, None)


def test_the_fraction_is_of_weights_read_once_a_token() -> None:
    assert suite.fraction([100.0], 2_000, 400_000.0) == [0.5]


def test_where_texts_part_is_said_with_how_near_both_ids_were() -> None:
    logits = torch.zeros(3, 5)
    logits[1, 2], logits[1, 4] = 1.0, 1.0078125
    assert hf_baseline.first_difference(logits, torch.bfloat16, [1, 2, 3], [1, 4, 3]) == (
        1,
        0.0078125,
        1.0078125 / 128,
    )
    assert hf_baseline.first_difference(logits, torch.bfloat16, [1, 4, 3], [1, 4, 3]) == (3, 0.0, 0.0)
    assert "first 3 ids match" in str(GreedyDifference(3, 3))
    assert "first 1 of 3" in str(GreedyDifference(1, 3, 0.01, 0.01))


@pytest.mark.slow
@pytest.mark.parametrize("name", shapes.SHAPES)
def test_shapes_have_the_sizes_of_their_models(name: str) -> None:
    model = shapes.build(name, "meta", "bfloat16")
    count = sum(each.numel() for each in model.parameters())
    assert count / 1e6 == pytest.approx(PARAMETERS[name], rel=0.02)


@pytest.mark.slow
def test_a_step_reads_all_weights_but_the_embedding() -> None:
    model = shapes.build("codegen-350M", "meta", "bfloat16")
    matrices = sum(each.numel() for each in model.parameters() if each.dim() == 2)
    embedding = model.transformer.wte.weight.numel()
    assert fuse(model.to_empty(device="cpu")).bytes == 2 * (matrices - embedding)


def test_ids_can_be_read_off_the_words_of_the_stand_in() -> None:
    tokenizer = shapes.tokenizer(300)
    assert tokenizer.decode([7, 299, 0]).split() == ["w7", "w299", "w0"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_what_can_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--suite", "gpu"]) == 2
    assert "bench speed" in capsys.readouterr().err
