"""Models that load in the background: one at a time, given up when another is asked for, never a crash."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.errors import ModelError
from mtchat.generate.prompt.families.instruct import EXAMPLES
from mtchat.models import loader
from mtchat.models.loading import LoadingModel, Model, ModelLoader, Report
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.settings import Sampling


class Small:
    """Enough of an engine to be loaded."""

    def __init__(self, name: str) -> None:
        self.card = ModelCard(name)


def test_a_model_is_ready_once_it_is_loaded_and_says_meanwhile_what_it_does() -> None:
    told, go_on = threading.Event(), threading.Event()

    def load(report: Report) -> Model:
        report("converting 45 %")
        told.set()
        assert go_on.wait(20)
        return Small("one")  # type: ignore[return-value]

    model = LoadingModel("one", load)
    assert not model.ready(0.0)
    assert told.wait(20)
    assert model.stage() == "converting 45 %"
    go_on.set()
    assert model.ready(20)
    assert model.stage() == ""
    assert model.card().name == "one"


def test_a_failure_is_told_to_whoever_asks_the_model() -> None:
    def load(report: Report) -> Model:
        raise ModelError("no such file")

    model = LoadingModel("one", load)
    with pytest.raises(ModelError, match="no such file"):
        model.ready(20)
    assert model.stage() == "not loaded"


def test_another_model_begins_when_the_first_has_given_up() -> None:
    begun: list[str] = []
    first_began, go_on = threading.Event(), threading.Event()

    def load(name: str, report: Report) -> Model:
        begun.append(name)
        if name == "first":
            first_began.set()
            assert go_on.wait(20)
            report("half way")
            raise AssertionError("it should have been stopped")
        return Small(name)  # type: ignore[return-value]

    shelf = ModelLoader(load)
    first = shelf.get("first")
    first.begin()
    assert first_began.wait(20)
    second = shelf.get("second")
    assert not second.ready(0.05)
    assert begun == ["first"]
    go_on.set()
    assert second.ready(20)
    assert begun == ["first", "second"]
    with pytest.raises(ModelError, match="loading of first was cancelled"):
        first.ready(0)


def test_a_shelf_says_whether_a_thread_is_still_at_work_when_it_closes() -> None:
    began, go_on = threading.Event(), threading.Event()

    def load(name: str, report: Report) -> Model:
        began.set()
        assert go_on.wait(20)
        report("on")
        return Small(name)  # type: ignore[return-value]

    shelf = ModelLoader(load)
    assert shelf.close()
    shelf.get("slow").begin()
    assert began.wait(20)
    assert not shelf.close(0.0)
    go_on.set()
    assert shelf.close(20)


class Reading(Small):
    """An engine that notes what it reads, in two stretches."""

    def __init__(self, name: str) -> None:
        self.card = ModelCard(name, chat=True)
        self.read: list[str] = []
        self.closed = False

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.read += [each.content for each in prompt.messages]
        yield from [Piece("", Usage()), Piece("x", Usage(finish="length"))]

    def close(self) -> None:
        self.closed = True


def test_a_model_has_read_the_worked_examples_before_the_first_turn() -> None:
    engine, said = Reading("one"), list[str]()
    assert loader.warm_up(engine, ("examples",), said.append) is engine  # type: ignore[arg-type]
    assert any(EXAMPLES[0][0].instruction in each for each in engine.read)
    assert said == ["reading examples"] * 2


def test_nothing_is_read_where_the_policy_has_no_guidance() -> None:
    engine = Reading("one")
    loader.warm_up(engine, (), lambda stage: None)  # type: ignore[arg-type]
    assert engine.read == []


def test_a_model_that_is_given_up_while_it_reads_is_closed() -> None:
    def give_up(stage: str) -> None:
        raise KeyboardInterrupt

    engine = Reading("one")
    with pytest.raises(KeyboardInterrupt):
        loader.warm_up(engine, ("examples",), give_up)  # type: ignore[arg-type]
    assert engine.closed


class Failing(Small):
    """An engine whose library raises something while it is asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__("failing")
        self.error = error
        self.closed = False

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        yield Piece("x", Usage())
        raise self.error

    def text(self, prompt: Prompt) -> str:
        raise self.error

    def close(self) -> None:
        self.closed = True


RAISED = [
    TypeError("no len()"),
    IndexError("0"),
    AssertionError(),
    MemoryError(),
    KeyError("x"),
    ImportError("y"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_loading_raises_is_a_line_that_names_it(error: Exception) -> None:
    def load(report: Report) -> Model:
        raise error

    with pytest.raises(ModelError, match=r"^cannot load one: ") as told:
        LoadingModel("one", load).ready(20)
    assert "\n" not in str(told.value)
    assert str(error) in str(told.value) or type(error).__name__ in str(told.value)
    assert told.value.__cause__ is error
    assert told.value.code == 3


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_loaded_model_raises_is_a_line_too(error: Exception) -> None:
    model = LoadingModel("one", lambda report: Failing(error))  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match="one failed during generation"):
        list(model.complete(Prompt("x"), Sampling()))
    with pytest.raises(ModelError, match="one failed during generation"):
        model.text(Prompt("x"))


def shelf_of(made: dict[str, list[Failing]], *bad: str, fits: bool = True) -> ModelLoader:
    def load(name: str, report: Report) -> Model:
        if name in bad:
            raise IndexError("list index out of range")
        made.setdefault(name, []).append(Failing(ValueError()))
        return made[name][-1]  # type: ignore[return-value]

    return ModelLoader(load, lambda name, report: fits)


def test_a_model_is_given_up_only_when_the_next_one_is_ready() -> None:
    made: dict[str, list[Failing]] = {}
    shelf = shelf_of(made, "bad", "worse")
    old = shelf.get("old")
    assert old.ready(20)
    for name in ("bad", "worse"):
        with pytest.raises(ModelError, match=f"cannot load {name}: IndexError"):
            shelf.get(name).ready(20)
        assert shelf.earlier() is old
        assert old.ready(0)
        assert not made["old"][0].closed
    new = shelf.get("new")
    assert new.ready(20)
    assert made["old"][0].closed
    assert shelf.earlier() is None
    with pytest.raises(ModelError, match="old was unloaded"):
        old.ready(0)
    assert shelf.close()
    assert made["new"][0].closed


def test_a_model_whose_successor_failed_is_closed_in_the_end() -> None:
    made: dict[str, list[Failing]] = {}
    shelf = shelf_of(made, "bad")
    assert shelf.get("old").ready(20)
    with pytest.raises(ModelError):
        shelf.get("bad").ready(20)
    assert shelf.close()
    assert made["old"][0].closed


def test_a_model_that_stands_in_the_way_is_given_up_first_and_it_is_said() -> None:
    made: dict[str, list[Failing]] = {}
    shelf = shelf_of(made, "bad", fits=False)
    assert shelf.get("old").ready(20)
    with pytest.raises(ModelError, match="old was unloaded to make room"):
        shelf.get("bad").ready(20)
    assert made["old"][0].closed
    assert shelf.earlier() is None


def test_a_model_that_finds_no_memory_is_loaded_again_once_there_is_room() -> None:
    old = Failing(ValueError())

    def load(name: str, report: Report) -> Model:
        if name == "large" and not old.closed:
            raise ModelError("it does not fit") from MemoryError()
        return old if name == "old" else Small(name)  # type: ignore[return-value]

    shelf = ModelLoader(load)
    assert shelf.get("old").ready(20)
    assert shelf.get("large").ready(20)
    assert old.closed


@pytest.mark.parametrize("name", ["~nobody-here/x", "a\0b", "x" * 5000, "org/model", "", "../none.gguf"])
def test_a_name_of_no_file_is_left_to_loading_to_refuse(name: str) -> None:
    assert loader.fits_in_memory(name)


def test_a_model_larger_than_what_is_free_does_not_fit_beside_another(tmp_path: Path) -> None:
    with (tmp_path / "large.gguf").open("wb") as stream:
        stream.truncate(1 << 42)  # takes no room
    assert not loader.fits_in_memory(str(tmp_path / "large.gguf"))
