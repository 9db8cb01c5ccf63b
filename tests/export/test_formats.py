"""Every format: its golden files, and that no session makes it fail."""

import json
import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtchat.errors import MtchatError, UsageError
from mtchat.export.format import (
    GO_ON,
    escape_invisible,
    export_session,
    format_for_path,
    import_program,
    list_formats,
    load_format,
    reader_for,
    to_text,
)
from mtchat.export.formats import ipynb
from mtchat.session.language import parse_language
from mtchat.session.outcome import File, Outcome
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, INTERRUPTED, Turn
from mtchat.store import load as session_in
from tests import CASES

EXPORTED = CASES / "export"
TEXT = st.text(st.characters(exclude_categories=()), max_size=10) | st.sampled_from(
    ["```\n````", "</pre><script>", "a\nb\n\n", "x = 1\r\n", "\x1b[2J", "# %%"]
)
ALWAYS = tuple(name for name in list_formats() if name != "mtpb")  # which needs a program that ends well
TURN = st.builds(Turn, TEXT, TEXT, status=st.sampled_from([EDITED, INTERRUPTED]))


def sessions() -> list[Path]:
    return sorted(EXPORTED.glob("*.jsonl"))


def grown(preamble: str, turns: list[Turn], outputs: list[str]) -> Session:
    session = Session("a <name>", preamble).extend(tuple(turns))
    return session.with_outcome(Outcome(stdout="".join(outputs), outputs=tuple(outputs), error="turn 1: <b>"))


@pytest.mark.parametrize("name", ["md", "html", "ipynb"])
@pytest.mark.parametrize(("code", "said"), [("", "before any code"), ("x = (", "its code may be incomplete")])
def test_documents_say_how_far_an_interrupted_turn_came(name: str, code: str, said: str):
    session = Session().extend((Turn("set x", code, status=INTERRUPTED),))
    text = load_format(name).write(session)
    assert text.count("This turn was interrupted") == 1
    assert said in text


def test_the_formats_are_the_files_of_the_folder():
    assert list_formats() == ("code", "html", "ipynb", "md", "mtpb", "py")
    for name in list_formats():
        assert load_format(name).suffix == {"mtpb": ".mtpb.jsonl", "code": ""}.get(name, f".{name}")
        assert load_format(name).help.endswith((".", "again."))


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.parametrize("path", sessions(), ids=lambda path: path.stem)
def test_a_session_is_exported_as_its_golden_file_says(path, name):
    golden = path.with_name(f"{path.stem}.{name}.golden")
    assert load_format(name).write(session_in(path)) == to_text(golden.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", ALWAYS)
@given(preamble=TEXT, turns=st.lists(TURN, max_size=3), outputs=st.lists(TEXT, max_size=5))
def test_no_session_makes_a_format_fail(name, preamble, turns, outputs):
    session = grown(preamble, turns, outputs)
    bare = name == "code" and not session.program.source
    assert bool(load_format(name).write(session)) == (not bare)
    assert bool(load_format(name).write(Session())) == (name != "code")


@pytest.mark.parametrize("path", sessions(), ids=lambda path: path.stem)
@pytest.mark.parametrize("name", [name for name in list_formats() if load_format(name).import_text])
def test_what_can_be_imported_comes_back_as_an_equal_path(path, name):
    session, form = session_in(path), load_format(name)
    assert form.import_text is not None
    back = form.import_text(form.write(session)).session
    assert back.preamble == session.preamble
    assert [(turn.instruction, turn.chunk) for turn in back.path] == [
        (turn.instruction, turn.chunk) for turn in session.path
    ]
    assert back.program == session.program


@pytest.mark.slow
@given(preamble=TEXT, turns=st.lists(TURN, max_size=3), outputs=st.lists(TEXT, max_size=5))
def test_a_notebook_is_valid_and_reads_back_as_an_equal_path(preamble, turns, outputs):
    session = grown(preamble, turns, outputs)
    text = ipynb.write(session)
    nbformat.validate(nbformat.reads(text, as_version=4))
    back = ipynb.read(text)
    assert back.preamble == session.preamble
    assert back.path == session.path


def test_a_foreign_notebook_reads_as_a_session():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Fit"),
        nbformat.v4.new_markdown_cell("it"),
        nbformat.v4.new_code_cell("fit()\n"),
        nbformat.v4.new_raw_cell("raw"),
        nbformat.v4.new_code_cell("plot()"),
        nbformat.v4.new_markdown_cell("the end"),
    ]
    session = ipynb.read(nbformat.writes(notebook))
    assert [(turn.instruction, turn.chunk) for turn in session.path] == [
        ("# Fit\n\nit", "fit()"),
        (GO_ON, "plot()"),
    ]


@pytest.mark.parametrize("text", ["", "x = 1", "[]", "{}", '{"worksheets": []}', "[" * 100_000])
def test_a_text_that_is_no_notebook_is_an_error_that_says_so(text):
    with pytest.raises(MtchatError, match="not a notebook"):
        ipynb.read(text)


@pytest.mark.parametrize("cells", ["[1]", '[{"cell_type": "code"}]', '[{"metadata": 3, "source": [2]}]'])
def test_odd_cells_do_no_harm(cells):
    ipynb.read(f'{{"cells": {cells}}}')


class Page(HTMLParser):
    """The tags of a page, and the text in its code blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.code: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)
        if tag == "pre":
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["pre"]:
            self.code[-1] += data


@given(turns=st.lists(TURN, max_size=3))
def test_a_page_holds_the_code_and_no_tag_of_it(turns):
    page = Page()
    page.feed(load_format("html").write(grown("", turns, [])))
    assert page.open == []
    codes = [turn.chunk for turn in turns if turn.chunk.strip()]
    assert page.code == ["\n" + escape_invisible(code).rstrip() for code in codes]


def test_a_page_needs_nothing_from_elsewhere():
    page = load_format("html").write(grown("", [Turn("do", "x = 1")], []))
    assert "http" not in page
    assert "src=" not in page


@given(code=st.text("`x\n", min_size=1, max_size=12).filter(str.strip))
def test_code_cannot_leave_its_fence(code):
    text = load_format("md").write(Session().extend((Turn("do", code),)))
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.endswith("`python"))
    end = lines.index(lines[start].removesuffix("python"), start)
    assert "\n".join(lines[start + 1 : end]) == code.rstrip()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain é 数 🙂\t\n", "plain é 数 🙂\t\n"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\nb\rc\0", "a\nb\\rc\\x00"),
        ("\x9b\ud800", "\\x9b\\ud800"),
        ("family 👨\u200d👩", "family 👨\u200d👩"),
    ],
)
def test_control_characters_are_shown_and_not_sent(text, seen):
    assert escape_invisible(text) == seen


def test_a_file_is_imported_by_its_suffix():
    assert reader_for(".py") == load_format("py").import_text
    assert reader_for(".IPYNB") == ipynb.import_text
    with pytest.raises(UsageError, match=r"cannot import .md; try: .ipynb, .py"):
        reader_for(".md")
    with pytest.raises(UsageError, match="'pdf' is not one of the formats: code, html, ipynb, md, mtpb, py"):
        load_format("pdf")


@pytest.mark.parametrize("kind", ["py", "ipynb"])
def test_a_saved_file_is_read_again(tmp_path, kind):
    session = Session().extend((Turn("say é", "print('é \ud800')\r\n", status=EDITED),))
    path = export_session(session, kind, tmp_path / f"program.{kind}")
    assert import_program(path).session == session


def test_a_file_that_cannot_be_written_or_read_is_an_error_that_names_it(tmp_path):
    (tmp_path / "full").write_text("")
    with pytest.raises(MtchatError, match=r"cannot write .*full/x.py: .*; give another FILE"):
        export_session(Session(), "py", tmp_path / "full" / "x.py")
    with pytest.raises(MtchatError, match=r"cannot write .*: Is a directory"):
        export_session(Session(), "py", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    with pytest.raises(MtchatError, match=r"cannot read .*x.py: No such file"):
        import_program(tmp_path / "x.py")
    (tmp_path / "x.ipynb").write_text("x = 1")
    with pytest.raises(MtchatError, match=r"x.ipynb: not a notebook"):
        import_program(tmp_path / "x.ipynb")


def test_a_device_is_written_to_and_not_replaced():
    export_session(Session(), "py", Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.py").symlink_to("real.py")
    export_session(Session(), "py", tmp_path / "link.py")
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_text() == load_format("py").write(Session())


LIVE = "<script>alert(1)</script> ![a](http://x/y.png) [b](javascript:x) <img src=x> a\u202eb\u200b &lt;"


@pytest.mark.parametrize("name", ["md", "ipynb", "html"])
def test_nothing_live_or_unseen_stands_in_a_document(name):
    session = Session(LIVE.replace("/", "")).extend((Turn(LIVE, "x = 1"), Turn("a", f"# {LIVE}")))
    session = session.with_outcome(Outcome(stdout=LIVE, outputs=("\x1b]0;t\x07\x9b31m", LIVE)))
    text = load_format(name).write(session)
    words = re.sub(r"(?s)(`{3,}).*?\1|<style>.*?</style>", "", text)
    if name == "ipynb":
        cells = json.loads(text)["cells"]
        words = "".join(part for cell in cells if cell["cell_type"] == "markdown" for part in cell["source"])
        shown = str([cell.get("outputs") for cell in cells])
        assert ipynb.read(text).path[0].instruction == LIVE
        assert "\x1b" not in shown
        assert "\u202e" not in words
    else:
        assert not {"\x1b", "\u202e", "\u200b"} & set(text)
    live = r"<(?:script|img)" if name == "html" else r"<(?:script|img)|!\[|(?<!\\)\]\(|javascript:"
    assert not re.search(live, words)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("x.py", "py"), ("x.IPYNB", "ipynb"), ("a.b.md", "md"), ("x.html", "html"), ("x", "py")),
        ("x.mtpb.jsonl", "mtpb"),
    ],
)
def test_the_suffix_of_a_file_says_its_format(name, kind):
    assert format_for_path(name, Session()) == kind


def test_the_suffix_of_a_language_is_that_of_its_code_and_an_unknown_one_is_said():
    session = Session(language=parse_language("javascript"))
    assert format_for_path("x.js", session) == format_for_path("x", session) == "code"
    for name in ("x.txt", "x.js"):
        with pytest.raises(UsageError, match="no format has the suffix"):
            format_for_path(name, Session())


def test_documents_show_the_pictures_that_the_last_run_left(tmp_path):
    folder, png = tmp_path / "a b.files", b"\x89PNG\r\n\x1a\nrest"
    folder.mkdir()
    (folder / "figure-1.png").write_bytes(png)
    (folder / "evil.svg").write_bytes(b"<svg onload='x'>")
    (folder / "link.png").symlink_to(folder / "figure-1.png")
    (tmp_path / "out.png").write_bytes(png)
    names_left = ("figure-1.png", "evil.svg", "link.png", "../out.png", "gone.png")
    outcome = Outcome(files=tuple(File(name, 1) for name in names_left))
    session = Session().extend((Turn("draw", "draw()"),)).with_outcome(outcome)
    written = {
        kind: export_session(session, kind, tmp_path / f"x.{kind}", str, folder).read_text()
        for kind in ALWAYS
    }
    assert "![figure-1.png](a%20b.files/figure-1.png)" in written["md"]
    data = b64encode(png).decode()
    assert f'<img alt="figure-1.png" src="data:image/png;base64,{data}">' in written["html"]
    nbformat.validate(nbformat.reads(written["ipynb"], as_version=4))
    (shown,) = json.loads(written["ipynb"])["cells"][-1]["outputs"]
    assert shown["data"]["image/png"] == data
    assert all(text.count("figure-1.png") <= 2 and "out.png" not in text for text in written.values())
    assert "svg" not in "".join(written.values())
