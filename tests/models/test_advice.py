"""The recommended model fits, is fast enough, and may be used; the reason says what speaks against others."""

import json
import re
from pathlib import Path

import pytest

from mtchat.bundled_models import catalogue
from mtchat.inference.loaders.licences import licence_note
from mtchat.models.advice import RESEARCH
from mtchat.models.facts import load_facts
from mtchat.models.survey import list_installed
from tests import ROOT
from tests.support.known_models import statuses, survey_of

QUALITY = ROOT / "docs" / "quality.md"


@pytest.mark.parametrize(
    ("free", "speed", "name", "reason"),
    [
        (21.4, 22.4, "starter", r"3b: research only; qwen2.5-coder-7b: about 5.0 tokens/s; .*14b: about 2.6"),
        (21.4, 60.0, "qwen2.5-coder-7b", r"\(qwen2.5-coder-14b: about 6.9 tokens/s\)"),
        (21.4, 200.0, "qwen2.5-coder-14b", r"^the best score of those .* allow every use$"),
        (5.0, 200.0, "starter", r"3b: research only; .*7b: needs 5.5 GiB; .*14b: needs 10.1 GiB"),
        (1.5, 200.0, "starter-small", r"\(starter: needs 2.0 GiB; "),
        (21.4, 2.0, "starter-small", "the fastest that fits; none that allows every use writes 8 tokens/s"),
        (0.5, 22.4, None, "no model fits; starter-small needs 0.8 GiB of free memory"),
        (21.4, None, "starter", "^fits; how fast larger ones are is known once a starter was used here$"),
        (1.5, None, "starter-small", "fits; how fast"),
    ],
)
def test_the_best_model_that_can_be_used_here_is_recommended(
    free: float, speed: float | None, name: str | None, reason: str
) -> None:
    found = survey_of(free, speed).recommendation
    assert found.name == name
    assert re.search(reason, found.reason), found.reason
    assert "\n" not in found.reason


def test_a_speed_that_was_measured_beside_other_work_speaks_against_no_model() -> None:
    survey = survey_of(speed=3.0, busy=True)
    assert survey.recommendation.name == "starter"
    assert survey.recommendation.reason.endswith("is known once this machine is idle")
    assert all(each.fast_enough for each in survey.offers)
    assert not any(each.fast_enough for each in survey_of(speed=3.0).offers[1:])


def test_a_model_fits_with_a_short_context_before_it_fits_with_a_full_one() -> None:
    fitting = {free: survey_of(free).offers[1] for free in (1.9, 2.0, 3.0, 3.2)}
    assert [each.fits for each in fitting.values()] == [False, True, True, True]
    assert [each.roomy for each in fitting.values()] == [False, False, False, True]


def test_only_the_measured_speed_is_no_estimate() -> None:
    offers = survey_of().offers
    assert [each.name for each in offers if not each.estimated] == ["starter"]
    speeds = [each.speed or 0 for each in offers]
    assert speeds == sorted(speeds, reverse=True)


def test_without_a_measurement_no_speed_is_given() -> None:
    assert [each.speed for each in survey_of(speed=None).offers] == [None] * 5


def test_the_speed_is_measured_with_the_default_model_if_it_is_here() -> None:
    rows = statuses(("starter-small", "qwen2.5-coder-14b", "starter"))
    assert [model.name for model, _ in list_installed(rows)] == [
        "starter",
        "starter-small",
        "qwen2.5-coder-14b",
    ]
    assert list_installed(statuses(())) == []


def test_the_licence_for_research_is_announced_and_never_recommended() -> None:
    assert [each.name for each in survey_of().offers if each.research_only] == ["qwen2.5-coder-3b"]
    assert licence_note(RESEARCH) == "the licence of this model, qwen-research, allows no commercial use"


def documented() -> list[tuple[str, str]]:
    """Each number in a table of the page about quality, with the words of its row and of its column."""
    found, head = [], list[str]()
    for line in QUALITY.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        head = head or cells
        for column, cell in zip(head, cells, strict=False):
            if number := re.match(r"\W*(\d+\.\d)\b", cell):
                found.append((number[1], f"{line} | {column}".lower()))
    return found


def is_documented(model: str, name: str, policy: str, value: float) -> bool:
    """Whether a table has the score of a model with a policy on a benchmark."""
    words = (rf"{model}(?![\w-])", rf"\b{name}\b", rf"\b{policy}\b")
    return any(
        number == f"{value:.1f}" and all(re.search(word, context) for word in words)
        for number, context in documented()
    )


def test_each_measured_score_is_in_the_documents() -> None:
    scores = [
        (known.name, name, policy, value)
        for known in load_facts().models
        for name, policies in known.measured.items()
        for policy, value in policies.items()
    ]
    assert scores
    missing = [each for each in scores if not is_documented(*each)]
    assert not missing, f"mtchat/models/facts.json and {QUALITY} differ"


def test_a_score_of_another_model_benchmark_or_policy_is_not_taken_for_it() -> None:
    known = load_facts().models[1]
    value = known.measured["mtpb"]["plain"]
    assert is_documented("starter", "mtpb", "plain", value)
    assert not is_documented("starter", "mtpb", "plain", value + 0.1)
    assert not is_documented("starter-small", "mtpb", "plain", value)
    assert not is_documented("starter", "humaneval", "plain", value)


def test_each_published_score_of_a_starter_is_in_the_documents() -> None:
    text = QUALITY.read_text("utf-8")
    small, starter, *_ = load_facts().models
    for name in ("humaneval", "mbpp"):
        assert f"{starter.published[name]}, {small.published[name]}" in text


def test_a_model_without_a_run_of_ours_has_no_measured_score() -> None:
    assert [each.name for each in load_facts().models if each.measured] == ["starter-small", "starter"]


def test_every_model_has_the_score_by_which_models_are_compared() -> None:
    scores = [each.published["humaneval"] for each in load_facts().models]
    assert scores == sorted(scores)
    assert "arXiv:2409.12186" in load_facts().published_in


def test_the_larger_models_are_those_of_the_official_repositories() -> None:
    larger = [each for each in catalogue.load_catalogue() if not each.is_starter]
    assert [each.hub.repository for each in larger] == [
        f"Qwen/Qwen2.5-Coder-{size}-Instruct-GGUF" for size in ("3B", "7B", "14B")
    ]
    for each in larger:
        assert re.fullmatch("[0-9a-f]{64}", each.sha256)
        assert re.fullmatch("[0-9a-f]{40}", each.hub.revision)
        assert sum(map(each.piece_bytes, range(each.pieces))) == each.bytes == each.start(each.pieces)


def test_the_facts_are_plain_json() -> None:
    facts = json.loads((Path(load_facts.__code__.co_filename).parent / "facts.json").read_text("utf-8"))
    assert list(facts["models"]) == [each.name for each in load_facts().models]
