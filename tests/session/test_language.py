"""Languages beside Python: how each is prompted and cut, kept with the session, exported, and not run."""

import io
import json
import random
from pathlib import Path

import pytest
from pygments.lexers import get_lexer_by_name

from mtchat.cli.main import main
from mtchat.cli.scripted import Script, run_script
from mtchat.console.view import View
from mtchat.errors import ExitCode, MtchatError, UsageError
from mtchat.export.format import load_format as format_of
from mtchat.export.format import suffix_for
from mtchat.generate.alternatives import retry
from mtchat.generate.improve import take
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.family import load as family_of
from mtchat.generate.turn import TurnGenerator
from mtchat.models.loading import LoadingModel
from mtchat.repl.app import dispatch
from mtchat.session.language import LANGUAGES, PYTHON, Language, parse_language, training_warning
from mtchat.session.outcome import Outcome
from mtchat.session.prompt import ModelCard
from mtchat.session.session import Session
from mtchat.session.settings import Sampling, Settings
from mtchat.session.turn import Turn
from mtchat.store import Log, load, paths
from tests.support.consoles import Spoken, console_in, handed, said
from tests.support.generate import assert_cut_as_it_arrives
from tests.support.scripts import Table

JS, GO = parse_language("javascript"), parse_language("go")
OTHERS = [each for each in LANGUAGES if each != PYTHON]
ADD = "function add(a, b) {\n  return a + b;\n}"


def test_each_name_of_a_language_is_its_own_and_is_known_where_code_is_highlighted():
    names = [name for each in LANGUAGES for name in each.names]
    assert len(set(names)) == len(names)
    assert all(parse_language(name.upper()) in LANGUAGES for name in names)
    assert all(each.name in get_lexer_by_name(each.name).aliases for each in LANGUAGES)


def test_a_language_that_is_not_known_is_refused_by_a_list():
    with pytest.raises(UsageError, match=r"python, javascript.*, not 'klingon'"):
        Settings().with_text("language", "klingon")
    assert Settings().with_text("language", "C++").language == "cpp"


@pytest.mark.parametrize(
    ("language", "text", "code"),
    [
        ("javascript", f"{ADD}\n// now print\n", f"{ADD}\n"),
        ("javascript", f"  // inside\n{ADD}", f"  // inside\n{ADD}"),
        ("javascript", f"{ADD}\n\nexport async function more() {{}}", f"{ADD}\n\n"),
        ("javascript", f"{ADD}\nfunctional();\n# no comment\n", f"{ADD}\nfunctional();\n# no comment\n"),
        ("javascript", "let x = 1;\n\n\nlet y = 2;", "let x = 1;"),
        ("javascript", "let x = 1;<|endoftext|>// a file", "let x = 1;"),
        ("javascript", "print(1)\nprint(2)\n", "print(1)\nprint(2)\n"),
        ("go", "func a() {}\nfunc b() {}\n", "func a() {}\n"),
        ("rust", "fn a() {}\npub fn b() {}\n", "fn a() {}\n"),
        ("c", "#include <stdio.h>\nint x;\n// y\n", "#include <stdio.h>\nint x;\n"),
        ("bash", "#!/bin/sh\necho 1\n# more\n", "#!/bin/sh\necho 1\n"),
        ("bash", "a() { :; }\nb-c() { :; }\n", "a() { :; }\n"),
        ("ruby", "def a; end\ndef b; end\n", "def a; end\n"),
        ("lua", "local function a() end\n--[[ b ]]\n", "local function a() end\n"),
        ("sql", "select 1;\n-- two\n", "select 1;\n"),
        ("haskell", "'''\nx = 1 -- one\n", "'''\nx = 1 -- one\n"),
    ],
)
def test_a_completion_ends_where_a_comment_or_a_second_function_of_its_language_begins(
    language: str, text: str, code: str
):
    cut = codegen.cut(text, parse_language(language))
    assert (cut.code, cut.finished) == (code, code != text)
    assert codegen.chunk(text, "", parse_language(language)) == code.strip("\n").rstrip()


FRAGMENTS = [
    *(
        "#",
        "#!",
        "//",
        "/",
        "-",
        "--",
        "\n",
        "\n\n",
        "<|endoftext|>",
        "x = 1\n",
        "  ",
        "```",
        "```\n",
        "`",
        "~~~\n",
    ),
    *("function", "function f() {}\n", "func", "fn ", "pub fn x", "def ", "sub a", "fun", "a()", "export "),
    *(
        "```js\n",
        "```javascript\n",
        "```bash\n",
        "``` go\n",
        "```c",
        "+",
        "Here it is:\n",
        "Sure.",
        "\r\n",
        "\r",
    ),
]


@pytest.mark.parametrize("name", ["codegen", "instruct"])
@pytest.mark.parametrize("language", OTHERS, ids=lambda language: language.name)
def test_a_reply_cut_as_it_arrives_gives_what_the_whole_gives_in_every_language(
    name: str, language: Language
):
    family, draw = family_of(name, language), random.Random(3)
    for _ in range(150):
        assert_cut_as_it_arrives(family, "".join(draw.choices(FRAGMENTS, k=draw.randint(1, 12))), draw)


@pytest.mark.parametrize(
    ("reply", "chunk"),
    [
        (f"{ADD}\n```\nIt adds.", ADD),
        (f"Here is the code:\n\n```javascript\n{ADD}\n```", ADD),
        (f"```js\n{ADD}\n```", ADD),
        (f"```bash\nnpm install\n```\n\n```javascript\n{ADD}\n```", ADD),
        (f"```java\nint x;\n```\n```javascript\n{ADD}\n```", ADD),
        ("const s = `\n  a ``` b`;\n```\n", "const s = `\n  a ``` b`;"),
        ("What should it do?", "// What should it do?"),
        (f"let x = 1;\n{ADD}\n``", f"{ADD}"),
        ("let x = 1;", "let x = 1;"),
    ],
)
def test_the_code_of_a_reply_in_another_language_is_taken_out_of_it(reply: str, chunk: str):
    assert instruct.chunk(reply, "let x = 1;\n", JS) == chunk


@pytest.mark.parametrize(
    ("model", "language", "known"),
    [
        ("Salesforce/codegen-350M-mono", "javascript", False),
        ("models/codegen-16B-MONO/", "go", False),
        ("Salesforce/codegen-350M-mono", "python", True),
        ("Salesforce/codegen-350M-multi", "javascript", True),
        ("Salesforce/codegen-350M-multi", "rust", False),
        ("monolith-7b", "rust", True),
        ("starter", "rust", True),
    ],
)
def test_a_model_that_was_not_trained_on_a_language_is_told_by_its_name(
    model: str, language: str, known: bool
):
    said = training_warning(model, parse_language(language))
    assert (said == "") == known
    assert known or (model in said and parse_language(language).title in said and "Python" in said)


def test_a_session_has_its_language_from_the_first_turn_on():
    session = Session().with_language(JS)
    assert session.language == JS
    grown = session.add(Turn("define add", ADD))
    assert grown.with_language(JS) == grown
    with pytest.raises(
        UsageError, match=r"written in JavaScript.*mtchat --language go begins a new one in Go"
    ):
        grown.undo().with_language(GO)
    with pytest.raises(UsageError):
        Session(preamble="x = 1\n").with_language(GO)


def test_the_language_is_kept_in_the_sessions_file_and_one_without_it_is_in_python(tmp_path: Path):
    session = Session().with_language(JS).add(Turn("define add", ADD))
    with Log.open(tmp_path / "js.jsonl") as log:
        log.write(Session(language=GO))
        assert not log.path.exists()
        log.write(session)
    assert load(tmp_path / "js.jsonl").language == JS
    with Log.open(tmp_path / "late.jsonl") as log:
        log.write(Session(preamble="\n"))
        log.write(Session(preamble="\n", language=GO))
    assert load(tmp_path / "late.jsonl").language == GO
    old = [load(path).language for path in paths(Path("sessions").resolve())]
    assert old
    assert set(old) == {PYTHON}


def test_a_session_in_python_says_nothing_of_a_language_in_its_file(tmp_path: Path):
    with Log.open(tmp_path / "py.jsonl") as log:
        log.write(Session().add(Turn("set x", "x = 1")))
    assert "language" not in (tmp_path / "py.jsonl").read_text()


def refused(*_: object) -> Outcome:
    raise AssertionError("something was run")


BOX = handed(refused, refused, lambda: "")
REPLIES = {"define add": ADD, "make it sum": "const sum = add;", "this must be 42": "check(42);"}


def played(folder: Path, *words: str, name: str = "table", **options: object) -> tuple[int, str]:
    """The exit code of a script in JavaScript, and what it said on stderr."""
    err = io.StringIO()
    table = Table(REPLIES)
    table.card = table.card.__class__(name, chat=True, context=1000)
    with Log.open(folder / "js.jsonl") as log:
        script = Script(words, False, False, "", Settings(), language="javascript")
        script = script.__class__(**{**vars(script), **options})  # type: ignore[arg-type]
        code = run_script(
            script, log, LoadingModel(name, lambda report: table), BOX, View(err, live=False, color=False)
        )
    return code, err.getvalue()


def test_a_script_in_another_language_writes_the_program_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code, said = played(tmp_path, "define add", "make it sum", "after this, this must be 42")
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == f"{ADD}\n\nconst sum = add;\n\ncheck(42);\n"
    assert said.count("only Python can be run, and this session is in JavaScript") == 1
    assert "mtchat export js -o js.js" in said
    session = load(tmp_path / "js.jsonl")
    assert (session.language, session.outcome, len(session.path)) == (JS, None, 3)
    assert "trained" not in said


def test_what_needs_a_run_is_refused_before_the_model_is_asked(tmp_path: Path):
    with pytest.raises(UsageError, match="only Python can be run"):
        played(tmp_path, "define add", run=True)
    assert not (tmp_path / "js.jsonl").exists()


def test_a_session_that_has_turns_keeps_its_language_in_a_script(tmp_path: Path):
    played(tmp_path, "define add")
    assert played(tmp_path, "make it sum", language="")[0] == ExitCode.DONE
    assert load(tmp_path / "js.jsonl").language == JS
    with pytest.raises(UsageError, match="cannot change"):
        played(tmp_path, "make it sum", language="python")


def test_an_edit_in_another_language_keeps_the_later_turns(tmp_path: Path):
    played(tmp_path, "define add", "make it sum")
    code, said = played(tmp_path, "this must be 42", edit=1)
    assert code == ExitCode.DONE
    assert "turn 2 is kept" in said
    assert [turn.chunk for turn in load(tmp_path / "js.jsonl").path] == ["check(42);", "const sum = add;"]


def test_a_model_of_python_alone_is_noted_once_and_goes_on(tmp_path: Path):
    code, said = played(tmp_path, "define add", "make it sum", name="codegen-350M-mono")
    assert code == ExitCode.DONE
    assert said.count("codegen-350M-mono was trained on Python, not on JavaScript") == 1


def test_turns_in_another_language_are_verified_in_it():
    family, table = family_of("instruct", JS), Table(REPLIES)
    generator = TurnGenerator(family, table.complete, card=table.card, family_name="instruct")
    session = take(generator, Session(language=JS), "define add", Sampling())
    session = retry(generator, take(generator, session, "make it sum", Sampling()), Sampling())
    assert list(generator.verify(session)) == [None, None]


def session() -> Session:
    return Session(name="sums", language=JS).extend((Turn("define add", ADD), Turn("use it", "add(1, 2);")))


def test_a_session_in_another_language_is_exported_in_it():
    made = session()
    assert format_of("code").write(made) == f"{ADD}\n\nadd(1, 2);\n"
    assert suffix_for(format_of("code"), made) == ".js"
    assert suffix_for(format_of("code"), Session()) == ".py"
    assert suffix_for(format_of("md"), made) == ".md"
    assert f"```javascript\n{ADD}\n```" in format_of("md").write(made)
    assert "```python" not in format_of("md").write(made)
    assert '<pre class="code language-javascript">' in format_of("html").write(made)
    assert '<pre class="code">' in format_of("html").write(Session().add(Turn("set x", "x = 1")))


def test_a_notebook_names_the_language_and_brings_it_back():
    form = format_of("ipynb")
    text = form.write(session())
    assert json.loads(text)["metadata"] == {"language_info": {"name": "javascript"}}
    assert form.import_text is not None
    back = form.import_text(text).session
    assert (back.language, [turn.chunk for turn in back.path]) == (JS, [ADD, "add(1, 2);"])
    strange = json.dumps({"cells": [], "metadata": {"language_info": {"name": "brainfuck"}}})
    with pytest.raises(MtchatError, match="'brainfuck'"):
        form.import_text(strange)


@pytest.mark.parametrize("kind", ["py", "mtpb"])
def test_what_holds_python_alone_refuses_another_language_and_names_the_way(kind: str):
    with pytest.raises(UsageError, match="JavaScript; the format code writes it unchanged"):
        format_of(kind).write(session())


def test_the_repl_notes_a_model_of_python_alone_once_and_takes_no_corrections(tmp_path: Path):
    class Mono(Spoken):
        def card(self) -> ModelCard:
            return ModelCard("codegen-350M-mono", chat=True, context=1000)

    console = console_in(tmp_path, Mono(ADD, "const sum = add;", f"{ADD}\nadd(1, 2);"), runs=refused)
    for line in ("/set language javascript", "define add", "rename add to sum", "/recap new"):
        dispatch(console, line)
    assert said(console).count("codegen-350M-mono was trained on Python, not on JavaScript") == 1
    assert console.session.program.source == f"{ADD}\nadd(1, 2);\n"
    assert "before-recap" in console.session.branches
    with pytest.raises(UsageError, match="cannot change"):
        dispatch(console, "/set language python")
    assert console.chat.settings.language == "javascript"


def test_an_edit_in_the_repl_runs_nothing_of_another_language(tmp_path: Path):
    console = console_in(tmp_path, Spoken("let x = 1;", "let y = x;", "let x = 2;"), runs=refused)
    for words in ("/set language javascript", "make x", "make y", "/edit 1 make x two"):
        dispatch(console, words)
    assert [turn.chunk for turn in console.session.path] == ["let x = 2;", "let y = x;"]
    assert console.session.outcome is None


def test_an_edit_in_the_repl_neither_runs_nor_doubts_another_language(tmp_path: Path):
    console = console_in(tmp_path, Spoken(ADD, "add(1, 2) // 3", "function plus(a, b) {}"))
    console.set_language("javascript")
    for line in ("add two numbers", "call it", "/edit 1 call it plus"):
        dispatch(console, line)
    assert "turn 2 is kept\n" in said(console)
    assert not console.session.outcomes
    assert "/fix" not in said(console)


def test_another_session_that_is_opened_brings_its_language(tmp_path: Path):
    for name, session in (("js", Session(language=JS)), ("py", Session())):
        with Log.open(tmp_path / f"{name}.jsonl") as log:
            log.write(session.add(Turn("begin", "x")))
    console = console_in(tmp_path)
    for name, language in (("js", JS), ("py", PYTHON), ("js", JS)):
        dispatch(console, f"/open {name}")
        assert (console.chat.settings.language, console.view.language) == (language.name, language)
    console.log.close()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--language", "klingon", "-p", "x"], "language must be one of python, javascript"),
        (["js", "--language", "go", "-p", "x"], "written in JavaScript, and that cannot change"),
        (["py", "--language", "go", "-p", "x"], "written in Python, and that cannot change"),
        (["run", "js"], "only Python can be run"),
        (["replay", "js"], "--verify regenerates its turns"),
        (["export", "js", "--to", "py"], "the format code writes it unchanged"),
    ],
)
def test_a_command_that_does_not_fit_the_language_is_refused_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
):
    for name, session in (("js", Session(language=JS)), ("py", Session())):
        with Log.open(tmp_path / f"{name}.jsonl") as log:
            log.write(session.add(Turn("begin", "x")))
    assert main([*words, "--sessions", str(tmp_path)]) == ExitCode.USAGE
    assert complaint in capsys.readouterr().err


def test_export_writes_a_session_in_its_language_unless_told_otherwise(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
):
    with Log.open(tmp_path / "js.jsonl") as log:
        log.write(session())
    assert main(["export", "js", "--sessions", str(tmp_path)]) == ExitCode.DONE
    assert capfdbinary.readouterr().out.decode() == session().program.source
