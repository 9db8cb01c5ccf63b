"""Makes a turn better than its first completion: other candidates, the whole program afresh, mending."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from mtchat.errors import MtchatError
from mtchat.generate.complete import (
    RawCompletion,
    complete_candidates,
    complete_quietly,
    longer_sampling,
    postprocess,
    warmer,
)
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    CandidateProgress,
    CandidatesStarted,
    Event,
    EventHandler,
    RunFinished,
    TurnWritten,
)
from mtchat.generate.execute import RunProgram, carry_over_without_code, excused, failed, never_ended
from mtchat.generate.generated_tests import (
    Assertion,
    AssertionResults,
    assert_statements,
    assertions_in,
    calling,
    checking_code,
    functions,
    read_results,
)
from mtchat.generate.interpretations import GENERATED_CALLS, ask_about, interpret
from mtchat.generate.request import prompt_for
from mtchat.generate.requirements import does_less
from mtchat.generate.select import Candidate, CandidateChoice, choose, is_doubtful
from mtchat.session.names import tree
from mtchat.session.outcome import Outcome
from mtchat.session.program import PREAMBLE, Chunk, Program
from mtchat.session.prompt import Prompt
from mtchat.session.provenance import Repair, Rewrite
from mtchat.session.session import ROOT, Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import INTERRUPTED, Turn

if TYPE_CHECKING:
    from mtchat.generate.turn import TurnGenerator

SLOW_SECONDS = 3.0  # of a turn that runs: trying out several more like it would keep the user waiting


def improve(
    generator: "TurnGenerator", base: Session, made: Session, prompt: Prompt, sampling: Sampling
) -> Session:
    """A session whose last turn was just made and run, with that turn as good as the policy makes it.

    An interrupt, or what cannot be asked or run, leaves the best one found so far.
    """
    look = generator.look or generator.run
    if look is None or made.path[-1].status == INTERRUPTED or never_ended(made.outcome):
        return made
    failing = {made.path[-1].chunk} if failed(made.outcome) else set[str]()
    bettering = Refinement(generator, base, prompt, sampling, stop_on_interrupt(look), made, failing)
    if excused(made.outcome):
        return made
    with suppress(KeyboardInterrupt, MtchatError):
        if is_blameless(made):
            bettering.start_over()
        else:
            bettering.select()
            bettering.start_over()
            bettering.look_back()
            bettering.mend()
    bettering.settle()
    return bettering.made


def is_blameless(session: Session) -> bool:
    """Whether an earlier turn than the last one fails: nothing that is tried for the last one can help."""
    outcome = session.outcome
    return failed(outcome) and outcome is not None and 0 < (outcome.turn or 0) < len(session.path)


def stop_on_interrupt(look: RunProgram) -> RunProgram:
    """A way to run programs whose interrupt ends all that is tried, and not only one program."""

    def run(program: Program) -> Outcome:
        outcome = look(program)
        if outcome.stopped:
            raise KeyboardInterrupt
        return outcome

    return run


@dataclass
class Refinement:
    """One turn that is made better. `made` is the best session so far; its last turn has run.

    `failing` are the chunks that were tried and fail, `running` those that were to mend it and run.
    """

    generator: "TurnGenerator"
    base: Session
    prompt: Prompt
    sampling: Sampling
    look: RunProgram
    made: Session
    failing: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)

    def select(self) -> None:
        """Weigh several candidates where the turn is in doubt."""
        generator, count = self.generator, self.generator.policy.samples
        if not count or generator.candidates is None:
            return
        draft, outcome = self.made.path[-1], self.made.outcome
        if outcome is None or (outcome.ok and outcome.seconds > SLOW_SECONDS):
            return
        examples = assertions_in(draft.instruction)
        always = generator.asking is not None and generator.asking.always
        if not always and not is_doubtful(self.weighed(self.made, 1, examples), generator.policy):
            return
        turns = self.drawn(count)
        candidates = self.candidates(turns, self.before(), examples, self.made_up())
        candidates = [each for each in candidates if each.turn.chunk == draft.chunk or not self.less(each)]
        if not self.answered(candidates, len(turns)):
            self.take(choose(candidates, generator.policy), len(turns))

    def less(self, candidate: Candidate) -> bool:
        """Whether a candidate leaves out what the first try does: that it runs makes it no better."""
        first, turn = self.made.path[-1], candidate.turn
        before = self.base.program.source
        return bool(does_less(turn.chunk, first.chunk, first.instruction, before))

    def drawn(self, count: int, draft: Turn | None = None) -> list[Turn]:
        """The turn and others for the same instruction, so many of them drawn together, like a draft."""
        generator, last = self.generator, self.made.path[-1]
        draft = draft or last
        assert generator.candidates is not None
        generator.on_event(CandidatesStarted(count + 1, len(self.made.path)))
        warm = warmer(self.sampling, 1, generator.policy.temperature)

        def tell(written: int, pieces: int) -> None:
            generator.on_event(CandidateProgress(written, 0, count, pieces))

        drawn = complete_candidates(generator.candidates, generator.family, self.prompt, warm, count, tell)
        return [last, *self.turns(draft, drawn, warm, self.base)]

    def answered(self, candidates: Sequence[Candidate], count: int) -> bool:
        """Whether the user was asked which reading of the instruction is meant, and said it."""
        asking = self.generator.asking
        found = ask_about(interpret(candidates), asking) if asking else ()
        if asking is None or not found:
            return False
        instruction = self.made.path[-1].instruction
        answer = asking.ask(instruction, found)
        if isinstance(answer, str):
            self.say_again(answer)
        elif answer is not None:
            chosen = found[answer]
            self.take(CandidateChoice(chosen.candidate, 1.0), count, chosen.told)
        return answer is not None

    def say_again(self, words: str) -> None:
        """Make the turn from what the user says beside the instruction; what was tried stays in the tree."""
        last, live = self.made.path[-1], self.made
        typed = f"{last.typed}\n{words}" if last.typed else ""
        with self.telling() as on_event:
            generator = replace(self.generator, asking=None, on_event=on_event)
            made = generator.take(
                self.before(),
                f"{last.instruction}\n{words}",
                self.sampling,
                typed=typed,
                replaces=last.id,
            )
            if made.head == self.base.head or made.path[-1].status == INTERRUPTED:
                raise KeyboardInterrupt
        if live.branch:
            made = replace(made, branches={**live.branches, live.branch: made.head}, branch=live.branch)
        self.made = made
        if made.outcome is not None and made.outcome.stopped:
            raise KeyboardInterrupt

    @contextmanager
    def telling(self) -> Iterator[EventHandler]:
        """A watcher whose turns stay in the tree, whatever ends it: they may have been saved.

        How their runs end is known when all is settled, which is told once.
        """
        sessions, turn = [self.made], self.made.path[-1]

        def on_event(event: Event) -> None:
            nonlocal turn
            match event:
                case TurnWritten(session, turn) | CandidateChosen(session, turn, _, _):
                    sessions.append(session)
                case RunFinished(outcome, _) if failed(outcome):
                    self.failing.add(turn.chunk)
                case RunFinished(outcome, _) if outcome.ok and isinstance(turn.provenance, Repair):
                    self.running.add(turn.chunk)
                case AttemptsExhausted(_, failing, discarded):
                    self.failing |= failing
                    self.running |= discarded
                    return
            self.generator.on_event(event)

        try:
            yield on_event
        except BaseException:
            self.made = self.made.beside(max(sessions, key=lambda each: len(each.turns)))
            raise

    def before(self) -> Session:
        """The session without its last turn, which all that was tried for it stays beside."""
        return replace(self.made, head=self.base.head)

    def sound(self) -> Session:
        """The session without its last turn, and without the code of the turns from which on it fails."""
        base, outcome = self.before(), self.base.outcome
        if not failed(outcome) or outcome is None or not outcome.turn:
            return base
        path = base.path
        return carry_over_without_code(base.undo(len(path) - outcome.turn + 1), path[outcome.turn - 1 :])

    def start_over(self) -> None:
        """Write the whole program afresh where it still fails, or is seen not to do what was asked for.

        One that leaves out what a turn does is not taken.
        """
        now = Candidate(self.made)
        if (
            not self.generator.policy.rewrites
            or len(self.made.path) < 2
            or not (now.faults == 2 or now.unmet_requirements)
        ):
            return
        choice = self.choice(self.afresh(1), self.sound())
        winner = choice.winner
        if (winner.faults, winner.unmet_requirements) < (
            now.faults,
            now.unmet_requirements,
        ) and self.does_all_steps(winner.turn.chunk):
            self.take(choice, 1)

    def does_all_steps(self, code: str) -> bool:
        """Whether a program that was written at once does what each of the turns does."""
        return not any(does_less(code, turn.chunk, turn.instruction, "") for turn in self.made.path)

    def look_back(self) -> None:
        """Compare what the turn shows with what programs show that are written from all steps at once.

        Turns chosen one by one are right together only as far as each was agreed on, so the product of
        their shares is set against the share of the whole programs that agree.
        """
        count, outcome = self.generator.policy.rewrites - 1, self.made.outcome
        if count < 1 or len(self.made.path) < 2 or outcome is None or not outcome.ok:
            return
        last = self.made.path[-1]
        if isinstance(last.provenance, Rewrite) or last.meant or not Candidate(self.made).shows:
            return
        self.generator.on_event(CandidatesStarted(count + 1, len(self.made.path)))
        choice = self.choice(self.afresh(count + 1), self.sound())
        other = choice.winner
        if other.faults or other.unmet_requirements or other.ends_like(Candidate(self.made)):
            return
        if not self.does_all_steps(other.turn.chunk):
            return
        if choice.share > agreement(self.made):
            self.take(choice, count + 1)

    def mend(self) -> None:
        """Show the model how the turn fails, if it still does."""
        generator, outcome = self.generator, self.made.outcome
        if not generator.policy.repair_rounds or generator.run is None or outcome is None:
            return
        if not failed(outcome) and not Candidate(self.made).broken:
            return
        if excused(outcome):
            return
        if outcome.turn == PREAMBLE:
            return
        with self.telling() as on_event:
            mender, rounds = replace(generator, on_event=on_event), generator.policy.repair_rounds
            self.made = mender.fix(self.made, self.sampling, rounds, last=True).session

    def settle(self) -> None:
        """Tell that nothing is right, where more was tried than the first completion."""
        live, fails = {turn.chunk for turn in self.made.path}, failed(self.made.outcome)
        if not fails and not Candidate(self.made).broken:
            return
        others = frozenset(self.failing - live if fails else ())
        discarded = frozenset(self.running - live)
        if others or discarded:
            self.generator.on_event(AttemptsExhausted(self.made, others, discarded))

    def afresh(self, count: int) -> list[Turn]:
        """Turns that hold the whole program, the first of them the likeliest."""
        generator, last = self.generator, self.made.path[-1]
        root = replace(self.base, head=ROOT)
        sampling = longer_sampling(self.sampling, len(self.made.path))
        provenance = generator.signed(Rewrite(rules=last.provenance.rules), sampling)
        prompt = prompt_for(provenance, generator.family, self.base, last.instruction)
        draft = replace(last, provenance=provenance)
        first = complete_quietly(generator.complete, generator.family, prompt, sampling)
        turns = list(self.turns(draft, [first], sampling, root))
        if count > 1 and generator.candidates is not None:
            warm = warmer(sampling, 1, generator.policy.temperature)
            drawn = complete_candidates(generator.candidates, generator.family, prompt, warm, count - 1)
            turns += self.turns(draft, drawn, warm, root)
        return turns

    def turns(
        self, draft: Turn, drawn: Sequence[RawCompletion], sampling: Sampling, base: Session
    ) -> Iterator[Turn]:
        """Turns like a draft, of completions from one seed after the other; those with more than comments."""
        generator, memory = self.generator, draft.provenance.context
        for number, written in enumerate(drawn):
            chunk = postprocess(generator.family, written.text, base, generator.policy.rules, memory)
            provenance = replace(draft.provenance, sampling=replace(sampling, seed=sampling.seed + number))
            module = tree(chunk)
            if module is None or module.body:
                yield replace(draft, chunk=chunk, provenance=provenance, usage=written.usage)

    def choice(
        self,
        turns: Sequence[Turn],
        base: Session,
        examples: Sequence[Assertion] = (),
        checks: Sequence[Assertion] = (),
    ) -> CandidateChoice:
        """The best of several turns, each run after those of a session; the draft where there are none."""
        turns = turns or [self.made.path[-1]]
        return choose(self.candidates(turns, base, examples, checks), self.generator.policy)

    def candidates(
        self, turns: Sequence[Turn], base: Session, examples: Sequence[Assertion], checks: Sequence[Assertion]
    ) -> list[Candidate]:
        """Turns, each code once, run after those of a session."""
        copies = Counter(turn.chunk for turn in turns)
        trials: dict[str, Session] = {}  # the first of those that are the same, in their order
        for turn in turns:
            trial = base.add(replace(turn, parent=base.head)).inherit(self.made.head)
            trials.setdefault(turn.chunk, trial)
        found = []
        for ran, (chunk, trial) in enumerate(trials.items()):
            self.generator.on_event(CandidateProgress(len(trials), ran, len(trials)))
            ended = trial.with_outcome(self.look(trial.program))
            found.append(self.weighed(ended, copies[chunk], examples, checks))
        self.failing |= {each.turn.chunk for each in found if failed(each.session.outcome)}
        return found

    def take(self, choice: CandidateChoice, count: int, meant: str = "") -> None:
        """Make the chosen turn the live one, with the share that agreed on it, or what the user meant."""
        winner = choice.winner.session
        turn, outcome = winner.path[-1], winner.outcome
        assert outcome is not None
        share = round(choice.share, 4)
        if turn.chunk == self.made.path[-1].chunk:
            assert self.made.outcome is not None
            known = replace(self.made.outcome, agreed=share)
            if meant:
                last = self.made.path[-1]
                self.made = self.before().add(replace(last, meant=meant)).inherit(last.id)
            self.made = self.made.with_outcome(known)
            return
        if meant:
            unsaid, turn = turn.id, replace(turn, meant=meant)
            winner = winner.undo().add(turn).inherit(unsaid)
        if self.generator.run is not None:  # for the files that it leaves: trials leave none
            outcome = self.generator.run(winner.program)
        outcome = replace(outcome, agreed=share)
        self.made = winner.with_outcome(outcome)
        self.generator.on_event(CandidateChosen(self.made, turn, outcome, count))
        if outcome.stopped:
            raise KeyboardInterrupt

    def weighed(
        self, trial: Session, copies: int, examples: Sequence[Assertion], checks: Sequence[Assertion] = ()
    ) -> Candidate:
        """A candidate with what comes of the checks that can be made of its functions."""
        names = functions(trial.path[-1].chunk)
        mine = calling([*examples, *checks], names)
        if not mine or trial.outcome is None or not trial.outcome.ok:
            return Candidate(trial, copies)
        program = trial.program
        number = len(trial.path) + 1
        outcome = self.look(Program((*program.chunks, Chunk(number, checking_code(mine)))))
        said = outcome.outputs[-1] if len(outcome.outputs) > len(program.chunks) else ""
        checked = read_results(said, len(mine))
        cut = len(calling(examples, names))
        asked = tuple(check.call for check in mine)
        return Candidate(
            trial,
            copies,
            AssertionResults(checked.given[:cut], checked.passed[:cut], asked[:cut]),
            AssertionResults(checked.given[cut:], checked.passed[cut:], asked[cut:]),
        )

    def made_up(self) -> tuple[Assertion, ...]:
        """Checks that the model makes up for the functions of the last turn."""
        generator, made = self.generator, self.made
        names = functions(made.path[-1].chunk)
        count = max(generator.policy.generated_tests, GENERATED_CALLS if generator.asking else 0)
        if not names or not count or failed(made.outcome):
            return ()
        wish = (
            f"Write {count} different one-line assert statements that test "
            f"{' and '.join(names)} with simple arguments, and nothing else."
        )
        prompt = generator.context(made, wish, self.sampling).prompt
        text = complete_quietly(generator.complete, generator.family, prompt, self.sampling).text
        return calling(tuple(assert_statements(generator.family.chunk(text, ""))), names)


def agreement(session: Session) -> float:
    """How far its turns were agreed on: the product of their shares since it was last written as a whole."""
    path = session.path
    starts = [place for place, turn in enumerate(path) if isinstance(turn.provenance, Rewrite)]
    outcomes = (session.outcomes.get(turn.id) for turn in path[starts[-1] if starts else 0 :])
    return prod(outcome.agreed for outcome in outcomes if outcome)
