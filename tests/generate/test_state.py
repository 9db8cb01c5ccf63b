"""What a prompt says of the state of a program: what is new, within a budget, and the same when verified."""

from dataclasses import replace
from itertools import pairwise

from mtchat.generate.context import TurnRequest, prompt_for
from mtchat.generate.policy import Policy
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.state import (
    BUDGET,
    MENTIONED,
    PARTS,
    count_tokens,
    describe_state,
    name_of,
    told_lines,
)
from mtchat.generate.repair import fix
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.provenance import Rework, Step
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED
from tests.support.generate import CARD, CTRL_C, GREEDY, ScriptedModel, run, taken

STATE = Policy(state=PARTS)


def run_with_state(program: Program) -> Outcome:
    """As `run`, with a line for each number and list that the program leaves."""
    names: dict[str, object] = {}
    outcome = run(program)
    if outcome.ok:
        for chunk in program.chunks:
            exec(chunk.code, {"print": lambda *given: None}, names)
    return replace(outcome, state=tuple(f"{name}: {value!r}" for name, value in names.items()))


def telling(*replies: str, **changes: object) -> TurnGenerator:
    model = ScriptedModel([f"{reply}\n```" for reply in replies])
    generator = TurnGenerator(instruct, model, run_with_state, CARD, "instruct", policy=STATE)
    return replace(generator, **changes)


def messages(generator: TurnGenerator) -> list[str]:
    """The last message of each prompt."""
    assert isinstance(generator.complete, ScriptedModel)
    return generator.complete.contexts


def test_the_next_turn_is_told_the_output_and_the_variables() -> None:
    generator = telling("x = [1]\nprint('one\\ntwo')", "x.append(2)")
    taken(generator, "make x", "add 2")
    assert messages(generator) == [
        "make x",
        "The code so far printed:\none\ntwo\n\nVariables now:\nx: [1]\n\nadd 2",
    ]


def test_only_what_is_new_or_has_changed_is_told() -> None:
    generator = telling("x = [1]\ny = 5", "x.append(2)", "z = 1", "w = 2")
    session = taken(generator, "make both", "add 2", "make z", "make w")
    told = [turn.provenance.state for turn in session.path]
    assert told == [
        "",
        "Variables now:\nx: [1]\ny: 5",
        "Variables now:\nx: [1, 2]",
        "Variables now:\nz: 1",
    ]


def test_later_prompts_begin_with_the_earlier_ones() -> None:
    generator = telling("x = 1\nprint(x)", "y = 2", "z = 3")
    taken(generator, "make x", "make y", "make z")
    assert isinstance(generator.complete, ScriptedModel)
    prompts = [prompt.messages for prompt, _ in generator.complete.asked]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(prompts))


def test_prompts_are_built_again_from_what_the_turns_record() -> None:
    generator = telling("x = 1\nprint(x)", "y = 2", "z = 3")
    session = taken(generator, "make x", "make y", "make z")
    plain = replace(generator, policy=Policy(), run=None)
    assert list(plain.verify(session)) == [None] * 3
    assert isinstance(generator.complete, ScriptedModel)
    for turn, (prompt, _) in zip(session.path, generator.complete.asked[:3], strict=True):
        base = replace(session, head=turn.parent)
        assert prompt_for(turn.provenance, instruct, base, turn.instruction) == prompt


def test_without_the_parts_nothing_is_told_and_nothing_is_recorded() -> None:
    generator = telling("x = 1\nprint(x)", "y = 2", policy=Policy())
    session = taken(generator, "make x", "make y")
    assert messages(generator) == ["make x", "make y"]
    assert (
        session.path
        == taken(telling("x = 1\nprint(x)", "y = 2", run=run, policy=Policy()), "make x", "make y").path
    )


def test_a_family_that_does_not_show_the_state_gets_none() -> None:
    model = ScriptedModel(["x = 1\n", "y = 2\n"])
    generator = TurnGenerator(codegen, model, run_with_state, CARD, "codegen", policy=STATE)
    session = taken(generator, "make x", "make y")
    assert [turn.provenance.state for turn in session.path] == ["", ""]


def test_parts_can_be_told_alone() -> None:
    outcome = Outcome(outputs=("1\n",), state=("x: int 1",))
    assert describe_state(outcome, {}, "", ["output"]) == "The code so far printed:\n1"
    assert describe_state(outcome, {}, "", ["variables"]) == "Variables now:\nx: int 1"


def test_a_name_in_the_instruction_can_be_told_again() -> None:
    outcome = Outcome(state=("x: int 1", "y: int 2"))
    told = {"x": "x: int 1", "y": "y: int 2"}
    assert describe_state(outcome, told, "print x", PARTS) == ""
    assert describe_state(outcome, told, "print x", [*PARTS, MENTIONED]) == "Variables now:\nx: int 1"


def test_names_of_the_instruction_come_first_and_old_ones_are_dropped_first() -> None:
    lines = tuple(f"name_{number}: list of 3 int [1, 2, 3]" for number in range(40))
    text = describe_state(Outcome(state=lines), {}, "Sum up name_3.", PARTS)
    names = [name_of(line) for line in text.split("\n")[1:]]
    assert names[0] == "name_3"
    assert names[1:] == [f"name_{number}" for number in range(41 - len(names), 40)]
    assert count_tokens(text) <= BUDGET + 4


def test_a_long_output_is_cut_in_the_middle() -> None:
    outcome = Outcome(outputs=("".join(f"line {number}\n" for number in range(1000)),))
    text = describe_state(outcome, {}, "", PARTS)
    assert text.startswith("The code so far printed:\nline 0\nline 1\n")
    assert text.endswith("line 999")
    assert "\n...\n" in text
    assert count_tokens(text) < 80


def test_what_was_printed_is_not_taken_for_what_was_told() -> None:
    assert told_lines(["The code so far printed:\nVariables now:\nx: 1\n\nVariables now:\ny: 2"]) == {
        "y": "y: 2"
    }


def test_a_repaired_turn_keeps_what_was_told_before_it() -> None:
    generator = telling("x = 1", "y = x / 0", "y = x", "z = y")
    session = taken(generator, "make x", "make y")
    fixed = fix(generator, session, GREEDY, 1).session
    assert fixed.path[-1].chunk == "y = x"
    assert fixed.path[-1].provenance.state == "Variables now:\nx: 1"
    taken(generator, "make z", session=fixed)
    assert isinstance(generator.complete, ScriptedModel)
    last = generator.complete.asked[-1][0].messages
    assert [each.content for each in last if each.role == "user"] == [
        "make x",
        "Variables now:\nx: 1\n\nmake y",
        "Variables now:\ny: 1\n\nmake z",
    ]


def test_a_request_can_leave_out_the_state_of_all_turns() -> None:
    generator = telling("x = 1", "y = 2")
    session = taken(generator, "make x", "make y")
    assert isinstance(session.path[-1].provenance, Step)
    bare = TurnRequest(session, "make z", Step(), stateless=True)
    prompt = generator.fitted(bare).prompt
    assert [each.content for each in prompt.messages if each.role == "user"] == ["make x", "make y", "make z"]


def test_what_a_folded_turn_was_told_is_told_again() -> None:
    generator = telling("x = 1", "y = 2", "z = 3")
    session = taken(generator, "make x", "make y")
    folded = session.with_options(
        session.path[1].id, replace(session.options_of(session.path[1].id), context="folded")
    )
    assert generator.step(folded, "make z", GREEDY).provenance.state == "Variables now:\nx: 1\ny: 2"


def test_a_program_that_has_not_run_has_no_state() -> None:
    assert telling().step(Session(), "make x", GREEDY).provenance.state == ""


def test_a_turn_that_is_continued_begins_with_the_prompt_that_it_had() -> None:
    generator = telling("x = 1", f"y = 2\nz = {CTRL_C}3")
    session = taken(generator, "make x", "make y and z")
    assert session.path[-1].status == INTERRUPTED
    request = generator.request_again(session, 2, "make y and z", Rework(of=session.head), GREEDY)
    again = generator.fitted(request).prompt
    assert isinstance(generator.complete, ScriptedModel)
    before, _ = generator.complete.asked[-1]
    assert again.messages == before.messages
    assert again.opening.startswith(before.opening)
    assert again.begun == "y = 2\n"


def test_what_is_told_of_a_failing_program_comes_with_its_error() -> None:
    generator = telling("x = 1\nprint('so far')\n1 / 0", "x = 2")
    taken(generator, "make x", "make it two")
    assert messages(generator)[-1] == (
        "The program so far fails:\n\nturn 1, line 3: ZeroDivisionError: division by zero\n\n"
        "The code so far printed:\nso far\n\nmake it two"
    )
