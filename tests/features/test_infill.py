"""Holes in code: what is taken of what a model wrote, which try, what it is told, what stays if stopped."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.cli import main
from mtchat.errors import ExitCode, MtchatError
from mtchat.features.infill.fill import fill_holes
from mtchat.features.infill.placement import HoleEnding, place_in_hole
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.infill import FORMATS
from mtchat.generate.turn import TurnGenerator
from mtchat.repl.app import dispatch
from mtchat.session import language
from mtchat.session.hole import Hole, first_hole
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.prompt import ModelCard, Piece, Prompt
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import EDITED, Turn
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, editor, said
from tests.support.generate import CTRL_C, ScriptedModel, run_with_variables

KNOWS = ModelCard("filler", chat=True, marks=FORMATS["qwen"].needs)
GREEDY = Sampling()
JAVASCRIPT = language.parse_language("javascript")
MEAN = "def mean(a):\n    total = 0\n    <<fill>>\n    return total / len(a)\n"
LOOP = "    for each in a:\n        total += each"


def hole(code: str) -> Hole:
    found = first_hole(code)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("code", "before", "after", "hint", "alone"),
    [
        ("x = <<fill>>\n", "x = ", "\n", "", False),
        ("if x:\n    <<fill: print it>>\n", "if x:\n    ", "\n", "print it", True),
        ("<<fill>><<fill>>", "", "<<fill>>", "", False),
        ("<<fill:>>", "", "", "", True),
        ("<<fill: a > b>>", "", "", "a > b", True),
    ],
)
def test_a_hole_has_its_sides_and_what_is_to_stand_there(
    code: str, before: str, after: str, hint: str, alone: bool
) -> None:
    found = hole(code)
    assert (found.before, found.after, found.hint, found.is_alone) == (before, after, hint, alone)


def test_shifts_and_other_brackets_are_no_holes() -> None:
    assert first_hole("x << fill >> 2\n<fill>\n<<filled>>") is None


def placed(code: str, text: str) -> str:
    at = hole(code)
    return next(place_in_hole(text, at, at.after), "")


@pytest.mark.parametrize(
    ("code", "text", "result"),
    [
        (MEAN, LOOP, MEAN.replace("    <<fill>>", LOOP)),
        (MEAN, LOOP + "\n    return total / len(a)\n\nprint(mean([1]))", MEAN.replace("    <<fill>>", LOOP)),
        (MEAN, "for each in a:\n    total += each", MEAN.replace("    <<fill>>", LOOP)),
        (MEAN, "    total = 0\n" + LOOP, MEAN.replace("    <<fill>>", "    total = 0\n" + LOOP)),
        (MEAN, "def mean(a):\n    total = 0\n" + LOOP, MEAN.replace("    <<fill>>", LOOP)),
        (MEAN, "```python\n" + LOOP + "\n```\nThis adds", MEAN.replace("    <<fill>>", LOOP)),
        (MEAN, LOOP + "\n    if total", MEAN.replace("    <<fill>>", LOOP)),
        (MEAN, "    return 3", ""),  # nothing after it would ever be reached
        (MEAN, "", ""),
        (MEAN.replace("    <<", "<<"), LOOP, MEAN.replace("    <<fill>>", LOOP)),
        ("x = <<fill>> + 1\n", "y + 1\nprint(x)", "x = y + 1\n"),
        ("return_ = (<<fill>>)\n", "a * (b + c))\nprint(1)", "return_ = (a * (b + c))\n"),
        ("x = f(<<fill>>)  # so\n", "')' + y)  # so", "x = f(')' + y)  # so\n"),
        ("x = <<fill>>\n", "{\n    'a': 1,\n}\nprint(x)", "x = {\n    'a': 1,\n}\n"),
        ("x = [<<fill>>, <<fill>>]\n", "1", "x = [1, <<fill>>]\n"),
        ("if <<fill>>:\n    pass\n", "x > 0:\n    y", "if x > 0:\n    pass\n"),
        ("x = <<fill>>\n", "= = =", ""),
        (  # another indentation changes no value
            "def f():\n    <<fill>>\n    return t\n",
            "t = '''a\n  b\nc''' + f'''\n{t\n}'''\nprint(\nt)",
            "def f():\n    t = '''a\n  b\nc''' + f'''\n{t\n}'''\n    print(\n    t)\n    return t\n",
        ),
        (
            "def f():\n    <<fill>>\n    return g\n",
            "    def g():\n        '''Say.\n\n        More.'''\n        return '''\nend'''",
            "def f():\n    def g():\n        '''Say.\n\n        More.'''\n"
            "        return '''\nend'''\n    return g\n",
        ),
    ],
)
def test_what_is_repeated_goes_and_the_rest_stands_as_deep_as_the_hole(
    code: str, text: str, result: str
) -> None:
    assert placed(code, text) == result


@pytest.mark.parametrize(
    ("code", "text", "finished"),
    [
        (MEAN, LOOP + "\n    return total / len(a)\n\n", True),
        (MEAN, LOOP + "\n\nprint", False),  # half a line may yet be anything
        (MEAN, LOOP + "\n\nprint()\n", True),
        (MEAN, LOOP + "\n", False),
        (MEAN, "    x<|fim_pad|>", True),
        ("x = <<fill>>\n", "1\n", False),
        ("x = <<fill>>\n", "1\ny", True),
        ("x = (<<fill>>)\n", "(1)", False),
        ("x = (<<fill>>)\n", "(1))", True),
    ],
)
def test_the_writing_ends_where_it_goes_on_behind_the_hole(code: str, text: str, finished: bool) -> None:
    at = hole(code)
    assert HoleEnding(FORMATS["qwen"], at, at.after).cut(text).finished is finished


TOTAL_JS = "function total(xs) {\n  <<fill: the sum>>\n}\n"
SUM_JS = "  return xs.reduce((a, b) => a + b, 0);"


@pytest.mark.parametrize(
    ("code", "text", "result"),
    [
        (TOTAL_JS, SUM_JS, TOTAL_JS.replace("  <<fill: the sum>>", SUM_JS)),
        (
            TOTAL_JS,
            SUM_JS + "\n}\n\nconsole.log(total([1]));",
            TOTAL_JS.replace("  <<fill: the sum>>", SUM_JS),
        ),
        (TOTAL_JS, "  for (const x of xs) {", ""),
        ("const y = <<fill>>;\n", "x + 1;", "const y = x + 1;\n"),
        ("const y = f(<<fill>>);\n", "[1, 2]);\nconsole", "const y = f([1, 2]);\n"),
    ],
)
def test_in_a_language_that_is_not_read_what_fills_a_hole_closes_what_it_opens(
    code: str, text: str, result: str
) -> None:
    at = hole(code)
    assert next(place_in_hole(text, at, at.after, JAVASCRIPT), "") == result


def test_a_hole_in_javascript_is_filled_and_its_model_told_in_comments_of_javascript() -> None:
    session = Session(language=JAVASCRIPT).extend((Turn("sum up", "let t = 0;"), Turn("show", "log(t);")))
    of = replace(generator(SUM_JS + "\n}\n\nlog("), dry_run=None)
    assert fill_holes(of, session, 1, TOTAL_JS, GREEDY) == TOTAL_JS.replace("  <<fill: the sum>>", SUM_JS)
    assert contexts(of) == [
        "<|fim_prefix|>// sum up\nfunction total(xs) {\n  // the sum\n<|fim_suffix|>\n}\n\n// show\nlog(t);\n"
        "<|fim_middle|>"
    ]


def generator(*replies: str, card: ModelCard = KNOWS, family=instruct) -> TurnGenerator:
    return TurnGenerator(family, ScriptedModel(list(replies)), card=card, dry_run=run_with_variables)


def contexts(of: TurnGenerator) -> list[str]:
    assert isinstance(of.complete, ScriptedModel)
    return of.complete.contexts


def three() -> Session:
    turns = (Turn("set n", "n = 4"), Turn("the mean", "m = 0"), Turn("show it", "print(m + n)"))
    return Session().extend(turns)


def test_the_model_is_told_the_program_before_the_hint_and_what_comes_after() -> None:
    of = generator("    print(i)\n")
    code = "for i in range(n):\n    <<fill: count on>>\nm = i"
    assert fill_holes(of, three(), 2, code, GREEDY) == "for i in range(n):\n    print(i)\nm = i"
    assert contexts(of) == [
        "<|fim_prefix|># set n\nn = 4\n\n# the mean\nfor i in range(n):\n    # count on\n"
        "<|fim_suffix|>\nm = i\n\n# show it\nprint(m + n)\n<|fim_middle|>"
    ]


def test_several_holes_are_filled_one_after_the_other() -> None:
    of = generator("n * 2", "k + 1")
    assert (
        fill_holes(of, three(), 2, "k = <<fill>>\nm = <<fill: one more>>", GREEDY) == "k = n * 2\nm = k + 1"
    )
    first, second = contexts(of)
    assert "k = <|fim_suffix|>\nm = ...\n" in first
    assert "k = n * 2\n# one more\nm = <|fim_suffix|>" in second


def test_the_first_try_that_runs_is_taken_also_with_the_later_turns() -> None:
    of = generator("nowhere", "'4'", "n / 2", "n")
    assert fill_holes(of, three(), 2, "m = <<fill>>", GREEDY) == "m = n / 2"
    assert isinstance(of.complete, ScriptedModel)
    assert [sampling.seed for _, sampling in of.complete.asked] == [0, 1, 2]
    assert of.complete.asked[1][1].temperature > 0


def test_where_no_try_for_the_last_hole_runs_another_goes_into_the_first() -> None:
    of = generator("'4'", "1", "2", "3", "5", "m = wrong\n```", "'4'", "n", "1")
    code = "k = <<fill>>\nm = k + <<fill>>"
    assert fill_holes(of, three(), 2, code, GREEDY) == "k = n\nm = k + 1"
    assert len(contexts(of)) == 9


def test_where_nothing_fits_a_later_hole_no_other_try_is_made_for_the_first() -> None:
    of = generator("n", *["= ="] * 5)
    with pytest.raises(MtchatError, match="nothing that fits the hole in turn 2"):
        fill_holes(of, three(), 2, "k = <<fill>>\nm = <<fill>>", GREEDY)
    assert len(contexts(of)) == 6


def test_of_several_holes_the_program_that_gets_furthest_is_taken_where_none_runs() -> None:
    last = ["m = wrong\n```"]
    of = generator("'4'", *["1"] * 4, *last, "n", "1", "n", "n", *last)
    code = "k = <<fill>>\nm = k + <<fill>>\nx = y"
    assert fill_holes(of, three(), 2, code, GREEDY) == "k = n\nm = k + 1\nx = y"


def test_where_no_try_runs_the_one_is_taken_that_gets_furthest_and_there_are_few() -> None:
    of = generator("nowhere", "'4'", "nobody", "gone", "m = wrong\n```")
    assert fill_holes(of, three(), 2, "m = <<fill>>", GREEDY) == "m = '4'"
    assert len(contexts(of)) == 5


def test_the_same_code_is_run_once_however_often_the_last_hole_is_filled_with_it() -> None:
    ran: list[str] = []

    def look(program: Program) -> Outcome:
        ran.append(program.chunks[1].code)
        return run_with_variables(program)

    of = replace(generator("nowhere", "nowhere", "nobody", "nowhere", "m = nobody\n```"), dry_run=look)
    fill_holes(of, three(), 2, "m = <<fill>>", GREEDY)
    assert [code.strip() for code in ran] == ["m = nowhere", "m = nobody"]


def test_a_chat_model_without_marks_writes_the_code_again() -> None:
    of = generator("m = n\n```", card=replace(KNOWS, marks=frozenset()))
    assert fill_holes(of, three(), 2, "m = <<fill: the last n>>", GREEDY) == "m = n"
    assert "Put the last n in its place" in contexts(of)[0]
    assert "m = ...\n" in contexts(of)[0]


def test_a_base_model_without_marks_says_what_else_can_be_done() -> None:
    of = generator(card=ModelCard("Salesforce/codegen-350M-mono"), family=codegen)
    with pytest.raises(MtchatError, match=r"codegen-350M-mono cannot fill holes.*/edit 2 TEXT.*CodeGen2"):
        fill_holes(of, three(), 2, "m = <<fill>>", GREEDY)


def test_where_nothing_fits_the_user_is_asked_for_a_hint() -> None:
    with pytest.raises(MtchatError, match=r"nothing that fits the hole in turn 2; .*<<fill: compute"):
        fill_holes(generator(*["= ="] * 8), three(), 2, "m = <<fill>>", GREEDY)


@pytest.mark.slow
def test_turns_that_do_not_fit_the_context_are_left_out_or_folded() -> None:
    long = Turn("compute", "def f(x):\n" + "    x = x + 1\n" * 30 + "    return x")
    session = Session().extend((long, Turn("use it", "m = 0"), Turn("later", "y = 1\n" * 30)))
    of = replace(
        generator("f(1)"), card=replace(KNOWS, context=120), count=lambda prompt: len(prompt.text.split())
    )
    assert fill_holes(of, session, 2, "m = <<fill>>", replace(GREEDY, max_tokens=40)) == "m = f(1)"
    (context,) = contexts(of)
    assert "y = 1" not in context
    assert "def f(x):" in context
    assert context.count("x = x + 1") < 30


class Filler(Spoken):
    """A chat model that knows the marks of holes."""

    def card(self) -> ModelCard:
        return replace(KNOWS, context=1000, fingerprint="f")

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        reply = self.replies.pop(0)
        if reply == CTRL_C:
            raise KeyboardInterrupt
        yield Piece(reply if prompt.text else reply + "\n```\n")


def test_code_with_a_hole_is_filled_shown_and_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = console_in(tmp_path, Filler("n = 12", "m = n * 2", "print(m)", "n * 3"))
    for wish in ("set n to 12", "double it", "print it"):
        dispatch(console, wish)
    editor(tmp_path, monkeypatch, "m = <<fill: three times n>>")
    dispatch(console, "/code 2")
    assert [turn.chunk for turn in console.session.path] == ["n = 12", "m = n * 3", "print(m)"]
    assert console.session.turn_at(2).status == EDITED
    assert (
        "- m = <<fill: three times n>>\n+ m = n * 3\nturn 2 now has your code, its holes filled by filler"
    ) in said(console)
    assert "kept 1 of 1 later turn" in said(console)
    console.view.out = io.StringIO()
    (tmp_path / "editor").write_text('#!/bin/sh\necho n = 13 > "$1"\n')
    dispatch(console, "/code 1 --keep")
    dispatch(console, "/show 2")
    assert "2› double it (edited; filler filled its holes)\nm = n * 3" in said(console)
    assert load(console.log.path) == console.session


@pytest.mark.parametrize("reply", [CTRL_C, "= ="])
def test_a_hole_that_is_not_filled_changes_nothing_and_its_code_comes_up_again(
    reply: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = console_in(tmp_path, Filler("n = 12", *[reply] * (1 if reply == CTRL_C else 8), "7"))
    dispatch(console, "set n to 12")
    path = console.session.path
    editor(tmp_path, monkeypatch, "n = <<fill>>  # mine")
    told = ""
    try:
        dispatch(console, "/code 1")
    except MtchatError as error:
        told = str(error)
    assert console.session.path == path
    assert "your code is kept with its hole; /code 1 opens it again" in said(console) + told
    assert load(console.log.path) == console.session
    (tmp_path / "editor").write_text('#!/bin/sh\ngrep -q mine "$1"\n')  # saves what came up, else fails
    console.chat.model.replies = ["7"]
    dispatch(console, "/code 1")
    assert console.session.path[0].chunk == "n = 7  # mine"
    (tmp_path / "editor").write_text('#!/bin/sh\ngrep -q "n = 7" "$1"\n')
    dispatch(console, "/code 1")
    assert "the code is unchanged" in said(console)


def test_code_with_a_hole_for_another_instruction_does_not_come_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = console_in(tmp_path, Filler("n = 12", "a = n", "b = n", CTRL_C))
    for words in ("set n to 12", "two A", "/branch A", "/undo", "two B"):
        dispatch(console, words)
    editor(tmp_path, monkeypatch, "b = <<fill>>")
    dispatch(console, "/code 2")
    dispatch(console, "/goto A")
    (tmp_path / "editor").write_text('#!/bin/sh\ngrep -q "a = n" "$1"\n')
    dispatch(console, "/code 2")
    assert "the code is unchanged" in said(console)


def test_a_hole_in_another_language_is_filled_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = console_in(tmp_path, Filler("let x = 1;", "2"))
    dispatch(console, "/set language javascript")
    dispatch(console, "make x")
    editor(tmp_path, monkeypatch, "let x = <<fill>>;")
    dispatch(console, "/code 1")
    assert console.session.path[0].chunk == "let x = 2;"
    assert console.session.outcome is None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--code", "1", "FILE"], "--code N FILE needs a SESSION"),
        (["s", "--code", "0", "FILE"], "--code N FILE needs"),
        (["s", "--code", "1", "FILE", "-p", "x"], "--code N FILE needs"),
        (["s", "--code", "1", "nowhere.py"], "cannot read nowhere.py"),
    ],
)
def test_code_in_a_script_wants_a_session_a_turn_and_a_file(
    words: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.py").write_text("x = 1\n")
    assert main([word.replace("FILE", str(tmp_path / "new.py")) for word in words]) == ExitCode.USAGE
    assert problem in capsys.readouterr().err
