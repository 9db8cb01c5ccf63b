"""Editing a turn of a session from a script: later turns that do not fit are made again."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.cli import main
from mtchat.cli.scripted import Script, run_script
from mtchat.console.view import View
from mtchat.errors import ExitCode, MtchatError
from mtchat.models.loading import LoadingModel
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import ModelCard, Piece, Prompt
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.store import Log, load
from tests.support.consoles import handed


class Pupil:
    """A model that sets x or y, and shows the one that is there."""

    def __init__(self) -> None:
        self.card = ModelCard("pupil", chat=True, context=1000)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        wish = prompt.messages[-1].content
        if wish == "stop":
            raise KeyboardInterrupt
        name = "y" if any("y = 5" in message.content for message in prompt.messages) else "x"
        replies = {"set x": "x = 6", "set y": "y = 5", "show": f"print({name})", "bye": "print('bye')"}
        yield Piece(replies[wish] + "\n```\n")

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        yield from ()

    def text(self, prompt: Prompt) -> str:
        return ""

    def count(self, text: str) -> int:
        return 0

    def close(self) -> None:
        pass


def run(program: Program, limits: Limits, place: Path | None, given: RunInputs) -> Outcome:
    return Outcome(outputs=tuple("shown\n" if "print" in chunk.code else "" for chunk in program.chunks))


BOX = handed(run, lambda program, limits, given: run(program, limits, None, given), lambda: "")


def played(
    folder: Path,
    *words: str,
    edit: int = 0,
    refusal: str = "",
    written: bool = False,
    model: type[Pupil] = Pupil,
) -> tuple[int, str]:
    """The exit code of a script and what it said; the session is saved as `played`."""
    err = io.StringIO()
    box = replace(BOX, unavailable_reason=lambda: refusal)
    with Log.open(folder / "played.jsonl") as log:
        script = Script(words, False, False, "", Settings(policy="plain"), edit=edit, as_code=written)
        code = run_script(
            script, log, LoadingModel("pupil", lambda report: model()), box, View(err, False, False)
        )
    return code, err.getvalue()


def code(session: Session) -> list[str]:
    return [turn.chunk for turn in session.path]


@pytest.mark.parametrize("refusal", ["", "no sandbox works on this machine"])
def test_an_edit_makes_again_what_does_not_fit_and_prints_the_program(
    refusal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played(tmp_path, "set x", "show", "bye")
    before = load(tmp_path / "played.jsonl")
    capsys.readouterr()
    status, said = played(tmp_path, "set y", edit=1, refusal=refusal)
    assert status == ExitCode.DONE
    assert capsys.readouterr().out == "y = 5\n\nprint(y)\n\nprint('bye')\n"
    assert "turn 2 uses `x` from turn 1\n1› set y\n" in said
    assert "2› show\nregenerated: `x` no longer exists\n" in said
    assert "turn 3 is kept\n" in said
    assert "- x = 6\n+ y = 5\n" in said
    assert "the previous program is branch before-edit-1" in said
    after = load(tmp_path / "played.jsonl")
    assert code(after) == ["y = 5", "print(y)", "print('bye')"]
    assert after.path_to(after.branches["before-edit-1"]) == before.path


def test_a_stopped_edit_leaves_the_program_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played(tmp_path, "set x", "show")
    before = load(tmp_path / "played.jsonl")
    status, _ = played(tmp_path, "stop", edit=1)
    assert status == ExitCode.INTERRUPTED
    assert load(tmp_path / "played.jsonl") == before


def test_a_turn_that_is_not_there_cannot_be_edited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played(tmp_path, "set x")
    with pytest.raises(MtchatError, match="no turn 2; the program has 1 turn"):
        played(tmp_path, "set y", edit=2)


@pytest.mark.parametrize(
    "words",
    [["--edit", "1", "-p", "x"], ["s", "--edit", "1", "-p", "x", "-p", "y"], ["s", "--edit", "0", "-p", "x"]],
)
def test_edit_wants_a_session_a_turn_and_one_instruction(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == ExitCode.USAGE
    assert "--edit N needs a SESSION" in capsys.readouterr().err


class Filler(Pupil):
    """A pupil that fills holes with 5, unless it is stopped."""

    def __init__(self) -> None:
        self.card = ModelCard(
            "pupil", chat=True, context=1000, marks=frozenset(["<|fim_prefix|>", MIDDLE, SUFFIX])
        )

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        if not prompt.text:
            yield from super().complete(prompt, sampling)
        elif "stop" in prompt.text:
            raise KeyboardInterrupt
        else:
            yield Piece("5<|fim_pad|>")


MIDDLE, SUFFIX = "<|fim_middle|>", "<|fim_suffix|>"


@pytest.mark.parametrize(("text", "new"), [("x = 7", "x = 7"), ("x = <<fill>> + 2", "x = 5 + 2")])
def test_code_of_a_file_takes_the_place_of_a_turns_with_its_holes_filled(
    text: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played(tmp_path, "set x", "show")
    capsys.readouterr()
    status, told = played(tmp_path, text, edit=1, written=True, model=Filler)
    assert status == ExitCode.DONE
    assert capsys.readouterr().out == f"{new}\n\nprint(x)\n"
    assert ("- x = <<fill>> + 2\n+ x = 5 + 2\n" in told) is ("fill" in text)
    assert "turn 2 is kept" in told
    after = load(tmp_path / "played.jsonl")
    assert code(after) == [new, "print(x)"]
    assert after.path_to(after.branches["before-edit-1"])[0].chunk == "x = 6"


def test_a_hole_that_is_stopped_in_a_script_leaves_the_program_and_keeps_the_code(tmp_path: Path) -> None:
    played(tmp_path, "set x", "show")
    before = load(tmp_path / "played.jsonl")
    status, _ = played(tmp_path, "stop = <<fill>>", edit=1, written=True, model=Filler)
    assert status == ExitCode.INTERRUPTED
    after = load(tmp_path / "played.jsonl")
    assert after.path == before.path
    assert [turn.chunk for turn in after.children("")] == ["x = 6", "stop = <<fill>>"]
