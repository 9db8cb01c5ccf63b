"""Takes a turn and improves it as the policy says: candidates, a rewrite of the whole program, a repair."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import prod

from mtchat.errors import MtchatError
from mtchat.generate.complete import (
    RawCompletion,
    complete_candidates,
    complete_quietly,
    longer_sampling,
    warmer,
)
from mtchat.generate.context import prompt_for
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    CandidateProgress,
    CandidatesStarted,
    Event,
    EventHandler,
    NamesReplaced,
    Notice,
    RunFinished,
    TurnWritten,
)
from mtchat.generate.execute import RunProgram, excused, failed, never_ended
from mtchat.generate.generated_tests import Assertion, assert_statements, assertions_in, calling, functions
from mtchat.generate.interpretations import GENERATED_CALLS, ask_about, interpret
from mtchat.generate.judge.regressions import keeps_steps
from mtchat.generate.judge.replaced_names import find_replaced_names
from mtchat.generate.judge.requirements import does_less
from mtchat.generate.repair import fix
from mtchat.generate.rewrite import can_rewrite, describe_joined, spread_over_turns
from mtchat.generate.select import Candidate, CandidateChoice, choose, compare, evaluate, is_doubtful
from mtchat.generate.turn import TurnGenerator
from mtchat.session.names import parse_module
from mtchat.session.outcome import Outcome, ReplacedName
from mtchat.session.program import PREAMBLE, Program
from mtchat.session.prompt import Prompt
from mtchat.session.provenance import Repair, Rewrite
from mtchat.session.session import ROOT, Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import INTERRUPTED, Turn

SLOW_SECONDS = 3.0  # of a turn that runs: running several more like it would keep the user waiting


def take(
    generator: TurnGenerator,
    session: Session,
    instruction: str,
    sampling: Sampling,
    *,
    typed: str = "",
    replaces: str = "",
) -> Session:
    """The session with one more turn, run, and improved as the policy says.

    `typed` is the instruction as it was typed, where that is shorter. The turn takes over the options of the
    turn with the id `replaces`.
    An interrupted turn is kept, marked, and not run. An interrupt of an improvement leaves the best turn
    found so far. NamesReplaced says what the turn takes from earlier ones.
    """
    request = generator.step(session, instruction, sampling, typed=typed, replaces=replaces)
    context = generator.fitted(request)
    made = generator.make(request, context)
    if made is session:
        return session
    run = generator.execute(made)
    if not generator.policy.refines:
        return report_replaced_names(generator, run)
    return report_replaced_names(generator, improve(generator, session, run, context.prompt, sampling))


def improve(
    generator: TurnGenerator, base: Session, made: Session, prompt: Prompt, sampling: Sampling
) -> Session:
    """A session whose last turn was just written and run, with that turn improved as the policy says.

    An interrupt, or an error of the model or the sandbox, leaves the best turn found so far.
    """
    probe = generator.dry_run or generator.run
    if probe is None or made.path[-1].status == INTERRUPTED or never_ended(made.outcome):
        return made
    failing = {made.path[-1].chunk} if failed(made.outcome) else set[str]()
    refinement = Refinement(generator, base, prompt, sampling, stop_on_interrupt(probe), made, failing)
    if excused(made.outcome):
        return made
    with suppress(KeyboardInterrupt, MtchatError):
        if is_blameless(made):
            refinement.rewrite()
        else:
            refinement.select()
            refinement.rewrite()
            refinement.cross_check()
            refinement.repair()
    refinement.report()
    return refinement.session


def report_replaced_names(generator: TurnGenerator, session: Session) -> Session:
    """The session with the names that its last turn replaces in its outcome; an event says so, once."""
    outcome, found = session.outcome, tuple[ReplacedName, ...]()
    if outcome is None or outcome.replaced_names:
        return session
    with suppress(KeyboardInterrupt, MtchatError):
        found = find_replaced_names(session, generator.dry_run)
    if not found:
        return session
    told = session.with_outcome(replace(outcome, replaced_names=found))
    generator.on_event(NamesReplaced(told, found))
    return told


def is_blameless(session: Session) -> bool:
    """Whether a turn before the last one fails, so that other code for the last one cannot help."""
    outcome = session.outcome
    return failed(outcome) and outcome is not None and 0 < (outcome.turn or 0) < len(session.path)


def is_slow(outcome: Outcome | None) -> bool:
    """Whether a program that runs takes so long that it should not run several times more."""
    return outcome is not None and outcome.ok and outcome.seconds > SLOW_SECONDS


def stop_on_interrupt(probe: RunProgram) -> RunProgram:
    """A way to run programs in which an interrupt ends the whole comparison, not only one program."""

    def run(program: Program) -> Outcome:
        outcome = probe(program)
        if outcome.stopped:
            raise KeyboardInterrupt
        return outcome

    return run


def generate_tests(generator: TurnGenerator, session: Session, sampling: Sampling) -> tuple[Assertion, ...]:
    """Assertions that the model writes for the functions of the last turn."""
    names = functions(session.path[-1].chunk)
    count = max(generator.policy.generated_tests, GENERATED_CALLS if generator.asking else 0)
    if not names or not count or failed(session.outcome):
        return ()
    wish = (
        f"Write {count} different one-line assert statements that test "
        f"{' and '.join(names)} with simple arguments, and nothing else."
    )
    prompt = replace(generator, think=0).context(session, wish, sampling).prompt
    text = complete_quietly(generator.complete, generator.family, prompt, sampling).text
    return calling(tuple(assert_statements(generator.family.chunk(text, ""))), names)


@dataclass
class Refinement:
    """The improvement of one turn. `session` is the best so far; its last turn has run.

    `failing` is the code of attempts that fail, `running` that of repairs that run.
    """

    generator: TurnGenerator
    base: Session
    prompt: Prompt
    sampling: Sampling
    probe: RunProgram
    session: Session
    failing: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)

    def select(self) -> None:
        """Compare several candidates if the turn is in doubt."""
        generator, count = self.generator, self.generator.policy.samples
        if not count or generator.candidates is None:
            return
        draft, outcome = self.session.path[-1], self.session.outcome
        if outcome is None or is_slow(outcome):
            return
        examples = assertions_in(draft.instruction)
        always = generator.asking is not None and generator.asking.always
        if not always and not is_doubtful(evaluate(self.session, self.probe, 1, examples), generator.policy):
            return
        turns = self.draw(count)
        candidates = self.candidates(
            turns, self.before(), examples, generate_tests(generator, self.session, self.sampling)
        )
        candidates = [
            each for each in candidates if each.turn.chunk == draft.chunk or not self.leaves_out(each)
        ]
        if not self.clarify(candidates, len(turns)):
            self.adopt(choose(candidates, generator.policy), len(turns))

    def leaves_out(self, candidate: Candidate) -> bool:
        """Whether a candidate leaves out something that the first completion does."""
        first, turn = self.session.path[-1], candidate.turn
        return bool(does_less(turn.chunk, first.chunk, first.instruction, self.base.program.source))

    def draw(self, count: int, draft: Turn | None = None) -> list[Turn]:
        """The last turn and `count` others for its instruction, completed together, each like `draft`."""
        generator, last = self.generator, self.session.path[-1]
        assert generator.candidates is not None
        generator.on_event(CandidatesStarted(count + 1, len(self.session.path)))
        warm = warmer(self.sampling, 1, generator.policy.temperature)

        def report(written: int, pieces: int) -> None:
            generator.on_event(CandidateProgress(written, 0, count, pieces))

        drawn = complete_candidates(generator.candidates, generator.family, self.prompt, warm, count, report)
        return [last, *self.turns(draft or last, drawn, warm, self.base)]

    def clarify(self, candidates: Sequence[Candidate], count: int) -> bool:
        """Ask the user which interpretation of the instruction is meant; True if there was an answer."""
        asking = self.generator.asking
        found = ask_about(interpret(candidates), asking) if asking else ()
        if asking is None or not found:
            return False
        answer = asking.ask(self.session.path[-1].instruction, found)
        if isinstance(answer, str):
            self.take_again(answer)
        elif answer is not None:
            chosen = found[answer]
            self.adopt(CandidateChoice(chosen.candidate, 1.0), count, chosen.summary)
        return answer is not None

    def take_again(self, words: str) -> None:
        """Take the turn from what the user says beside the instruction; earlier attempts stay in the tree."""
        last, live = self.session.path[-1], self.session
        with self.recording() as on_event:
            made = take(
                replace(self.generator, asking=None, on_event=on_event),
                self.before(),
                f"{last.instruction}\n{words}",
                self.sampling,
                typed=f"{last.typed}\n{words}" if last.typed else "",
                replaces=last.id,
            )
            if made.head == self.base.head or made.path[-1].status == INTERRUPTED:
                raise KeyboardInterrupt
        if live.branch:
            made = replace(made, branches={**live.branches, live.branch: made.head}, branch=live.branch)
        self.session = made
        if made.outcome is not None and made.outcome.stopped:
            raise KeyboardInterrupt

    @contextmanager
    def recording(self) -> Iterator[EventHandler]:
        """A handler whose turns stay in the tree however it ends, since they may have been saved.

        It forwards all events but the one about exhausted attempts, which is sent once at the end.
        """
        sessions, turn = [self.session], self.session.path[-1]

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
            self.session = self.session.with_alternatives(max(sessions, key=lambda each: len(each.turns)))
            raise

    def before(self) -> Session:
        """The session without its last turn; all attempts at that turn stay in its tree."""
        return replace(self.session, head=self.base.head)

    def rewrite(self) -> None:
        """Write the whole program again if it still fails, or does not do what was asked for.

        A program that leaves out something that a turn does is discarded.
        """
        now = Candidate(self.session)
        unmet = now.faults == 2 or now.unmet_requirements
        if not self.generator.policy.rewrites or not can_rewrite(self.session.path) or not unmet:
            return
        choice = self.choice_of_programs(1)
        if choice is not None and standing(choice.winner) < standing(now):
            self.adopt_program(choice, 1)

    def does_all_steps(self, code: str) -> bool:
        """Whether a program that was written at once does what each of the turns does."""
        return not any(does_less(code, turn.chunk, turn.instruction, "") for turn in self.session.path)

    def cross_check(self) -> None:
        """Compare what the turn prints with what programs print that are written from all steps at once.

        Turns chosen one by one are right together only as far as each was agreed on, so the product of
        their shares is compared with the share of the whole programs that agree.
        """
        count, outcome = self.generator.policy.rewrites - 1, self.session.outcome
        if count < 1 or not can_rewrite(self.session.path) or outcome is None or not outcome.ok:
            return
        last, now = self.session.path[-1], Candidate(self.session)
        if isinstance(last.provenance, Rewrite) or last.meant or not now.shows:
            return
        self.generator.on_event(CandidatesStarted(count + 1, len(self.session.path)))
        choice = self.choice_of_programs(count + 1)
        if choice is None or any(standing(choice.winner)) or choice.winner.ends_like(now):
            return
        if choice.share > agreement(self.session):
            self.adopt_program(choice, count + 1)

    def repair(self) -> None:
        """Show the model how the turn fails, if it still does."""
        generator, outcome = self.generator, self.session.outcome
        if not generator.policy.repair_rounds or generator.run is None or outcome is None:
            return
        if not failed(outcome) and not Candidate(self.session).failed_checks:
            return
        if excused(outcome) or outcome.turn == PREAMBLE:
            return
        with self.recording() as on_event:
            quiet, rounds = replace(generator, on_event=on_event), generator.policy.repair_rounds
            self.session = fix(quiet, self.session, self.sampling, rounds, last=True).session

    def report(self) -> None:
        """Send AttemptsExhausted if the turn is still wrong and there was more than one attempt."""
        live, fails = {turn.chunk for turn in self.session.path}, failed(self.session.outcome)
        if not fails and not Candidate(self.session).failed_checks:
            return
        others = frozenset(self.failing - live if fails else ())
        discarded = frozenset(self.running - live)
        if others or discarded:
            self.generator.on_event(AttemptsExhausted(self.session, others, discarded))

    def choice_of_programs(self, count: int) -> CandidateChoice | None:
        """The best of several programs that are written at once, divided among the turns; None without any.

        One that leaves out something that a turn does, or prints something else for an earlier step, is none;
        one that does something else when it is divided stays in one turn.
        """
        root = replace(self.session, head=ROOT)
        programs = self.whole_programs(count, root)
        if not programs:
            return None
        chosen = choose(self.candidates(programs, root), self.generator.policy)
        whole = chosen.winner
        if not self.does_all_steps(whole.turn.chunk):
            return None
        divided = self.tried(spread_over_turns(self.session, whole.turn))
        if not does_same(divided, whole):
            divided = self.tried(spread_over_turns(self.session, whole.turn, together=True))
        return replace(chosen, winner=divided) if keeps_steps(self.session, divided.session) else None

    def tried(self, session: Session) -> Candidate:
        """The candidate that a session is when it has run."""
        return Candidate(session.with_outcome(self.probe(session.program)))

    def whole_programs(self, count: int, root: Session) -> list[Turn]:
        """Turns that hold the whole program, the likeliest completion first."""
        generator, last = self.generator, self.session.path[-1]
        sampling = longer_sampling(self.sampling, len(self.session.path))
        provenance = generator.signed(Rewrite(rules=last.provenance.rules, of=last.id), sampling)
        prompt = prompt_for(provenance, generator.family, root, last.instruction)
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
        """Turns like a draft from completions with successive seeds; those of comments alone are left out."""
        for number, completion in enumerate(drawn):
            chunk = self.generator.chunk(completion.text, base, draft.instruction, draft.provenance)
            seeded = replace(sampling, seed=sampling.seed + number)
            provenance = replace(draft.provenance, sampling=seeded, thought=completion.thought)
            module = parse_module(chunk)
            if module is None or module.body:
                yield replace(draft, chunk=chunk, provenance=provenance, usage=completion.usage)

    def candidates(
        self,
        turns: Sequence[Turn],
        base: Session,
        examples: Sequence[Assertion] = (),
        generated: Sequence[Assertion] = (),
    ) -> list[Candidate]:
        """The candidates of turns, each run after those of a session.

        `examples` are assertions that the instruction gives, `generated` those that the model wrote.
        """
        on_event, live = self.generator.on_event, self.session.head

        def judge(trial: Session, copies: int) -> Candidate:
            return evaluate(trial, self.probe, copies, examples, generated)

        found = compare(turns, base, self.probe, judge, inherits=live, on_event=on_event)
        self.failing |= {each.turn.chunk for each in found if failed(each.session.outcome)}
        return found

    def adopt(self, choice: CandidateChoice, count: int, meant: str = "") -> None:
        """Make the chosen turn the live one, with the share that agreed on it, or what the user meant."""
        winner = choice.winner.session
        turn, outcome = winner.path[-1], winner.outcome
        assert outcome is not None
        share = round(choice.share, 4)
        if turn.chunk == self.session.path[-1].chunk:
            assert self.session.outcome is not None
            known = replace(self.session.outcome, agreement=share)
            if meant:
                last = self.session.path[-1]
                self.session = self.before().add(replace(last, meant=meant)).inherit_options(last.id)
            self.session = self.session.with_outcome(known)
            return
        if meant:
            unsaid, turn = turn.id, replace(turn, meant=meant)
            winner = winner.undo().add(turn).inherit_options(unsaid)
        if self.generator.run is not None:  # for the files that it leaves, which a dry run does not
            outcome = self.generator.run(winner.program)
        outcome = replace(outcome, agreement=share)
        self.session = winner.with_outcome(outcome)
        self.generator.on_event(CandidateChosen(self.session, turn, outcome, count))
        if outcome.stopped:
            raise KeyboardInterrupt

    def adopt_program(self, choice: CandidateChoice, count: int) -> None:
        """Make the turns of a program that was written at once the live ones."""
        session = choice.winner.session
        outcome = session.outcome if self.generator.run is None else self.generator.run(session.program)
        assert outcome is not None
        outcome = replace(outcome, agreement=round(choice.share, 4))
        self.session = session.with_outcome(outcome)
        self.generator.on_event(CandidateChosen(self.session, session.path[-1], outcome, count))
        if joined := describe_joined(session.path):
            self.generator.on_event(Notice(joined))
        if outcome.stopped:
            raise KeyboardInterrupt


def standing(candidate: Candidate) -> tuple[int, int, int]:
    """How bad a program is: its faults, what its last turn leaves out, and how many checks fail."""
    outcome = candidate.session.outcome
    return candidate.faults, candidate.unmet_requirements, len(outcome.failed_checks) if outcome else 0


def does_same(divided: Candidate, whole: Candidate) -> bool:
    """Whether a program ends and prints as it did before it was divided."""
    new, old = divided.session.outcome, whole.session.outcome
    return new is not None and old is not None and (new.ok, new.stdout) == (old.ok, old.stdout)


def agreement(session: Session) -> float:
    """How far candidates agreed on its turns: the product of their shares since the last rewrite."""
    path = session.path
    starts = [place for place, turn in enumerate(path) if isinstance(turn.provenance, Rewrite)]
    outcomes = (session.outcomes.get(turn.id) for turn in path[starts[-1] if starts else 0 :])
    return prod(outcome.agreement for outcome in outcomes if outcome)
