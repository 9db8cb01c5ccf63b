"""What a model is told of the turns before: what fits, what is folded or forgotten, and that it is remade."""

from dataclasses import replace

import pytest

from mtchat.errors import MtchatError
from mtchat.features.own_code.user_code import with_user_code
from mtchat.features.regenerate.regenerate import never, regenerate
from mtchat.features.rework.rework import complete_turn
from mtchat.generate.alternatives import retry
from mtchat.generate.context import visible_turns
from mtchat.generate.events import ContextFitted, Event
from mtchat.generate.improve import take
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.repair import fix
from mtchat.generate.rewrite import spread_over_turns
from mtchat.generate.turn import TurnGenerator
from mtchat.session.context import describe_turns, plan_for
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.provenance import ContextPlan, Rewrite
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import FOLDED, FORGOTTEN, INTERRUPTED, KEPT, Turn, TurnOptions
from tests.support.generate import CARD, ScriptedModel, run

BODY = "\n".join(f"    step_{number} = x + {number}" for number in range(20))
CHUNKS = [f"def f_{letter}(x):\n{BODY}\n    return x" for letter in "abcd"]
FAMILIES = [codegen, instruct]
SMALL = Sampling(max_tokens=20)


def words(prompt: Prompt) -> int:
    return len(text(prompt).split())


def text(prompt: Prompt) -> str:
    return prompt.text + "\n".join(message.content for message in prompt.messages)


def generator(
    *replies: str, family=codegen, context: int = 10_000, heard: list[Event] | None = None
) -> TurnGenerator:
    """A synthesizer whose model sees so many words."""
    card = ModelCard("tiny", context=context, fingerprint="f" * 64)
    on_event = (lambda event: None) if heard is None else heard.append
    return TurnGenerator(family, ScriptedModel(list(replies)), run, card, "codegen", on_event, count=words)


def grown(*chunks: str) -> Session:
    turns = (Turn(f"make {place}", chunk) for place, chunk in enumerate(chunks, start=1))
    return Session().extend(tuple(turns))


def marked(session: Session, **contexts: str) -> Session:
    """A session with the context of turns set: `turn_2=FOLDED`."""
    for name, context in contexts.items():
        turn = session.turn_at(int(name.removeprefix("turn_")))
        session = session.with_options(turn.id, TurnOptions(("f_a(1) == 1",), context))
    return session


def contexts(session: Session) -> list[str]:
    return [session.options_of(turn.id).context for turn in session.path]


# What is told


def test_a_folded_turn_is_told_in_short_a_forgotten_one_not_at_all_and_the_program_has_both():
    session = marked(grown(*CHUNKS[:3]), turn_1=FOLDED, turn_2=FORGOTTEN)
    path = visible_turns(session.path, plan_for(session, session.path))
    assert [turn.chunk for turn in path] == ["def f_a(x):\n    ...", CHUNKS[2]]
    assert [chunk.code for chunk in session.program.chunks] == CHUNKS[:3]


def test_with_a_forgotten_turn_go_those_whose_code_it_has():
    kept = replace(Turn("set x", ""), status=KEPT)
    session = Session().extend((Turn("begin", "a = 1"), kept, Turn("all of it", "x = 1\nprint(x)")))
    session = marked(session, turn_3=FORGOTTEN)
    memory = plan_for(session, session.path)
    assert memory == ContextPlan(forgotten=(2, 3))
    shown = text(instruct.render(visible_turns(session.path, memory), "next", "", ""))
    assert "begin" in shown
    assert "set x" not in shown


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((2,), "turn 2"), ((1, 2, 3), "turns 1-3"), ((1, 2, 4, 6, 7), "turns 1-2, 4, 6-7")],
)
def test_numbers_of_turns_are_told_in_spans(numbers: tuple[int, ...], said: str):
    assert describe_turns(numbers) == said


# What fits


@pytest.mark.parametrize("family", FAMILIES)
def test_where_all_does_not_fit_the_oldest_turns_are_folded_and_that_is_said(family):
    heard: list[Event] = []
    whole = words(family.render(grown(*CHUNKS).path, "go on", "", ""))
    small = generator("y = 1\n", family=family, context=whole, heard=heard)
    session = take(small, grown(*CHUNKS), "go on", SMALL)
    (prompt, _), *_ = small.complete.asked
    assert words(prompt) + SMALL.max_tokens <= whole
    folded = session.path[-1].provenance.context.folded
    assert folded == tuple(range(1, len(folded) + 1))
    assert 1 <= len(folded) < len(CHUNKS)
    assert heard[0] == ContextFitted(folded)
    for number, chunk in enumerate(CHUNKS, start=1):
        assert (chunk in text(prompt)) == (number not in folded)
        assert chunk.split("\n")[0] in text(prompt)


def test_what_fits_is_told_whole_and_nothing_is_said():
    heard: list[Event] = []
    session = take(generator("y = 1\n", heard=heard), grown(*CHUNKS), "go on", SMALL)
    assert session.path[-1].provenance.context.folded == ()
    assert not any(isinstance(event, ContextFitted) for event in heard)


def test_what_was_folded_stays_so_and_the_next_context_goes_on_from_the_last():
    whole = words(codegen.render(grown(*CHUNKS).path, "go on", "", ""))
    small = generator("y = 1\n", "z = 2\n", context=whole + 10)
    session = take(small, take(small, grown(*CHUNKS), "go on", SMALL), "and on", SMALL)
    first, second = [prompt.text for prompt, _ in small.complete.asked]
    assert second.startswith(first)
    assert session.path[-1].provenance.context.folded == session.path[-2].provenance.context.folded != ()


def test_with_a_model_that_sees_more_all_is_told_whole_again():
    whole = words(codegen.render(grown(*CHUNKS).path, "go on", "", ""))
    session = take(generator("y = 1\n", context=whole), grown(*CHUNKS), "go on", SMALL)
    assert take(generator("z = 2\n"), session, "go on", SMALL).path[-1].provenance.context.folded == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_cannot_be_made_to_fit_is_refused_with_the_ways_out_and_nothing_is_asked(family):
    session = grown(*CHUNKS)
    least = words(family.render(visible_turns(session.path, ContextPlan((1, 2, 3, 4))), "go on", "", ""))
    small = generator("y = 1\n", family=family, context=least + 10)
    with pytest.raises(MtchatError) as refusal:
        take(small, session, "go on", SMALL)
    assert small.complete.asked == []
    for sign in (
        f"needs {least} tokens",
        "window of tiny is",
        "/fold",
        "/forget",
        "/recap",
        "/set max_tokens 10",
    ):
        assert sign in str(refusal.value)
    assert take(small, session, "go on", replace(SMALL, max_tokens=10)).path[-1].chunk == "y = 1"


def test_an_instruction_that_is_too_long_alone_is_told_to_be_shortened():
    with pytest.raises(MtchatError, match="shorten the instruction"):
        take(generator("y = 1\n", context=30), Session(), "word " * 40, SMALL)


def test_a_reply_that_may_be_longer_than_the_context_is_promised_half_of_it():
    session = take(generator("y = 1\n", context=60), Session(), "go on", Sampling(max_tokens=100_000))
    assert session.path[-1].chunk == "y = 1"


def test_a_turn_that_is_mended_is_told_whole_though_it_is_folded_or_forgotten():
    failing = f"{CHUNKS[0]}\nf_a(1)[0]\n{CHUNKS[1]}"
    for context in (FOLDED, FORGOTTEN):
        session = marked(grown(CHUNKS[2], failing), turn_1=FOLDED, turn_2=context)
        session = session.with_outcome(run(session.program))
        bench = generator("y = 1\n")
        fixed = fix(bench, session, SMALL, rounds=1).session
        (prompt, _), *_ = bench.complete.asked
        assert failing in prompt.text
        assert CHUNKS[2] not in prompt.text
        tried = next(turn for turn in fixed.turns if turn.replaces)
        assert (tried.provenance.context.folded, tried.provenance.context.forgotten) == ((1,), ())
        assert list(bench.verify(fixed.move(tried.id), {tried.id})) == [None]


# What is remade


@pytest.mark.parametrize("family", FAMILIES)
def test_a_turn_is_made_again_from_what_was_told_whatever_is_laid_down_later(family):
    bench = generator("y = 1\n", "z = 2\n", "v = 3\n", family=family)
    session = marked(grown(*CHUNKS[:3]), turn_1=FOLDED, turn_3=FORGOTTEN)
    session = take(bench, session, "go on", SMALL)
    session = take(bench, session, "go on", SMALL)
    assert [
        (turn.provenance.context.folded, turn.provenance.context.forgotten) for turn in session.path[3:]
    ] == 2 * [((1,), (3,))]
    later = marked(session, turn_1="", turn_2=FOLDED, turn_3="", turn_4=FORGOTTEN)
    only = {turn.id for turn in session.path[3:]}
    assert list(bench.verify(later, only)) == [None, None]
    assert len(bench.complete.said) == 2


def test_a_turn_with_all_told_keeps_the_id_it_had_before_there_was_folding():
    assert Turn("do", "x = 1").id == "97a5f51607842c918929aa70b729d08c"


def test_what_was_told_of_the_turns_before_makes_another_turn():
    turn = Turn("do", "x = 1")
    told_less = replace(turn, provenance=replace(turn.provenance, context=ContextPlan((1,))))
    assert (
        len(
            {
                turn.id,
                told_less.id,
                replace(turn, provenance=replace(turn.provenance, context=ContextPlan((), (1,)))).id,
            }
        )
        == 3
    )


# What is laid down stays


def test_edits_retries_branches_and_undo_keep_what_was_laid_down_about_turns():
    bench = generator("y = 1\n", "v = 2\n", "w = 3\n")
    session = take(bench, marked(grown(*CHUNKS[:3]), turn_1=FOLDED, turn_2=FORGOTTEN), "go on", SMALL)
    session = marked(session, turn_4=FOLDED)
    laid = [FOLDED, FORGOTTEN, "", FOLDED]
    assert contexts(session) == laid
    assert contexts(session.undo(2).redo(2)) == laid
    assert contexts(retry(bench, session, SMALL)) == laid
    for made in (take(bench, session.undo(3), "another", SMALL), with_user_code(session, 1, "f_a = abs")):
        derived = regenerate(session, made, lambda on, turn: on, decide=never)
        assert contexts(derived.session) == laid
    assert contexts(session.name_branch("one").undo().extend((Turn("other", "x = 1"),))) == [*laid[:3], ""]


def test_a_card_of_a_model_that_nothing_is_known_of_still_takes_turns():
    assert take(TurnGenerator(codegen, ScriptedModel(["x = 1\n"]), run, CARD), Session(), "set x", SMALL).path


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_says_folded_code_again_does_not_undo_it(family):
    brief = "def f_a(x):\n    ..."
    bench = generator(f"{brief}\nprint(f_a(2))\n", family=family)
    session = take(bench, marked(grown(CHUNKS[0]), turn_1=FOLDED), "show it", SMALL)
    assert session.path[-1].chunk == "print(f_a(2))"
    assert session.outcome is not None
    assert session.outcome.stdout == "2\n"
    assert list(bench.verify(session, {session.head})) == [None]


def test_turns_of_a_program_written_again_keep_what_was_laid_down():
    session = marked(grown(*CHUNKS[:2]), turn_1=FOLDED, turn_2=FORGOTTEN)
    code = "\n\n".join(CHUNKS[:2])
    again = Turn(session.path[-1].instruction, code, provenance=Rewrite(of=session.head))
    assert contexts(spread_over_turns(session, again)) == [FOLDED, FORGOTTEN]
    assert contexts(spread_over_turns(session, again, together=True)) == [""]


@pytest.mark.parametrize("half", [True, False])
def test_a_turn_that_is_reworked_is_told_what_is_laid_down_and_is_made_again(half: bool):
    last = Turn("count", "x = 1\nfor n in ra" if half else "def size():\n    pass  # TODO\n")
    if half:
        last = replace(last, status=INTERRUPTED)
    session = grown(*CHUNKS[:2]).extend((last,))
    session = marked(session, turn_1=FOLDED, turn_2=FORGOTTEN)
    session = session if half else session.with_outcome(run(session.program))
    bench = replace(generator("def size():\n    return 1\n"), dry_run=run)
    finished = complete_turn(bench, session, 3, SMALL).session
    (prompt, _), *_ = bench.complete.asked
    assert "def f_a(x):\n    ..." in prompt.text
    assert "f_b" not in prompt.text
    written = next(turn for turn in finished.turns if turn.replaces)
    assert (written.provenance.context.folded, written.provenance.context.forgotten) == ((1,), (2,))
    assert list(bench.verify(finished.move(written.id), {written.id})) == [None]
