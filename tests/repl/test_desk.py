"""The desk and the commands, with a model from a table and no terminal: what holds whatever happens."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mtchat.console import slash
from mtchat.console.captions import one_line
from mtchat.console.desk import Desk, Hear, Leave, Tools
from mtchat.console.text import clip, wrap
from mtchat.console.view import View
from mtchat.errors import ModelError, MtchatError
from mtchat.repl import toolbar
from mtchat.repl.app import dispatch, leave
from mtchat.session.given import RunInputs
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.prompt import ModelCard, Piece, Prompt
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.session.turn import Turn
from mtchat.store import Log, load
from tests.support.fake_repl import Fake, run

ODD = ["²", "0", "-1", "9" * 5000, "x", "~nobody-here/x", "a\0b", "\ud800", "1\n2", "'", "é" * 300, "../../x"]


class Spoken(Fake):
    """A model that gives its replies in order, and keeps what it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[Prompt, Sampling]] = []

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        yield Piece(self.replies.pop(0) + "\n```\n")


def desk_in(folder: Path, model: Fake | None = None, refusal: str = "", runs=run) -> Desk:
    model = model or Fake()
    tools = Tools(
        load=lambda name: model,
        run=runs,
        resume=runs,
        models=lambda: [("fake", "a fake")],
        begin=lambda: None,
        tier=lambda: "fake",
        refusal=lambda: refusal,
    )
    view = View(io.StringIO(), live=False, color=False)
    settings = Settings(policy="plain")
    return Desk(Log.open(folder / "one.jsonl"), folder, model, tools, view, settings=settings)


def said(desk: Desk) -> str:
    assert isinstance(desk.view.out, io.StringIO)
    return desk.view.out.getvalue()


def broken_log(desk: Desk) -> None:
    """From now on the session's file cannot be written: its folder is a file."""
    desk.log = Log.open(desk.folder / "a-file" / "one.jsonl")
    (desk.folder / "a-file").write_text("")


def test_a_turn_that_cannot_be_saved_is_kept_in_memory_run_and_saved_with_the_next(tmp_path: Path) -> None:
    desk = desk_in(tmp_path)
    broken_log(desk)
    dispatch(desk, "define x")
    assert [turn.chunk for turn in desk.session.path] == ["x = 1"]
    assert desk.session.outcome is not None
    assert "the session goes on in memory" in said(desk)
    (tmp_path / "a-file").unlink()
    (tmp_path / "a-file").mkdir()
    dispatch(desk, "print x")
    assert [turn.chunk for turn in load(desk.log.path).path] == ["x = 1", "print(x)"]


def test_an_error_in_the_middle_of_a_fix_keeps_the_program_and_the_next_turn_works(tmp_path: Path) -> None:
    class Failing(Spoken):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            if len(self.asked) == 2:
                self.asked.append((prompt, sampling))
                raise MtchatError("the context takes 9 tokens")
            yield from super().complete(prompt, sampling)

    desk = desk_in(tmp_path, Failing("raise ValueError", "raise TypeError", "x = 1"))
    dispatch(desk, "try it")
    before = desk.session.head
    with pytest.raises(MtchatError, match="the context takes"):
        dispatch(desk, "/fix")
    assert desk.session.head == before
    assert len(load(desk.log.path).turns) == 2
    assert load(desk.log.path).head == before
    dispatch(desk, "go on")
    assert [turn.chunk for turn in load(desk.log.path).path] == ["raise ValueError", "x = 1"]


def test_a_fix_that_is_interrupted_keeps_what_was_written_beside_the_program(tmp_path: Path) -> None:
    class Interrupted(Spoken):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            if self.asked:
                yield Piece("half = 1\n")
                raise KeyboardInterrupt
            yield from super().complete(prompt, sampling)

    desk = desk_in(tmp_path, Interrupted("raise ValueError"))
    dispatch(desk, "try it")
    before = desk.session.head
    dispatch(desk, "/fix")
    assert "fix ended after round 1: interrupted; the program is as it was" in said(desk)
    session = load(desk.log.path)
    assert session.head == before
    assert [turn.chunk for turn in session.turns] == ["raise ValueError", "half = 1"]


def test_the_turn_being_mended_stays_live_on_disk_until_the_mended_one_is_better(tmp_path: Path) -> None:
    heads = []

    def watched(
        program: Program, limits: Limits, place: Path | None, hear: Hear, given: RunInputs, look: bool = False
    ) -> Outcome:
        if (tmp_path / "one.jsonl").exists():
            heads.append(load(tmp_path / "one.jsonl").path[-1].chunk)
        return run(program, limits, place, hear, given, look)

    desk = desk_in(tmp_path, Spoken("raise ValueError", "z = 3"), runs=watched)
    dispatch(desk, "try it")
    dispatch(desk, "/fix")
    assert heads == ["raise ValueError", "raise ValueError"]
    assert load(desk.log.path).path[-1].chunk == "z = 3"


def test_fix_asked_twice_does_not_ask_the_same_question_again(tmp_path: Path) -> None:
    model = Spoken("raise ValueError", *["raise TypeError"] * 4)
    desk = desk_in(tmp_path, model)
    dispatch(desk, "try it")
    dispatch(desk, "/fix 2")
    dispatch(desk, "/fix 2")
    samplings = [sampling for _, sampling in model.asked[1:]]
    assert len(set(samplings)) == 4
    assert len(load(desk.log.path).turns) >= 2


def test_fix_runs_what_it_mends_even_where_turns_are_not_run(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, Spoken("raise ValueError", "z = 3"))
    dispatch(desk, "/set run off")
    dispatch(desk, "try it")
    assert desk.session.outcome is None
    dispatch(desk, "/fix")
    assert desk.session.path[-1].chunk == "z = 3"
    assert desk.session.outcome is not None
    assert desk.session.outcome.ok


def test_where_no_sandbox_works_turns_are_made_and_nothing_is_offered_to_be_mended(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, refusal="no sandbox works here")
    dispatch(desk, "fail")
    assert desk.session.path
    assert "programs are not run: no sandbox works here" in said(desk)
    assert "/fix" not in said(desk)
    with pytest.raises(MtchatError, match="no sandbox works here"):
        dispatch(desk, "/fix")


def test_a_turn_is_on_disk_before_it_is_run_also_when_it_was_written_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(
        program: Program, limits: Limits, place: Path | None, hear: Hear, given: RunInputs, look: bool = False
    ) -> Outcome:
        seen.append([turn.chunk for turn in load(tmp_path / "one.jsonl").turns])
        return run(program, limits, place, hear, given, look)

    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "x = 5" > "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    desk = desk_in(tmp_path, runs=watched)
    dispatch(desk, "define x")
    dispatch(desk, "print x")
    dispatch(desk, "/code 1")
    assert seen[:3] == [["x = 1"], ["x = 1", "print(x)"], ["x = 1", "print(x)", "x = 5"]]


def test_an_editor_that_removes_the_file_or_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_in(tmp_path)
    dispatch(desk, "define x")
    for editor, sign in [
        ("rm", "cannot edit with 'rm'"),
        ("vim 'x", "cannot be read"),
        ("false", "ended with 1"),
    ]:
        monkeypatch.setenv("VISUAL", editor)
        with pytest.raises(MtchatError, match=sign):
            dispatch(desk, "/code")
    assert [turn.chunk for turn in desk.session.path] == ["x = 1"]


@pytest.mark.slow
@pytest.mark.parametrize("command", slash.names())
def test_no_command_falls_over_an_odd_argument(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISUAL", "true")
    desk = desk_in(tmp_path)
    dispatch(desk, "define x")
    for argument in ["", *ODD, *(f"py {odd}" for odd in ODD), *(f"1 {odd}" for odd in ODD)]:
        try:
            dispatch(desk, f"/{command} {argument}")
        except (MtchatError, Leave):
            continue
    dispatch(desk, "print x")
    assert load(desk.log.path) == desk.session


def test_an_instruction_with_bytes_that_are_no_text_is_taken(tmp_path: Path) -> None:
    desk = desk_in(tmp_path)
    dispatch(desk, "caf\udce9 define x")
    assert desk.session.path[0].instruction == "caf? define x"


def test_a_session_that_two_terminals_began_at_once_goes_by_its_own_name(tmp_path: Path) -> None:
    desks = [replace(desk_in(tmp_path), log=Log.fresh(tmp_path, date(2026, 1, 1))) for _ in range(2)]
    for desk in desks:
        dispatch(desk, "define x")
    assert [desk.session.name for desk in desks] == ["2026-01-01-1", "2026-01-01-2"]


def test_an_export_without_a_file_name_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    desk = desk_in(tmp_path)
    dispatch(desk, "define x")
    dispatch(desk, "/export py")
    with pytest.raises(MtchatError, match="is there already"):
        dispatch(desk, "/export py")
    with pytest.raises(MtchatError, match="--force overwrites it"):
        dispatch(desk, "/export py one.py")
    dispatch(desk, "/export py one.py --force")
    dispatch(desk, "/export one.ipynb")
    assert (tmp_path / "one.ipynb").read_text().startswith("{")


@pytest.mark.parametrize(
    ("text", "width", "kept"), [("abc", 2, "ab"), ("数据框", 4, "数据"), ("数据框", 5, "数据"), ("", 3, "")]
)
def test_a_transient_line_never_takes_more_columns_than_there_are(text: str, width: int, kept: str) -> None:
    assert clip(text, width) == kept


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("type its number, or say it", 12, ["type its", "number, or", "say it"]),
        ("  left behind: a-very-long-name", 12, ["  left", "behind:", "a-very-long-name"]),
        ("two  spaces stay", 20, ["two  spaces stay"]),
        ("数据框 数据", 8, ["数据框", "数据"]),
        ("", 8, [""]),
    ],
)
def test_a_sentence_breaks_between_words_where_the_screen_ends(
    text: str, width: int, lines: list[str]
) -> None:
    assert wrap(text, width).split("\n") == lines


def test_sentences_break_on_a_screen_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    for live, lines in ((True, 2), (False, 1)):
        out = io.StringIO()
        View(out, live=live, color=False).note("this is a sentence of forty-two characters")
        assert len(out.getvalue().splitlines()) == lines


def test_an_instruction_of_several_lines_shows_on_one_where_they_ended(tmp_path: Path) -> None:
    assert one_line("print the mean\n\n  no,  rounded") == "print the mean / no, rounded"
    assert one_line("print the mean\nrounded", 12) == "print the m…"


def test_help_on_a_command_does_not_keep_the_line_ends_of_its_file(tmp_path: Path) -> None:
    desk = desk_in(tmp_path)
    dispatch(desk, "/help tree")
    assert "Another try for the same instruction shows its code. (folded) and" in said(desk)


@pytest.mark.parametrize(("word", "command"), [("undo", "/undo"), ("Retry", "/retry"), ("tree", "/tree")])
def test_the_name_of_a_command_alone_is_no_instruction_unless_the_user_says_so(
    word: str, command: str, tmp_path: Path
) -> None:
    desk = desk_in(tmp_path)
    with pytest.raises(MtchatError, match=rf"did you mean {command}\? /next "):
        dispatch(desk, word)
    assert not desk.session.turns
    dispatch(desk, f"/next {word}")
    dispatch(desk, "undo what the loop does")
    assert [turn.instruction for turn in desk.session.turns] == [word, "undo what the loop does"]


class Weighed(Fake):
    """A model whose first try fails, while what it writes warm does not."""

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        yield Piece("raise ValueError\n```\n" if sampling.temperature == 0 else "x = 2\n```\n")


def test_the_policy_that_is_set_makes_the_turns(tmp_path: Path):
    desk = desk_in(tmp_path, Weighed())
    dispatch(desk, "set x")
    assert desk.session.path[-1].chunk == "raise ValueError"
    dispatch(desk, "/undo")
    dispatch(desk, "/set policy select")
    dispatch(desk, "set x")
    assert desk.session.path[-1].chunk == "x = 2"
    assert "the best of 8 candidates is another" in said(desk)
    assert load(desk.log.path).path[-1].chunk == "x = 2"


def test_a_policy_that_is_none_is_refused_and_the_old_one_stays(tmp_path: Path):
    desk = desk_in(tmp_path)
    with pytest.raises(MtchatError, match="default"):
        dispatch(desk, "/set policy worst")
    assert desk.settings.policy == "plain"


def test_a_question_of_the_model_is_no_code_and_is_told_as_a_question(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, Spoken("Do you want the words sorted by length or by name?", "x = 1"))
    dispatch(desk, "sort the words")
    assert desk.session.path[-1].chunk == "# Do you want the words sorted by length or by name?"
    assert "the model asks back: type your answer" in said(desk)
    dispatch(desk, "by name")
    assert said(desk).count("the model asks back") == 1
    assert isinstance(desk.model, Spoken)
    assert any("sorted by length or by name?" in each.content for each in desk.model.asked[-1][0].messages)


class Licensed(Fake):
    """A model with something to tell."""

    def card(self) -> ModelCard:
        return ModelCard("fake", chat=True, licence="Apache-2.0", notes=("for research only",))


def test_what_a_model_tells_is_said_once_and_its_licence_where_it_is_asked_for(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, Licensed())
    assert "research" not in said(desk)
    for _ in range(2):
        dispatch(desk, "define x")
    assert said(desk).count("for research only") == 1
    dispatch(desk, "/model")
    assert "fake, Apache-2.0\n" in said(desk)
    desk.tools = replace(desk.tools, load=lambda name: Licensed())
    dispatch(desk, "/model other")
    dispatch(desk, "print x")
    assert said(desk).count("for research only") == 2


class Unloadable(Fake):
    """A model that cannot be loaded."""

    name = "broken"

    def stage(self) -> str:
        return "not loaded"

    def ready(self, seconds: float) -> bool:
        raise ModelError("cannot load broken: IndexError: list index out of range")


def test_a_model_that_cannot_be_loaded_leaves_the_conversation_to_the_one_before(tmp_path: Path) -> None:
    desk = desk_in(tmp_path)
    dispatch(desk, "define x")
    old = desk.model
    desk.tools = replace(desk.tools, load=lambda name: Unloadable(), earlier=lambda: old)
    dispatch(desk, "/model broken")
    dispatch(desk, "print x")
    assert desk.model is old
    assert [turn.chunk for turn in desk.session.path] == ["x = 1", "print(x)"]
    assert "cannot load broken: IndexError" in said(desk)
    assert "fake goes on; /model NAME takes another" in said(desk)


def test_a_first_model_that_cannot_be_loaded_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    desk = desk_in(tmp_path, Unloadable())
    with pytest.raises(ModelError, match="/model NAME goes on with another"):
        dispatch(desk, "define x")
    desk.tools = replace(desk.tools, load=lambda name: Fake())
    dispatch(desk, "/model fake")
    dispatch(desk, "define x")
    assert len(desk.session.path) == 1


def unsaved(folder: Path) -> Desk:
    desk = desk_in(folder)
    broken_log(desk)
    dispatch(desk, "define x")
    return desk


def test_the_toolbar_says_that_turns_are_not_saved_as_long_as_that_is_so(tmp_path: Path) -> None:
    desk = unsaved(tmp_path)
    assert ("class:warning", "NOT SAVED") in toolbar.text(desk, 120)
    (tmp_path / "a-file").unlink()
    dispatch(desk, "print x")
    assert ("class:warning", "NOT SAVED") not in toolbar.text(desk, 120)


def test_save_claims_nothing_that_is_not_on_the_disk(tmp_path: Path) -> None:
    desk = unsaved(tmp_path)
    for command in ("/save", "/save mine"):
        with pytest.raises(MtchatError, match="cannot save to"):
            dispatch(desk, command)
    assert "saved in" not in said(desk)
    assert "this session is now" not in said(desk)
    (tmp_path / "a-file").unlink()
    dispatch(desk, "/save")
    assert "saved in" in said(desk)
    assert [turn.chunk for turn in load(desk.log.path).path] == ["x = 1"]


def test_a_whole_path_saves_a_session_that_its_own_folder_cannot_take(tmp_path: Path) -> None:
    desk = unsaved(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    dispatch(desk, f"/save {tmp_path}/elsewhere/mine")
    assert "this session is now" in said(desk)
    dispatch(desk, "print x")
    assert len(load(tmp_path / "elsewhere" / "mine.jsonl").path) == 2
    assert desk.session.name == "mine"
    assert not leave(desk)


@pytest.mark.parametrize("folder", ["/", "{}", "{}/"])
def test_a_folder_is_no_name_to_save_by(tmp_path: Path, folder: str) -> None:
    desk = unsaved(tmp_path)
    with pytest.raises(MtchatError, match=r"is a folder; /save .*NAME saves in it"):
        dispatch(desk, "/save " + folder.format(tmp_path))
    assert not (tmp_path.parent / f"{tmp_path.name}.jsonl").exists()


def test_turns_that_are_not_saved_are_not_left_for_another_session(tmp_path: Path) -> None:
    with Log.open(tmp_path / "other.jsonl") as log:
        log.write(log.session.extend((Turn("x", "x = 5"),)))
    desk = unsaved(tmp_path)
    with pytest.raises(MtchatError, match="has turns that are not saved; /save tries again"):
        dispatch(desk, "/open other")
    assert [turn.chunk for turn in desk.session.path] == ["x = 1"]


def test_quit_tells_what_is_not_saved_in_its_place_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    desk = unsaved(tmp_path)
    assert not leave(desk)
    assert "not saved in its place: cannot save to" in said(desk)
    [copy] = (tmp_path / "temporary").rglob("*.jsonl")
    assert [turn.chunk for turn in load(copy).path] == ["x = 1"]
    assert f"saved in {copy}" in said(desk)


def test_quit_leaves_turns_that_can_be_saved_nowhere_only_when_it_is_typed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    desk = unsaved(tmp_path)
    assert leave(desk)
    assert "turns of this session are not saved; leave again to leave without them" in said(desk)
    assert "saved in" not in said(desk)
    assert not leave(desk)


def test_what_could_not_be_saved_is_saved_on_leaving_where_that_can_be_done_then(tmp_path: Path) -> None:
    desk = unsaved(tmp_path)
    (tmp_path / "a-file").unlink()
    assert not leave(desk)
    assert [turn.chunk for turn in load(desk.log.path).path] == ["x = 1"]
