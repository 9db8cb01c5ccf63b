"""The console and the commands, with a model from a table and no terminal: what holds whatever happens."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mtchat.console import slash
from mtchat.console.captions import one_line
from mtchat.console.console import Console, Leave
from mtchat.console.questions import UserQuestions
from mtchat.console.text import clip, wrap
from mtchat.console.view import View
from mtchat.conversation.interfaces import OnOutput
from mtchat.errors import ModelError, MtchatError
from mtchat.repl import toolbar
from mtchat.repl.app import dispatch, leave_session
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import ModelCard, Piece, Prompt
from mtchat.session.settings import Limits, Sampling
from mtchat.session.turn import Turn
from mtchat.store import Log, load
from tests.support.consoles import Spoken, broken_log, console_in, said
from tests.support.fake_repl import Fake, run

ODD = ["²", "0", "-1", "9" * 5000, "x", "~nobody-here/x", "a\0b", "\ud800", "1\n2", "'", "é" * 300, "../../x"]


def test_a_turn_that_cannot_be_saved_is_kept_in_memory_run_and_saved_with_the_next(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    broken_log(console)
    dispatch(console, "define x")
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]
    assert console.session.outcome is not None
    assert "the session continues in memory" in said(console)
    (tmp_path / "a-file").unlink()
    (tmp_path / "a-file").mkdir()
    dispatch(console, "print x")
    assert [turn.chunk for turn in load(console.log.path).path] == ["x = 1", "print(x)"]


def test_an_error_in_the_middle_of_a_fix_keeps_the_program_and_the_next_turn_works(tmp_path: Path) -> None:
    class Failing(Spoken):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            if len(self.asked) == 2:
                self.asked.append((prompt, sampling))
                raise MtchatError("the context takes 9 tokens")
            yield from super().complete(prompt, sampling)

    console = console_in(tmp_path, Failing("raise ValueError", "raise TypeError", "x = 1"))
    dispatch(console, "try it")
    before = console.session.head
    with pytest.raises(MtchatError, match="the context takes"):
        dispatch(console, "/fix")
    assert console.session.head == before
    assert len(load(console.log.path).turns) == 2
    assert load(console.log.path).head == before
    dispatch(console, "go on")
    assert [turn.chunk for turn in load(console.log.path).path] == ["raise ValueError", "x = 1"]


def test_a_fix_that_is_interrupted_keeps_what_was_written_beside_the_program(tmp_path: Path) -> None:
    class Interrupted(Spoken):
        def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
            if self.asked:
                yield Piece("half = 1\n")
                raise KeyboardInterrupt
            yield from super().complete(prompt, sampling)

    console = console_in(tmp_path, Interrupted("raise ValueError"))
    dispatch(console, "try it")
    before = console.session.head
    dispatch(console, "/fix")
    assert "fix ended after round 1: interrupted; the program is unchanged" in said(console)
    session = load(console.log.path)
    assert session.head == before
    assert [turn.chunk for turn in session.turns] == ["raise ValueError", "half = 1"]


def test_the_turn_being_mended_stays_live_on_disk_until_the_mended_one_is_better(tmp_path: Path) -> None:
    heads = []

    def watched(
        program: Program,
        limits: Limits,
        place: Path | None,
        on_output: OnOutput,
        given: RunInputs,
        look: bool = False,
    ) -> Outcome:
        if (tmp_path / "one.jsonl").exists():
            heads.append(load(tmp_path / "one.jsonl").path[-1].chunk)
        return run(program, limits, place, on_output, given, look)

    console = console_in(tmp_path, Spoken("raise ValueError", "z = 3"), runs=watched)
    dispatch(console, "try it")
    dispatch(console, "/fix")
    assert heads == ["raise ValueError", "raise ValueError"]
    assert load(console.log.path).path[-1].chunk == "z = 3"


def test_fix_asked_twice_does_not_ask_the_same_question_again(tmp_path: Path) -> None:
    model = Spoken("raise ValueError", *["raise TypeError"] * 4)
    console = console_in(tmp_path, model)
    dispatch(console, "try it")
    dispatch(console, "/fix 2")
    dispatch(console, "/fix 2")
    samplings = [sampling for _, sampling in model.asked[1:]]
    assert len(set(samplings)) == 4
    assert len(load(console.log.path).turns) >= 2


def test_fix_runs_what_it_mends_even_where_turns_are_not_run(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("raise ValueError", "z = 3"))
    dispatch(console, "/set run off")
    dispatch(console, "try it")
    assert console.session.outcome is None
    dispatch(console, "/fix")
    assert console.session.path[-1].chunk == "z = 3"
    assert console.session.outcome is not None
    assert console.session.outcome.ok


def test_where_no_sandbox_works_turns_are_made_and_nothing_is_offered_to_be_mended(tmp_path: Path) -> None:
    console = console_in(tmp_path, refusal="no sandbox works on this machine")
    dispatch(console, "fail")
    assert console.session.path
    assert "programs are not run: no sandbox works on this machine" in said(console)
    assert "/fix" not in said(console)
    with pytest.raises(MtchatError, match="no sandbox works on this machine"):
        dispatch(console, "/fix")


def test_a_turn_is_on_disk_before_it_is_run_also_when_it_was_written_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(
        program: Program,
        limits: Limits,
        place: Path | None,
        on_output: OnOutput,
        given: RunInputs,
        look: bool = False,
    ) -> Outcome:
        seen.append([turn.chunk for turn in load(tmp_path / "one.jsonl").turns])
        return run(program, limits, place, on_output, given, look)

    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "x = 5" > "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    console = console_in(tmp_path, runs=watched)
    dispatch(console, "define x")
    dispatch(console, "print x")
    dispatch(console, "/code 1")
    assert seen[:3] == [["x = 1"], ["x = 1", "print(x)"], ["x = 1", "print(x)", "x = 5"]]


def test_an_editor_that_removes_the_file_or_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = console_in(tmp_path)
    dispatch(console, "define x")
    for editor, sign in [
        ("rm", "cannot edit with 'rm'"),
        ("vim 'x", "cannot be read"),
        ("false", "exited with status 1"),
    ]:
        monkeypatch.setenv("VISUAL", editor)
        with pytest.raises(MtchatError, match=sign):
            dispatch(console, "/code")
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]


@pytest.mark.slow
@pytest.mark.parametrize("command", slash.names())
def test_no_command_falls_over_an_odd_argument(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISUAL", "true")
    console = console_in(tmp_path)
    dispatch(console, "define x")
    for argument in ["", *ODD, *(f"py {odd}" for odd in ODD), *(f"1 {odd}" for odd in ODD)]:
        try:
            dispatch(console, f"/{command} {argument}")
        except (MtchatError, Leave):
            continue
    dispatch(console, "print x")
    assert load(console.log.path) == console.session


def test_an_instruction_with_bytes_that_are_no_text_is_taken(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    dispatch(console, "caf\udce9 define x")
    assert console.session.path[0].instruction == "caf? define x"


def test_a_session_that_two_terminals_began_at_once_goes_by_its_own_name(tmp_path: Path) -> None:
    consoles = [console_in(tmp_path) for _ in range(2)]
    for console in consoles:
        console.chat.log = Log.fresh(tmp_path, date(2026, 1, 1))
    for console in consoles:
        dispatch(console, "define x")
    assert [console.session.name for console in consoles] == ["2026-01-01-1", "2026-01-01-2"]


def test_an_export_without_a_file_name_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    console = console_in(tmp_path)
    dispatch(console, "define x")
    dispatch(console, "/export py")
    with pytest.raises(MtchatError, match="already exists"):
        dispatch(console, "/export py")
    with pytest.raises(MtchatError, match="--force overwrites it"):
        dispatch(console, "/export py one.py")
    dispatch(console, "/export py one.py --force")
    dispatch(console, "/export one.ipynb")
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
    console = console_in(tmp_path)
    dispatch(console, "/help tree")
    assert "Other candidates for the same instruction are shown by their code. (folded) and" in said(console)


@pytest.mark.parametrize(("word", "command"), [("undo", "/undo"), ("Retry", "/retry"), ("tree", "/tree")])
def test_the_name_of_a_command_alone_is_no_instruction_unless_the_user_says_so(
    word: str, command: str, tmp_path: Path
) -> None:
    console = console_in(tmp_path)
    with pytest.raises(MtchatError, match=rf"did you mean {command}\? /next "):
        dispatch(console, word)
    assert not console.session.turns
    dispatch(console, f"/next {word}")
    dispatch(console, "undo what the loop does")
    assert [turn.instruction for turn in console.session.turns] == [word, "undo what the loop does"]


class Weighed(Fake):
    """A model whose first try fails, while what it writes warm does not."""

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        yield Piece("raise ValueError\n```\n" if sampling.temperature == 0 else "x = 2\n```\n")


def test_the_policy_that_is_set_makes_the_turns(tmp_path: Path):
    console = console_in(tmp_path, Weighed())
    dispatch(console, "set x")
    assert console.session.path[-1].chunk == "raise ValueError"
    dispatch(console, "/undo")
    dispatch(console, "/set policy select")
    dispatch(console, "set x")
    assert console.session.path[-1].chunk == "x = 2"
    assert "the best of 8 candidates:" in said(console)
    assert load(console.log.path).path[-1].chunk == "x = 2"


def test_a_policy_that_is_none_is_refused_and_the_old_one_stays(tmp_path: Path):
    console = console_in(tmp_path)
    with pytest.raises(MtchatError, match="default"):
        dispatch(console, "/set policy worst")
    assert console.chat.settings.policy == "plain"


def test_a_question_of_the_model_is_no_code_and_is_told_as_a_question(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("Do you want the words sorted by length or by name?", "x = 1"))
    dispatch(console, "sort the words")
    assert console.session.path[-1].chunk == "# Do you want the words sorted by length or by name?"
    assert "the model asks a question; type your answer" in said(console)
    dispatch(console, "by name")
    assert said(console).count("the model asks a question") == 1
    assert isinstance(console.chat.model, Spoken)
    assert any(
        "sorted by length or by name?" in each.content for each in console.chat.model.asked[-1][0].messages
    )


class Licensed(Fake):
    """A model with something to tell."""

    def card(self) -> ModelCard:
        return ModelCard("fake", chat=True, licence="Apache-2.0", notes=("for research only",))


def test_what_a_model_tells_is_said_once_and_its_licence_where_it_is_asked_for(tmp_path: Path) -> None:
    console = console_in(tmp_path, Licensed())
    assert "research" not in said(console)
    for _ in range(2):
        dispatch(console, "define x")
    assert said(console).count("for research only") == 1
    dispatch(console, "/model")
    assert "fake, Apache-2.0\n" in said(console)
    console.host = replace(console.host, load=lambda name: Licensed())
    dispatch(console, "/model other")
    dispatch(console, "print x")
    assert said(console).count("for research only") == 2


class Unloadable(Fake):
    """A model that cannot be loaded."""

    name = "broken"

    def stage(self) -> str:
        return "not loaded"

    def ready(self, seconds: float) -> bool:
        raise ModelError("cannot load broken: IndexError: list index out of range")


def test_a_model_that_cannot_be_loaded_leaves_the_conversation_to_the_one_before(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    dispatch(console, "define x")
    old = console.chat.model
    console.host = replace(console.host, load=lambda name: Unloadable(), earlier=lambda: old)
    dispatch(console, "/model broken")
    dispatch(console, "print x")
    assert console.chat.model is old
    assert [turn.chunk for turn in console.session.path] == ["x = 1", "print(x)"]
    assert "cannot load broken: IndexError" in said(console)
    assert "using fake instead; /model NAME switches to another model" in said(console)


def test_a_first_model_that_cannot_be_loaded_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    console = console_in(tmp_path, Unloadable())
    with pytest.raises(ModelError, match="/model NAME switches to another model"):
        dispatch(console, "define x")
    console.host = replace(console.host, load=lambda name: Fake())
    dispatch(console, "/model fake")
    dispatch(console, "define x")
    assert len(console.session.path) == 1


def unsaved(folder: Path) -> Console:
    console = console_in(folder)
    broken_log(console)
    dispatch(console, "define x")
    return console


def test_the_toolbar_says_that_turns_are_not_saved_as_long_as_that_is_so(tmp_path: Path) -> None:
    console = unsaved(tmp_path)
    assert ("class:warning", "NOT SAVED") in toolbar.text(console, 120)
    (tmp_path / "a-file").unlink()
    dispatch(console, "print x")
    assert ("class:warning", "NOT SAVED") not in toolbar.text(console, 120)


def test_save_claims_nothing_that_is_not_on_the_disk(tmp_path: Path) -> None:
    console = unsaved(tmp_path)
    for command in ("/save", "/save mine"):
        with pytest.raises(MtchatError, match="cannot save to"):
            dispatch(console, command)
    assert "saved in" not in said(console)
    assert "this session is now" not in said(console)
    (tmp_path / "a-file").unlink()
    dispatch(console, "/save")
    assert "saved in" in said(console)
    assert [turn.chunk for turn in load(console.log.path).path] == ["x = 1"]


def test_a_whole_path_saves_a_session_that_its_own_folder_cannot_take(tmp_path: Path) -> None:
    console = unsaved(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    dispatch(console, f"/save {tmp_path}/elsewhere/mine")
    assert "this session is now" in said(console)
    dispatch(console, "print x")
    assert len(load(tmp_path / "elsewhere" / "mine.jsonl").path) == 2
    assert console.session.name == "mine"
    assert not leave_session(console)


@pytest.mark.parametrize("folder", ["/", "{}", "{}/"])
def test_a_folder_is_no_name_to_save_by(tmp_path: Path, folder: str) -> None:
    console = unsaved(tmp_path)
    with pytest.raises(MtchatError, match=r"is a folder; /save .*NAME saves in it"):
        dispatch(console, "/save " + folder.format(tmp_path))
    assert not (tmp_path.parent / f"{tmp_path.name}.jsonl").exists()


def test_turns_that_are_not_saved_are_not_left_for_another_session(tmp_path: Path) -> None:
    with Log.open(tmp_path / "other.jsonl") as log:
        log.write(log.session.extend((Turn("x", "x = 5"),)))
    console = unsaved(tmp_path)
    with pytest.raises(MtchatError, match="has turns that are not saved; /save tries again"):
        dispatch(console, "/open other")
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]


def test_quit_tells_what_is_not_saved_in_its_place_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    console = unsaved(tmp_path)
    assert not leave_session(console)
    assert "could not be saved in its own folder: cannot save to" in said(console)
    [copy] = (tmp_path / "temporary").rglob("*.jsonl")
    assert [turn.chunk for turn in load(copy).path] == ["x = 1"]
    assert f"saved in {copy}" in said(console)


def test_quit_leaves_turns_that_can_be_saved_nowhere_only_when_it_is_typed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    console = unsaved(tmp_path)
    assert leave_session(console)
    assert "turns of this session are not saved; quit again to discard them" in said(console)
    assert "saved in" not in said(console)
    assert not leave_session(console)


def test_what_could_not_be_saved_is_saved_on_leaving_where_that_can_be_done_then(tmp_path: Path) -> None:
    console = unsaved(tmp_path)
    (tmp_path / "a-file").unlink()
    assert not leave_session(console)
    assert [turn.chunk for turn in load(console.log.path).path] == ["x = 1"]


def test_a_whole_sentence_in_place_of_this_or_next_is_done_next_and_nothing_is_lost() -> None:
    replies = iter(["nxt", "now print the largest one"])
    questions = UserQuestions(View(io.StringIO()))
    words = questions.next_instruction(lambda label: next(replies), "and sort it")
    assert words == "now print the largest one"
    assert questions.unsent == "and sort it"
