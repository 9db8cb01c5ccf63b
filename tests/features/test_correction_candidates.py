"""Changes that are in doubt: several candidates are run as parts of the whole program, and one is chosen."""

from dataclasses import dataclass, field, replace

import pytest

from mtchat.features.correction.apply import DetectedCorrection, apply_correction
from mtchat.generate.events import (
    CandidateChosen,
    CandidatesStarted,
    CorrectionFinished,
    Event,
    LaterTurnChanged,
)
from mtchat.generate.policy import PLAIN, Policy
from mtchat.generate.prompt.families import instruct
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import Program
from mtchat.session.provenance import Correction
from mtchat.session.session import Session
from mtchat.session.turn import COMPLETE, KEPT, Turn, TurnOptions
from tests.support.generate import (
    CARD,
    GREEDY_64,
    KeyedModel,
    chunks,
    run,
    run_with_variables,
    scripted_generator,
    statuses,
)

SAMPLES = Policy(samples=3)
SURE = Policy(samples=3, confidence_threshold=-0.5)  # each completion has -0.1
NUMBERS = ("take numbers", "numbers = [3, 9, 1, 5]")
MEAN = (NUMBERS, ("compute the mean", "center = sum(numbers) / 4"), ("print it", "print(center)"))
WISH = "use the median instead"
MEDIAN = "center = (sorted(numbers)[1] + sorted(numbers)[2]) / 2"
ALSO_MEDIAN = "ordered = sorted(numbers)\ncenter = sum(ordered[1:3]) / 2"
HIGH_MEDIAN = "center = sorted(numbers)[2]"
FAILS = "center = median(numbers)"


@dataclass
class Change:
    """A change of a program by a model with these replies, and what was seen of it."""

    replies: list[str]
    policy: Policy = SAMPLES
    stops_at: str = ""
    events: list[Event] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    def make(
        self, session: Session, number: int, wish: str = WISH, *, others: tuple[int, ...] = ()
    ) -> Session:
        """The session after the change, which is generated again byte for byte."""

        def run_openly(program: Program) -> Outcome:
            self.shown.append(program.source)
            return run(program)

        def try_quietly(program: Program) -> Outcome:
            self.tried.append(program.source)
            return run_with_variables(program)

        model = KeyedModel({wish: self.replies}, stops_at=self.stops_at)
        generator = TurnGenerator(
            instruct,
            model.complete,
            run_openly,
            CARD,
            "instruct",
            self.events.append,
            self.policy,
            model.candidates,
            try_quietly,
        )
        made = apply_correction(
            generator, session, DetectedCorrection(number, wish, others=others), GREEDY_64
        )
        model.stops_at = ""
        written = {turn.id for turn in made.path if turn.provenance.model}
        assert list(generator.verify(made, written)) == [None] * len(written)
        return made

    def heard(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)


def talk(*turns: tuple[str, str]) -> Session:
    session = Session().extend(tuple(Turn(instruction, chunk) for instruction, chunk in turns))
    return scripted_generator().execute(session)


def test_a_change_that_fails_gives_way_to_one_that_runs():
    change = Change([FAILS, FAILS, MEDIAN, FAILS])
    made = change.make(talk(*MEAN), 2)
    assert chunks(made) == [NUMBERS[1], MEDIAN, "print(center)"]
    assert statuses(made) == [COMPLETE, COMPLETE, KEPT]
    assert made.outcome is not None
    assert made.outcome.stdout == "4.0\n"
    assert (change.heard(CandidatesStarted), change.heard(CandidateChosen)) == (1, 1)


def test_the_chosen_change_records_its_own_seed_and_the_first_one_stays_beside_it():
    session = talk(*MEAN)
    made = Change([FAILS, FAILS, MEDIAN, FAILS]).make(session, 2)
    first, chosen = (each for each in made.children(session.path[0].id) if each.corrects)
    assert (first.chunk, chosen.chunk) == (FAILS, MEDIAN)
    assert isinstance(chosen.provenance, Correction)
    assert chosen.provenance.sampling == replace(GREEDY_64, temperature=SAMPLES.temperature, seed=2)
    assert chosen.instruction == f"compute the mean\n{WISH}"


def test_a_change_that_leaves_the_code_as_it_was_gives_way_to_one_that_does_not():
    old = MEAN[1][1]
    change = Change([old, old, MEDIAN, old], SURE)
    assert chunks(change.make(talk(*MEAN), 2))[1] == MEDIAN
    assert change.heard(CorrectionFinished) == 1


def test_what_most_changes_do_is_taken_however_they_are_written():
    made = Change([HIGH_MEDIAN, MEDIAN, ALSO_MEDIAN, "center = max(numbers)"]).make(talk(*MEAN), 2)
    assert chunks(made)[1] in (MEDIAN, ALSO_MEDIAN)


def test_what_the_changed_turn_lets_later_turns_print_counts_as_what_it_does():
    defined = ("define f", "def f(text):\n    return text.count('a')")
    lower = "def f(text):\n    return text.lower().count('a')"
    other = "def f(text):\n    return text.upper().count('A')"
    wrong = "def f(text):\n    return len(text)"
    made = Change([wrong, lower, other, "def f(text):\n    return 0"]).make(
        talk(defined, ("show it", "print(f('aAb'))")), 1, "make it case-insensitive"
    )
    assert chunks(made)[0] in (lower, other)


def test_a_change_that_breaks_another_turn_gives_way_to_one_that_does_not():
    session = talk(("set it", "total = 5"), ("say hi", "hi = 'hi'"), ("print it", "print(total)"))
    breaks, keeps = "hi = 'hello'\ntotal = 0", "hi = 'hello'"
    change = Change([breaks, breaks, breaks, keeps], SURE)
    assert chunks(change.make(session, 2, "make it hello")) == ["total = 5", keeps, "print(total)"]


def test_a_change_must_meet_the_wish_and_not_what_was_asked_for_before():
    session = talk(("set the sum in a variable named total", "total = 5 + 1"))
    plain, named = "total = 6.0", "amount = 6.0"
    change = Change([plain, plain, plain, named], SURE)
    assert chunks(change.make(session, 1, "make it a float named amount")) == [named]


@pytest.mark.parametrize("replies", [[3, 1, 2, 1], [1, 1, 1, 1]])
def test_a_name_that_the_wish_takes_away_need_not_be_used(replies: list[int]):
    session = talk(("set both", "total, tax = 9, 2"), ("show both", "print(tax)\nprint(total)"))
    codes = {1: "print(total)", 2: "print(total, tax)", 3: "print(tax)\nprint(total)"}
    change = Change([codes[each] for each in replies], SURE)
    assert chunks(change.make(session, 2, "leave out the tax"))[1] == codes[1]
    assert change.heard(CandidatesStarted) == (replies[0] != 1)


def test_a_turn_that_printed_may_print_and_another_only_if_it_is_asked_to():
    shows = talk(NUMBERS, ("show the mean", "print(sum(numbers) / 4)"))
    change = Change(["print(sorted(numbers)[2])"] * 2, SURE)
    change.make(shows, 2)
    assert change.heard(CandidatesStarted) == 0
    quiet = Change(["print(sorted(numbers)[2])", MEDIAN, MEDIAN, MEDIAN], SURE)
    assert chunks(quiet.make(talk(*MEAN[:2]), 2))[1] == MEDIAN


def test_a_slow_program_is_not_run_again_and_again():
    session = talk(*MEAN)
    assert session.outcome is not None
    slow = session.with_outcome(replace(session.outcome, seconds=60.0))
    change = Change([HIGH_MEDIAN, MEDIAN, MEDIAN, MEDIAN])
    assert chunks(change.make(slow, 2))[1] == HIGH_MEDIAN
    assert change.heard(CandidatesStarted) == 0


def test_the_chosen_change_keeps_the_checks_of_the_turn():
    session = talk(*MEAN)
    session = session.with_options(session.path[1].id, TurnOptions(("center == 4",)))
    session = scripted_generator().execute(session)
    made = Change([HIGH_MEDIAN, HIGH_MEDIAN, HIGH_MEDIAN, MEDIAN]).make(session, 2)
    assert [made.options_of(turn.id).checks for turn in made.path] == [(), ("center == 4",), ()]


def test_a_change_without_doubt_is_not_compared():
    change = Change([MEDIAN, HIGH_MEDIAN, HIGH_MEDIAN, HIGH_MEDIAN], SURE)
    assert chunks(change.make(talk(*MEAN), 2))[1] == MEDIAN
    assert change.heard(CandidatesStarted) == 0


@pytest.mark.parametrize("threshold", [None, -0.05])
def test_a_change_that_runs_is_compared_only_by_a_policy_that_always_compares(threshold: float | None):
    change = Change(
        [HIGH_MEDIAN, MEDIAN, ALSO_MEDIAN, MEDIAN], Policy(samples=3, confidence_threshold=threshold)
    )
    code = chunks(change.make(talk(*MEAN), 2))[1]
    assert (code in (MEDIAN, ALSO_MEDIAN)) is (threshold is None)
    assert change.heard(CandidatesStarted) == (threshold is None)


@pytest.mark.parametrize("policy", [PLAIN, Policy(rules=True, rewrites=1, repair_rounds=1)])
def test_without_samples_a_change_is_tried_twice_as_ever(policy: Policy):
    change = Change([FAILS, MEDIAN], policy)
    assert chunks(change.make(talk(*MEAN), 2))[1] == MEDIAN
    assert change.heard(CandidatesStarted) == change.heard(CandidateChosen) == 0
    assert change.heard(CorrectionFinished) == 2


def test_only_the_chosen_program_runs_openly():
    change = Change([FAILS, FAILS, MEDIAN, HIGH_MEDIAN])
    made = change.make(talk(*MEAN), 2)
    assert change.shown == [made.program.source]
    assert {code for code in (FAILS, MEDIAN, HIGH_MEDIAN) if any(code in each for each in change.tried)} == {
        FAILS,
        MEDIAN,
        HIGH_MEDIAN,
    }


def test_an_interrupt_keeps_the_first_change():
    change = Change([HIGH_MEDIAN, MEDIAN, MEDIAN, MEDIAN], stops_at=WISH)
    made = change.make(talk(*MEAN), 2)
    assert chunks(made)[1] == HIGH_MEDIAN
    assert made.outcome is not None
    assert made.outcome.stdout == "5\n"
    assert (change.heard(CandidatesStarted), change.heard(CandidateChosen)) == (1, 0)


def test_later_turns_follow_the_change_that_was_chosen():
    lists = (
        ("list the squares of 0 to 99", "squares = [i * i for i in range(100)]"),
        ("list the cubes of 0 to 99", "cubes = [i ** 3 for i in range(100)]"),
    )
    tenfold = "squares = [i * i for i in range(1000)]"
    change = Change(["squares = [i * i for i in rang(1000)]", tenfold, tenfold, tenfold])
    made = change.make(talk(*lists), 1, "make the range ten times bigger")
    assert chunks(made) == [tenfold, "cubes = [i ** 3 for i in range(1000)]"]
    assert change.heard(LaterTurnChanged) == 1


def test_where_most_change_nothing_the_next_turn_that_may_be_meant_is_tried():
    old = NUMBERS[1]
    twice = talk(NUMBERS, ("take numbers again", old))
    change = Change([old, old, old, "numbers = []"])
    made = change.make(twice, 1, others=(2,))
    assert [turn.corrects for turn in made.path] == ["", twice.head]
    assert chunks(made) == [old, "numbers = []"]
    assert change.heard(CandidatesStarted) == 2
    session = talk(*MEAN)
    alone = Change([old, old, old, "numbers = [3, 9, 1, 5, 7]"])
    assert chunks(alone.make(session, 1))[0] == "numbers = [3, 9, 1, 5, 7]"


def test_comments_alone_are_not_taken():
    change = Change([FAILS, "# the median", "# the median", MEDIAN])
    assert chunks(change.make(talk(*MEAN), 2))[1] == MEDIAN


def test_a_program_that_lacks_a_file_is_not_compared():
    reads = "text = open('data-that-is-not-there.txt').read()"

    def lacks(program: Program) -> Outcome:
        outcome = run(program)
        return outcome if outcome.ok else replace(outcome, reason=Reason.FILE)

    events: list[Event] = []
    model = KeyedModel({"strip": [f"{reads}.strip()"] * 2})
    generator = TurnGenerator(
        instruct, model.complete, lacks, CARD, "instruct", events.append, SAMPLES, model.candidates, lacks
    )
    apply_correction(generator, talk(("read it", reads)), DetectedCorrection(1, "strip it"), GREEDY_64)
    assert not any(isinstance(event, CandidatesStarted) for event in events)
