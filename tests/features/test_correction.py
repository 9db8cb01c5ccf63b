"""Corrections in words: what becomes of the program."""

from dataclasses import replace

import pytest

from mtchat.errors import MtchatError
from mtchat.features.correction.apply import (
    DetectedCorrection,
    apply_correction,
    merge_redefinition,
    rename_correction,
)
from mtchat.features.correction.rename import Rename, can_rename, rename_everywhere
from mtchat.features.understand.rename import parse_rename
from mtchat.generate.edit_code import splice
from mtchat.generate.events import CorrectionFinished, CorrectionStarted, Event
from mtchat.generate.improve import take
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.turn import TurnGenerator
from mtchat.session.navigation import last_correction, redo_steps, undo_steps
from mtchat.session.provenance import Correction as CorrectionRecord
from mtchat.session.session import Session
from mtchat.session.turn import COMPLETE, EDITED, INTERRUPTED, KEPT, Turn, TurnOptions
from mtchat.store.events import History, apply_event, as_read_back, list_changes
from tests.support.generate import CTRL_C, GREEDY, chunks, run, scripted_generator, statuses


def talk(*turns: tuple[str, str]) -> Session:
    return Session().extend(tuple(Turn(instruction, chunk) for instruction, chunk in turns))


def corrected_as(generator: TurnGenerator, session: Session, wish: str, number: int = 1) -> Session:
    """The session with a turn changed."""
    return apply_correction(generator, session, DetectedCorrection(number, wish), GREEDY)


def renamed(session: Session, wish: str) -> Session:
    """The session with a name changed, for which no model is asked."""
    rename = parse_rename(session.path, wish)
    assert rename is not None
    correction = rename_correction(rename, session.path, wish)
    return apply_correction(scripted_generator(), session, correction, GREEDY)


def stepped(generator: TurnGenerator, session: Session, wish: str) -> Session:
    """The session after a next step, whose function may take the place of an earlier one."""
    return merge_redefinition(generator, session, take(generator, session, wish, GREEDY))


COUNTING = talk(
    ("write count", "def count(text):\n    return text.count('a')"), ("print it", "print(count('aA'))")
)


RENAMED = [
    ("total = 1  # the total\nprint('total', total)", "sums = 1  # the total\nprint('total', sums)"),
    (
        "total = 1\nprint(f'total {total:>{total}} {{total}}')",
        "sums = 1\nprint(f'total {sums:>{sums}} {{total}}')",
    ),
    ("def f(total):\n    return total\nf(total=2)", "def f(sums):\n    return sums\nf(sums=2)"),
    (
        "class A:\n    def total(self):\n        return self.total",
        "class A:\n    def sums(self):\n        return self.sums",
    ),
    (
        "total = 1\ndef f():\n    global total\n    total += 1",
        "sums = 1\ndef f():\n    global sums\n    sums += 1",
    ),
    ("total = 1\nx = {'total': total}['total']", "sums = 1\nx = {'total': sums}['total']"),
    ("import math as total\nprint(total.pi)", "import math as sums\nprint(sums.pi)"),
    ("total = 1\nprint(f\"{'total'}{total}\")", "sums = 1\nprint(f\"{'total'}{sums}\")"),
    ("subtotal = 2\ntotal = subtotal", "subtotal = 2\nsums = subtotal"),
    ("print(dict(total=1))\ntotal = 2", "print(dict(total=1))\nsums = 2"),
    (
        "class A:\n    total = 1\nprint(getattr(A, 'total'), 'total', hasattr(A, \"total\"))",
        "class A:\n    sums = 1\nprint(getattr(A, 'sums'), 'total', hasattr(A, \"sums\"))",
    ),
    ("total = 1\nprint(getattr(x, 'total'))", "sums = 1\nprint(getattr(x, 'total'))"),
    (
        "class A:\n    __slots__ = ('total', 'total_2')\n    def f(self):\n        self.total = 'total'",
        "class A:\n    __slots__ = ('sums', 'total_2')\n    def f(self):\n        self.sums = 'total'",
    ),
    (
        "total = 1\nprint('%(total)s of total %(total)05d' % locals())",
        "sums = 1\nprint('%(sums)s of total %(sums)05d' % locals())",
    ),
    (
        "total = 1\nprint('{total:>5} total {{total}}'.format(**locals()), '{total}'.format(total=3))",
        "sums = 1\nprint('{sums:>5} total {{total}}'.format(**locals()), '{total}'.format(total=3))",
    ),
    (
        "class total: pass\ndef f(x: 'list[total]', y: list['total']) -> 'total': pass\nz: 'm.total | total'",
        "class sums: pass\ndef f(x: 'list[sums]', y: list['sums']) -> 'sums': pass\nz: 'm.total | sums'",
    ),
    (
        "total = 1\ndef f(x: Literal['total'], y: 'the total'): return total",
        "sums = 1\ndef f(x: Literal['total'], y: 'the total'): return sums",
    ),
    ("total = 1\nprint(globals()['total'])", "sums = 1\nprint(globals()['sums'])"),
    ("total = 1\nprint('{total}'.format_map(vars()))", "sums = 1\nprint('{sums}'.format_map(vars()))"),
]


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_a_rename_changes_the_name_and_nothing_that_is_only_spelled_like_it(old: str, new: str) -> None:
    assert rename_everywhere(Rename("total", "sums"), (Turn("do it", old),)) == (new,)


@pytest.mark.parametrize(
    ("new", "sign"),
    [("other", "already used in turn 1"), ("class", "not a valid Python name"), ("print", "Python built-in")],
)
def test_a_rename_to_a_name_that_is_taken_or_none_is_refused(new: str, sign: str) -> None:
    session = talk(("set both", "total = 1\nother = 2"))
    with pytest.raises(MtchatError, match=sign):
        renamed(session, f"rename total to {new}")


def test_a_name_that_an_import_gives_gets_another_one_there() -> None:
    session = talk(("import it", "from math import sqrt\nprint(sqrt(4))"))
    made = renamed(session, "rename sqrt to root")
    assert chunks(made) == ["from math import sqrt as root\nprint(root(4))"]


def test_a_rename_that_could_break_the_program_is_refused_with_the_reason() -> None:
    session = talk(("set it", "total = 1"), ("print it", "print(eval('total + 1'))"))
    with pytest.raises(MtchatError, match=r"evaluates text .* in turn 2\)\. Nothing was changed"):
        renamed(session, "rename total to sums")


def test_only_a_name_that_the_program_has_can_be_renamed() -> None:
    session = talk(("set it", "total = 1"), ("print it", "print(len('total'))"))
    assert can_rename(Rename("total", "sums"), session.path)
    assert not can_rename(Rename("len", "sums"), session.path)


def test_a_rename_reaches_every_turn_and_keeps_the_old_branch() -> None:
    session = talk(("set it", "total = 1"), ("other", "x = 2"), ("print it", "print(total)"))
    made = renamed(session, "rename total to balance")
    assert chunks(made) == ["balance = 1", "x = 2", "print(balance)"]
    assert statuses(made) == [EDITED, KEPT, KEPT]
    assert made.path[0].instruction == "set it\nrename total to balance"
    assert made.path[0].corrects == session.path[0].id
    assert chunks(made.move(session.head)) == chunks(session)


@pytest.mark.parametrize(
    ("say", "wanted"),
    [
        ("rename total to sums", ["class A:\n    def total(self): return 1", "sums = A().total()"]),
        (
            "rename the variable total to sums",
            ["class A:\n    def total(self): return 1", "sums = A().total()"],
        ),
        ("rename the method total to sums", ["class A:\n    def sums(self): return 1", "total = A().sums()"]),
    ],
)
def test_a_rename_of_a_method_is_told_from_that_of_a_variable(say: str, wanted: list[str]) -> None:
    session = talk(
        ("add it up", "class A:\n    def total(self): return 1"), ("keep it", "total = A().total()")
    )
    assert chunks(renamed(session, say)) == wanted


def test_kept_checks_follow_a_rename() -> None:
    session = talk(("set it", "total = 1"), ("add", "def f(total): return total"))
    first, second = session.path
    session = session.with_options(
        first.id, TurnOptions(("total == 1", "total is 'total'", "not ("))
    ).with_options(second.id, TurnOptions(("f(total=total) == 1",)))
    made = renamed(session, "rename total to balance")
    assert [made.options_of(turn.id).checks for turn in made.path] == [
        ("balance == 1", "balance is 'total'", "not ("),
        ("f(total=balance) == 1",),
    ]
    assert [session.options_of(turn.id).checks[0] for turn in session.path] == [
        "total == 1",
        "f(total=total) == 1",
    ]


def test_a_correction_takes_the_place_of_the_turn_and_later_turns_keep_their_code() -> None:
    better = "def count(text):\n    return text.lower().count('a')"
    events: list[Event] = []
    made = corrected_as(
        scripted_generator(better, on_event=events.append), COUNTING, "make it case-insensitive"
    )
    assert chunks(made) == [better, "print(count('aA'))"]
    assert statuses(made) == [COMPLETE, KEPT]
    assert made.path[0].instruction == "write count\nmake it case-insensitive"
    assert made.outcome is not None
    assert made.outcome.stdout == "2\n"
    assert [event.number for event in events if isinstance(event, CorrectionStarted)] == [1]
    assert [len(event.changes) for event in events if isinstance(event, CorrectionFinished)] == [1]


def test_marks_of_the_corrected_turn_and_of_later_ones_stay() -> None:
    first, second = COUNTING.path
    session = COUNTING.with_options(first.id, TurnOptions(("count('a') == 1",))).with_options(
        second.id, TurnOptions(context="folded")
    )
    made = corrected_as(scripted_generator("def count(text):\n    return 1"), session, "make it return 1")
    assert [made.options_of(turn.id) for turn in made.path] == [
        TurnOptions(("count('a') == 1",)),
        TurnOptions(context="folded"),
    ]


def test_a_correction_that_changes_nothing_twice_leaves_the_program_as_it_is() -> None:
    same = COUNTING.path[0].chunk
    made = corrected_as(scripted_generator(same, same), COUNTING, "make it better")
    assert made.head == COUNTING.head
    assert chunks(made) == chunks(COUNTING)


def test_a_correction_that_breaks_the_program_is_tried_once_more() -> None:
    session = scripted_generator().execute(COUNTING)
    good = "def count(text):\n    return 7"
    generator = scripted_generator("def count():\n    return 7", good)
    made = corrected_as(generator, session, "make it return 7")
    assert chunks(made)[0] == good
    assert made.path[0].provenance.sampling.temperature > 0
    assert len(made.turns) == 6  # the first try is kept beside it


def test_a_correction_that_breaks_the_program_twice_is_kept_for_the_user_to_judge() -> None:
    session = scripted_generator().execute(COUNTING)
    made = corrected_as(
        scripted_generator("def count():\n    return 7", "def count(): return 8"),
        session,
        "make it return 7",
    )
    assert chunks(made)[0] == "def count():\n    return 7"
    assert made.outcome is not None
    assert not made.outcome.ok


def test_a_named_branch_goes_along_with_a_correction_and_stays_where_nothing_came_of_it() -> None:
    session = COUNTING.name_branch("main")
    made = corrected_as(scripted_generator("def count(text):\n    return 7"), session, "make it return 7")
    assert made.branches == {"main": made.head}
    same = COUNTING.path[0].chunk
    assert corrected_as(scripted_generator(same, same), session, "make it better").branches == {
        "main": COUNTING.head
    }


@pytest.mark.parametrize("family", [codegen, instruct])
def test_an_interrupted_correction_leaves_the_program_as_it_is_and_loses_nothing(family) -> None:
    generator = scripted_generator(f"def count(text):\n    ret{CTRL_C}", family=family)
    made = corrected_as(generator, COUNTING, "make it case-insensitive")
    assert made.head == COUNTING.head
    assert any(turn.status == INTERRUPTED for turn in made.turns)
    assert corrected_as(scripted_generator(CTRL_C), COUNTING, "make it case-insensitive") is COUNTING


@pytest.mark.parametrize("family", [codegen, instruct])
def test_a_correction_is_made_again_byte_for_byte_by_verify(family) -> None:
    reply = "def count(text):\n    return text.lower().count('a')\n\nprint(count('x'))"
    generator = scripted_generator(reply, reply, family=family)
    made = corrected_as(generator, COUNTING, "make it case-insensitive")
    assert list(generator.verify(made)) == [None]


def test_a_turn_that_only_writes_a_function_again_changes_it_where_it_is() -> None:
    again = "def count(text):\n    return 5"
    made = stepped(scripted_generator(again, dry_run=run), COUNTING, "write a count that gives 5")
    assert chunks(made) == [again, "print(count('aA'))"]
    assert made.path[0].instruction == "write count\nwrite a count that gives 5"
    assert any(turn.instruction == "write a count that gives 5" for turn in made.turns)


@pytest.mark.parametrize(
    "reply", ["def count(text):\n    return 5\nprint(count(''))", "def other():\n    pass"]
)
def test_a_turn_that_does_anything_else_as_well_stays_a_turn(reply: str) -> None:
    made = stepped(scripted_generator(reply, family=instruct), COUNTING, "write a thing")
    assert len(made.path) == 3


def test_a_function_written_again_that_earlier_turns_cannot_take_stays_a_turn() -> None:
    again = "def count(text, letter):\n    return text.count(letter)"
    made = stepped(scripted_generator(again, dry_run=run), COUNTING, "write a count of any letter")
    assert chunks(made) == [*chunks(COUNTING), again]


def test_a_correction_that_keeps_what_other_turns_print_is_preferred() -> None:
    total = talk(("set it", "total = 5"), ("say hi", "hi = 'hi'"), ("print it", "print(total)"))
    generator = scripted_generator("hi = 'hello'\ntotal = 0", "hi = 'hello'", family=instruct)
    made = corrected_as(generator, generator.execute(total), "make it hello", 2)
    assert chunks(made) == ["total = 5", "hi = 'hello'", "print(total)"]


def test_another_function_of_the_same_name_does_not_take_the_place_of_the_earlier_one() -> None:
    another = "def count(text):\n    return 9 * len(text.split())"
    generator = scripted_generator(another, dry_run=run)
    made = stepped(generator, COUNTING, "write a function for the length of a text in words")
    assert chunks(made) == [*chunks(COUNTING), another]
    assert made.outcome is not None
    assert [each.name for each in made.outcome.replaced_names] == ["count"]


SPLICED = [
    (
        "def f():\n    return 1\n\nprint(f())",
        "def f():\n    return 2",
        "def f():\n    return 2\n\nprint(f())",
    ),
    ("def f():\n    return 1", "def f():\n    return 2\n\nprint(f())", "def f():\n    return 2"),
    ("x = 1", "y = 5\nx = 2", "x = 2"),
    ("x = 1", "x = 2\nprint(x)", "x = 2\nprint(x)"),
    ("a = 1\nb = 2", "b = 3", "a = 1\nb = 3"),
    ("a = 1", "import sys\na = 2", "a = 2"),
    ("a = 1", "import sys\na = sys.maxsize", "import sys\na = sys.maxsize"),
    ("def f(): pass\ndef g(): pass", "import os\ndef g(): os.x", "import os\ndef f(): pass\ndef g(): os.x"),
    ("a = 1; b = 2", "a = 5", "a = 5; b = 2"),
    ("a = 1; b = 2  # both", "b = 5", "a = 1; b = 5  # both"),
    ("a = 1  # one\nprint(a)", "a = 5", "a = 5  # one\nprint(a)"),
    ("a.x = 1; b = 2", "a.x = 5", "a.x = 5; b = 2"),
    ("a['x'] = 1; a['y'] = 2", "a['y'] = 5", "a['x'] = 1; a['y'] = 5"),
    ("a = 1; a += 1; b = 2", "a += 5", "a = 1; a += 5; b = 2"),
    ("a = 1; a += 1; b = 2", "a = 5", "a = 5; a += 1; b = 2"),
    ("a += 1; b = 2", "a = 5", "a = 5; b = 2"),
    ("for i in b: a = i\nc = 2", "a = 5", "a = 5"),
    ("a: int = 1; b = 2", "a: int = 5", "a: int = 5; b = 2"),
    ("a, b = 1, 2\nprint(b)", "a = 5", "a, b = 1, 2\na = 5\nprint(b)"),
    ("a, b = 1, 2\nprint(b)\nc = 3", "a = 5\nb = 6", "a = 5\nb = 6\nprint(b)\nc = 3"),
    ("a = 1\nb = 2\nc = 3", "a, b = f()", "a, b = f()\nc = 3"),
    (
        "'What it is.'\nfrom __future__ import annotations\na = 1\nb = 2",
        "import os\na = os.x",
        "'What it is.'\nfrom __future__ import annotations\nimport os\na = os.x\nb = 2",
    ),
    ("import osx\na = 1\nb = 2", "import os\na = os.x", "import os\nimport osx\na = os.x\nb = 2"),
    (
        "class A:\n    x = 1  # one\n\n    @p\n    def f(self):\n        return 1\n\n"
        "    # g\n    def g(self): pass\n\nA()",
        "class A:\n    @q\n    def f(self):\n        return 2",
        "class A:\n    x = 1  # one\n\n    @q\n    def f(self):\n        return 2\n\n"
        "    # g\n    def g(self): pass\n\nA()",
    ),
    (
        "class A(B):\n    'Say.'\n    x = 1\n    y = (\n1)\n    async def f(self): pass",
        "class A(B):\n    'What.'\n    async def f(self): return 2",
        "class A(B):\n    'Say.'\n    x = 1\n    y = (\n1)\n    async def f(self): return 2",
    ),
    (
        "# a\nclass A:\n    x = 1\n    y = 2\n\n# b",
        "class A:\n    y = 3\n",
        "# a\nclass A:\n    x = 1\n    y = 3\n\n# b",
    ),
    ("class A:\n    x = 1\n    y = 2", "class A(B):\n    y = 3", "class A(B):\n    y = 3"),
    ("class A:\n    x = 1\n    y = 2", "class A:\n    y = 3\n    z = 4", "class A:\n    y = 3\n    z = 4"),
    ("class A:\n    x = 1; y = 2", "class A:\n    y = 3", "class A:\n    x = 1; y = 3"),
    ("class A:\n    x = 1\n    y = 2", "class A:\n  y = 3", "class A:\n    x = 1\n    y = 3"),
    (
        "class A:\n\tx = 1; y = 2  # both\n\tdef f(self): pass",
        "class A:\n    def f(self):\n        return '''\n    a'''\n    y = 3",
        "class A:\n\tx = 1; y = 3  # both\n\tdef f(self):\n\t    return '''\n    a'''",
    ),
    ("class A: x = 1; y = 2", "class A:\n    y = 3", "class A: x = 1; y = 3"),
    (
        "class A:\n    def __init__(self):\n        self.x = 1  # one\n\n"
        "    def f(self): pass  # f\n\na = A()",
        "class A:\n  def g(self):\n    return self.x\n  def f(self): return 2",
        "class A:\n    def __init__(self):\n        self.x = 1  # one\n\n    def f(self): return 2\n\n"
        "    def g(self):\n      return self.x\n\na = A()",
    ),
    (
        "@d\nclass A:\n    x: int\n    y: int = 2",
        "@d\nclass A:\n    def f(self): return self.x",
        "@d\nclass A:\n    x: int\n    y: int = 2\n\n    def f(self): return self.x",
    ),
    (
        "class A: x = 1; y = 2  # both",
        "class A:\n  def f(self):\n    return 1",
        "class A:\n    x = 1; y = 2  # both\n\n    def f(self):\n      return 1",
    ),
    ("a = 1; b = 'é'; c = 3 # ä\r\nd = 4\r\n", "b = 5", "a = 1; b = 5; c = 3 # ä\r\nd = 4\r\n"),
    ("a = 1 + \\\n  2; b = (\n3)\nc = 1", "a = 5", "a = 5; b = (\n3)\nc = 1"),
    ("a = (", "a = 2", "a = 2"),
    ("a = 1", "", ""),
]


@pytest.mark.parametrize(("old", "new", "wanted"), SPLICED)
def test_what_a_model_wrote_takes_the_place_of_what_it_means(old: str, new: str, wanted: str) -> None:
    assert splice(old, new, "y = 5\n", whole=False) == wanted


def test_what_is_to_be_removed_is_not_put_back() -> None:
    assert splice("x = 1\nprint(x)", "x = 1", "", whole=True) == "x = 1"
    assert splice("class A:\n    x = 1\n    y = 2", "class A:\n    x = 1", "", whole=True) == (
        "class A:\n    x = 1"
    )


def corrected() -> Session:
    return corrected_as(scripted_generator("def count(text):\n    return 9"), COUNTING, "make it return 9")


def test_undo_of_a_correction_goes_back_to_the_turns_as_they_were_and_redo_brings_it_back() -> None:
    made = corrected()
    back, left = undo_steps(made)
    assert back.head == COUNTING.head
    assert [turn.instruction for turn in left] == ["write count\nmake it return 9"]
    again, brought = redo_steps(back)
    assert again.head == made.head
    assert brought == left
    assert chunks(undo_steps(again)[0]) == chunks(COUNTING)


def test_undo_of_a_turn_after_a_correction_takes_that_turn_alone() -> None:
    made = take(scripted_generator("x = 1"), corrected(), "set x", GREEDY)
    assert chunks(undo_steps(made)[0]) == chunks(corrected())
    assert chunks(undo_steps(made, 2)[0]) == chunks(COUNTING)
    assert chunks(undo_steps(made, 3)[0]) == chunks(COUNTING)[:1]
    assert redo_steps(undo_steps(made, 2)[0], 2)[0].head == made.head


@pytest.mark.parametrize("steps", [4, 9**9])
def test_undo_of_more_steps_than_there_are_is_refused(steps: int) -> None:
    with pytest.raises(MtchatError, match=f"cannot undo {steps}: the program has 3 turns"):
        undo_steps(corrected(), steps)
    with pytest.raises(MtchatError, match="nothing to undo"):
        undo_steps(Session())


def test_a_correction_comes_back_from_its_file_and_can_be_undone_then() -> None:
    made = corrected()
    undone = undo_steps(made)[0]
    for before, after in [(Session(), made), (made, undone)]:
        history = History(before)
        for event in list_changes(before, after):
            history = apply_event(history, as_read_back(event))
        assert history.session == after
        assert last_correction(history.session) == last_correction(after)


def test_turns_from_before_corrections_keep_their_ids() -> None:
    turn = Turn("set x", "x = 1")
    assert replace(turn, provenance=CorrectionRecord(of="other")).id != turn.id
    assert turn.id == "6868e1f43ed0ef1fd3b878ec1b00e153"
