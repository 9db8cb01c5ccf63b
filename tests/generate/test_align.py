"""How a program that was written at once is divided among the steps that it answers."""

from contextlib import redirect_stdout
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyflakes.api import check
from pyflakes.reporter import Reporter

from mtchat.generate.align import ProgramPart, divide, part_for
from mtchat.session.turn import Turn

VOTES = "# The votes.\nvotes = {'Mimi': 3, 'Tiger': 8}\n\n"
RANKING = "names = list(votes)\nranking = sorted(names, key=votes.get, reverse=True)\n\n\n"
SHOWN = "# Print the first.\nprint(ranking[:1])"


def steps(*pairs: tuple[str, str]) -> list[Turn]:
    return [Turn(wish, chunk) for wish, chunk in pairs]


def spans(parts: tuple[ProgramPart, ...]) -> list[tuple[int, int]]:
    return [(part.first, part.last) for part in parts]


def test_a_statement_goes_to_the_step_that_binds_its_names():
    found = divide(
        VOTES + RANKING + SHOWN,
        steps(("keep the votes", "votes = {}"), ("rank them", "ranking = [1]"), ("show", "print(ranking)")),
    )
    assert [part.code for part in found] == [VOTES.strip(), RANKING.strip(), SHOWN]


def test_words_of_the_instruction_speak_for_a_step_without_code():
    found = divide(
        VOTES + RANKING + SHOWN,
        steps(("keep these votes", ""), ("make a ranking of the names", ""), ("print the first", "")),
    )
    assert [part.code for part in found] == [VOTES.strip(), RANKING.strip(), SHOWN]


def test_what_is_defined_belongs_to_the_first_step_that_names_it():
    functions = "def pack(s):\n    return s + s\n\ndef unpack(s):\n    return s[: len(s) // 2]"
    code = f"{functions}\n\nword = 'hi'\nt = pack(word)"
    wishes = steps(
        ("write pack, which doubles a text", ""),
        ("a function unpack that undoes what pack does", ""),
        ("the text in word is 'hi'", ""),
        ("call pack with word and keep it as t", ""),
    )
    assert spans(divide(code, wishes)) == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_name_that_is_new_stays_with_the_step_that_its_comment_or_call_speaks_of():
    frame = "# Make a frame.\ndf = Frame([1])"
    code = f"# Import.\nimport csv\n\n{frame}\n\n# The means.\nmeans = df.mean()\nprint(means)"
    wishes = steps(
        ("import csv", "import csv"),
        ("make a frame", "data = Frame([1])"),
        ("compute the means", "means = data.mean()"),
        ("print", "print(means)"),
    )
    assert spans(divide(code, wishes)) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert spans(divide(code.replace("# Make a frame.\n", ""), wishes)) == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_change_shares_the_part_of_what_it_changes():
    code = "def fee(n):\n    return n - 10\n\nend = fee(3)\nprint(end)"
    wishes = steps(
        ("write fee", "def fee(n):\n    return n"),
        ("change fee so that 10 are taken", "def fee(n):\n    return n - 10"),
        ("calculate end", "end = fee(3)"),
        ("print it", "print(end)"),
    )
    assert spans(divide(code, wishes)) == [(1, 2), (3, 3), (4, 4)]


def test_a_step_without_a_statement_goes_to_the_neighbour_that_has_its_names():
    code = "numbers = [3, 1]\nnumbers.sort()\ntop = max(numbers)\nprint(top)"
    wishes = steps(("numbers", "numbers = [3, 1]"), ("best", "best = max(numbers)"), ("print", "print(top)"))
    assert spans(divide(code, wishes)) == [(1, 2), (3, 3)]


@pytest.mark.parametrize(
    "code",
    [
        "print(sum([1, 2]))",
        "x = 1; print(x)",
        "from __future__ import annotations\nx = 1\nprint(x)",
        "x = (",
        "",
    ],
    ids=["one statement", "one line", "future", "broken", "empty"],
)
def test_what_cannot_be_divided_is_one_part(code: str):
    wishes = steps(("set x", "x = 1"), ("print x", "print(x)"))
    assert divide(code, wishes) == (ProgramPart(1, 2, code),)


def test_decorators_and_comments_stay_with_their_statement():
    function = "# Cached.\n@functools.cache\ndef f():\n    return 1"
    code = f"import functools\n{function}\n\nprint(f())  # shown\n# The end."
    wishes = steps(("import", "import functools"), ("write f", "def f(): pass"), ("print", "print(f())"))
    assert [part.code for part in divide(code, wishes)] == [
        "import functools",
        function,
        "print(f())  # shown\n# The end.",
    ]


def test_a_part_is_found_again_by_its_steps():
    wishes = steps(("set x", "x = 1"), ("print x", "print(x)"))
    assert part_for("x = 2\nprint(x)", wishes, 2, 2) == "print(x)"
    assert part_for("x = 2\nprint(x)", wishes, 1, 2) == "x = 2\nprint(x)"
    assert part_for("print(2)", wishes, 2, 2) == ""


NAMES = st.sampled_from("abcdef")
STATEMENTS = st.one_of(
    st.builds("{0} = {1}".format, NAMES, st.integers(0, 9)),
    st.builds("{0} = [{1}]\n{0}.append({2})".format, NAMES, st.integers(0, 9), st.integers(0, 9)),
    st.builds("# Say {0}.\nprint('{0}')".format, NAMES),
    st.builds("def get_{0}():\n    # {0}\n\n    return '''\n\n{0}'''\n\n\nprint(get_{0}())".format, NAMES),
    st.builds("for {0} in range(2):\n    print({0})".format, NAMES),
    st.builds("{0} = 1; print({0})".format, NAMES),
)
PROGRAMS = st.lists(STATEMENTS, min_size=1, max_size=8)


def lines_of(code: str) -> list[str]:
    return [line for line in code.split("\n") if line.strip()]


def said(chunks: list[str]) -> str:
    names: dict[str, object] = {}
    with redirect_stdout(StringIO()) as out:
        for chunk in chunks:
            exec(chunk, names)
    return out.getvalue()


def complaints(code: str) -> str:
    found = StringIO()
    check(code, "program", Reporter(found, found))
    return "\n".join(line.split(" ", 1)[1] for line in found.getvalue().splitlines())


@given(PROGRAMS, PROGRAMS, st.data())
def test_each_line_is_in_one_part_and_the_parts_do_what_the_program_does(new, old, data):
    gaps = data.draw(
        st.lists(st.sampled_from(["\n", "\n\n", "\n\n\n"]), min_size=len(new), max_size=len(new))
    )
    code = "".join(part + gap for part, gap in zip(new, gaps, strict=True))
    turns = [Turn(f"step {chunk[:5]}", chunk) for chunk in old]
    found = divide(code, turns)
    chunks = [part.code for part in found]
    numbers = [number for part in found for number in range(part.first, part.last + 1)]
    assert numbers == list(range(1, len(turns) + 1))
    assert lines_of("\n".join(chunks)) == lines_of(code)
    assert all(chunk.strip() for chunk in chunks)
    assert said(chunks) == said([code])
    assert complaints("\n\n".join(chunks)) == complaints(code)
    assert [part_for(code, turns, part.first, part.last) for part in found] == chunks


def test_comments_that_number_the_steps_are_in_no_part():
    steps = [Turn("set x", "x = 1"), Turn("show x", "print(x)")]
    code = "# Step 1: set x\nx = 2\n\n# Step 2: show x\n# shown as it is\nprint(x)"
    assert [part_for(code, steps, place, place) for place in (1, 2)] == [
        "x = 2",
        "# shown as it is\nprint(x)",
    ]
