"""Literals by their roles: what a change of code has replaced, and where else the same thing is."""

import random

import pytest

from mtchat.edits.literals import LiteralChange, apply_change, differs_in_literals_only, literal_changes

CHANGES = [
    ("x = range(100)", "x = range(1000)", [("argument 1 of range", "100", "1000")]),
    ("r = {'pay': 1}", "r = {'wage': 1}", [("key", "pay", "wage")]),
    ("print(f'{x} EUR')", "print(f'{x} GBP')", [("text", "EUR", "GBP")]),
    ("print(f'{x:.2f}')", "print(f'{x:.4f}')", [("format", ".2f", ".4f")]),
    ("f(sep=',')", "f(sep=';')", [("argument sep of f", ",", ";"), ("text", ",", ";")]),
    ("x = n > 5", "x = n > 6", [("compared with n", "5", "6")]),
    ("x = 5 * n", "x = 6 * n", [("Multiply before n", "5", "6")]),
    ("def f(n=5): pass", "def f(n=6): pass", [("default of n", "5", "6")]),
    ("x = range(100) + range(100)", "x = range(100) + range(7)", []),
    ("x = 1", "x = 1  # one", []),
    ("x = (", "x = 1", []),
]


@pytest.mark.parametrize(("old", "new", "found"), CHANGES)
def test_a_change_tells_which_literals_it_replaced_in_which_role(old: str, new: str, found: list) -> None:
    assert [(each.role, each.old, each.new) for each in literal_changes(old, new)] == found


PAY = LiteralChange("key", "pay", "wage")
UNIT = LiteralChange("text", "EUR", "GBP", whole=False)
HUNDRED = LiteralChange("argument 1 of range", "100", "7", number=True)
APPLIED = [
    (HUNDRED, "a = range(100); b = 100", "a = range(7); b = 100"),
    (PAY, "print(r['pay'], 'pay', s.pay)", "print(r['wage'], 'pay', s.pay)"),
    (UNIT, "print(f'{EUR} EUR, EUROPE')", "print(f'{EUR} GBP, EUROPE')"),
    (LiteralChange("text", ",", ";", whole=False), "print('a, b', ',')", "print('a, b', ';')"),
    (LiteralChange("text", "a", "'", whole=False), "print('a')", "print('a')"),
]


@pytest.mark.parametrize(("change", "code", "made"), APPLIED)
def test_a_literal_is_replaced_in_its_role_alone(change: LiteralChange, code: str, made: str) -> None:
    assert apply_change(code, change) == made


def test_a_key_is_never_replaced_within_a_text() -> None:
    made = apply_change("print('the pay', r.get('pay'))", PAY, anywhere=True)
    assert made == "print('the pay', r.get('wage'))"


def test_only_literals_may_differ_where_a_change_is_carried() -> None:
    assert differs_in_literals_only("print(f'{x:.2f} C', 1)", "print(f'{x:.1f} K',  2)")
    assert not differs_in_literals_only("print(x)", "print(y)")
    assert not differs_in_literals_only("print('x')", "print('x', 1)")


def test_what_is_not_replaced_stays_byte_for_byte() -> None:
    draw = random.Random(5)
    parts = [
        "print( 'ä EUR' )  # EUR",
        "x=range( 100 )",
        "y = {'EUR':100}",
        "z = f'{x}  EUR {y!r:>4}'",
        "é = '''a\n b'''",
    ]
    for _ in range(30):
        chosen = [draw.choice(parts) for _ in range(6)]
        made = apply_change("\n".join(chosen), UNIT)
        told = {parts[0]: "print( 'ä GBP' )  # EUR", parts[3]: "z = f'{x}  GBP {y!r:>4}'"}
        assert made == "\n".join(told.get(part, part) for part in chosen)
