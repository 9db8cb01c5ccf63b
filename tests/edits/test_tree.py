"""Trees know the place of every node, whatever the code is written like; broken code is refused."""

import subprocess
import sys

import pytest
from libcst import Name

from mtchat.edits.text import TextEdit, apply_edits
from mtchat.edits.tree import BrokenCodeError, can_edit, parse_tree, walk

CODES = (
    "a = 1\r\nif a:\r\n\ta = 2\r\n",
    "a = 1\ra = 2\r",
    "\ufeffa = 1\n" if can_edit("\ufeffa = 1\n") else "a = 1\n",
    "\x0ca = 1\n\x0c\nif a: \x0c a\n",
    "é = 'ü'; a = 'ö' + a  # ä\n",
    "(a) = ((  a))\n( # c\n a )\n",
    "if a: a; a = 1;  # why\n",
    "@a\nclass A(a): a: a = a\n",
    "a = \\\n  a\n",
    'f\'{a}{a!r:>{a}}\' f"""{\n a }"""',
    'f"{a["b"]}{\'\\n\'}"',  # Python 3.12
    "type a = a\ndef a[a](): pass",  # Python 3.12
    "try: pass\nexcept a, a: pass",  # Python 3.14
    "t'{a}'",  # Python 3.14
    "if a:\n  if a: \n\t  for a in a:\n\t\t  a = '''\n\ta'''\n\t  if a: a = '\ta\t'\n  a",
    "match a:\n    case a(a=1) | [a, *_]: pass",
    "\ta = 1" if can_edit("\ta = 1") else "a",
    "",
)


@pytest.mark.parametrize("code", CODES)
def test_each_name_is_found_where_it_is(code: str) -> None:
    tree = parse_tree(code)
    spans = [tree.span(each) for each in walk(tree.module) if isinstance(each, Name)]
    assert all(code[span.start : span.end].isidentifier() for span in spans)
    made = apply_edits(code, [TextEdit(span.start, span.end, "renamed") for span in spans])
    assert made.count("renamed") == len(spans)
    assert apply_edits(made, []) == made


@pytest.mark.parametrize(
    "code", ["a = (", "if a:\npass", "x = '\ud800'", "print 1", "a\0", "if a:\n\tb\n        c"]
)
def test_code_that_is_not_python_is_refused(code: str) -> None:
    with pytest.raises(BrokenCodeError):
        parse_tree(code)


@pytest.mark.parametrize(
    "code",
    [
        "(" * 10**5,
        "-" * 10**5 + "1",
        "a" + ".b" * 10**5,
        "1" + "+1" * 10**5,
        "if a: b\n" + "elif a: b\n" * 10**4,
    ],
)
def test_code_that_is_nested_too_deeply_is_refused_and_crashes_nothing(code: str) -> None:
    with pytest.raises(BrokenCodeError):
        assert parse_tree(code).places


def test_edits_of_the_same_text_are_not_made_twice() -> None:
    assert apply_edits("abc", [TextEdit(1, 2, "x"), TextEdit(1, 2, "x"), TextEdit(0, 0, "y")]) == "yaxc"
    with pytest.raises(AssertionError):
        apply_edits("abc", [TextEdit(0, 2, "x"), TextEdit(1, 3, "y")])


DEEP = """
import itertools, threading
from mtchat.edits.tree import BrokenCodeError, parse_tree
made = []
def parse():
    shapes = [("-", "1"), ("lambda: ", "1"), ("2 ** ", "2"), ("", "a" + ".b" * 2000), ("1 if a else ", "2")]
    for (start, end), times in itertools.product(shapes, (50, 150, 250, 400, 900, 3000)):
        try:
            made.append(bool(parse_tree(start * times + end).places))
        except (BrokenCodeError, RecursionError):
            made.append(False)
threading.stack_size(1024 * 1024)
thread = threading.Thread(target=parse)
thread.start()
thread.join()
print(sum(made), len(made))
"""


@pytest.mark.slow
def test_deep_code_crashes_nothing_in_a_thread_with_a_small_stack() -> None:
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    read, tried = map(int, done.stdout.split())
    assert 4 <= read < tried == 30
