"""Sessions that version 0.1.0 wrote, with a turn of every kind: they load, keep their ids, and verify.

The model that wrote them answers with a digest of its prompt, so a turn verifies only if its prompt is the
same to the byte.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest

from mtchat.generate.prompt import family
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Reason
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.provenance import Correction, Fill, Repair, Rework, Rewrite, Step
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, FOLDED, FORGOTTEN
from mtchat.store import Log, load, read

CASES = Path(__file__).parents[1] / "cases" / "sessions"
FAMILIES = ("instruct", "codegen")
every_family = pytest.mark.parametrize("name", FAMILIES)


def path_of(name: str) -> Path:
    return CASES / f"0.1.0-{name}.jsonl"


def digest(prompt: Prompt) -> str:
    said = "\n".join(f"{each.role}: {each.content}" for each in prompt.messages)
    return blake2b(f"{said}{prompt.text}|{prompt.opening}".encode(), digest_size=4).hexdigest()


def complete(prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
    end = "\n```\n" if prompt.messages else "\n\n\n\n"
    yield Piece(f"value_{digest(prompt)} = {sampling.seed}{end}", Usage(finish="stop"))


@every_family
def test_an_old_session_loads_with_the_ids_that_it_was_written_with(name: str) -> None:
    found = read(path_of(name))
    events = map(json.loads, path_of(name).read_text().splitlines())
    assert found.notices == ()
    assert [turn.id for turn in found.session.turns] == [
        event["id"] for event in events if event["event"] == "turn"
    ]


@every_family
def test_an_old_session_has_every_kind_of_turn_and_reason(name: str) -> None:
    session = load(path_of(name))
    made = [turn.provenance for turn in session.turns]
    assert {type(each) for each in made} == {Step, Repair, Correction, Rework, Rewrite, Fill}
    assert {each.continues for each in made if isinstance(each, Rework)} == {True, False}
    assert any(isinstance(each, Step) and each.files for each in made)
    assert any(isinstance(each, Step) and each.error for each in made)
    assert {each.context.folded for each in made} == {(), (1,)}
    assert {options.context for options in session.turn_options.values()} == {FOLDED, FORGOTTEN}
    assert {each.reason for each in session.outcomes.values()} == {Reason.NONE, Reason.SECONDS, Reason.FILE}
    assert [each.subject for each in session.outcomes.values() if each.missing] == ["a.csv"]


@every_family
def test_each_turn_that_a_model_wrote_verifies(name: str) -> None:
    session = load(path_of(name))
    generator = TurnGenerator(family.load(name), complete)
    written = [turn for turn in session.turns if turn.provenance.model and turn.status == COMPLETE]
    assert len(written) >= 9
    for turn in written:
        assert list(generator.verify(replace(session, head=turn.id), {turn.id})) == [None], turn.provenance


@every_family
def test_a_prompt_that_differs_is_found(name: str) -> None:
    session = load(path_of(name))
    generator = TurnGenerator(family.load(name), complete)
    [difference] = generator.verify(replace(session, head=session.turns[0].id, preamble="import re\n"))
    assert difference is not None


@every_family
def test_an_old_session_is_the_same_after_it_was_written_again(name: str, tmp_path: Path) -> None:
    old = load(path_of(name))
    with Log(tmp_path / "again.jsonl") as log:
        log.write(old)
    assert replace(load(tmp_path / "again.jsonl"), name="") == replace(old, name="")
