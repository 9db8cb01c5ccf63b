"""Builds the prompt of a turn, for generating and for verifying, and folds old turns if it is too long."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mtchat.edits.fold import fold_code
from mtchat.generate.generated_tests import assertions_in
from mtchat.generate.prompt.family import PROGRAM, WORKED, Family, leave_out
from mtchat.generate.prompt.program import number_step
from mtchat.generate.prompt.state import describe_state, told_lines, with_state
from mtchat.session.context import is_unwritten, plan_for
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.provenance import (
    ContextPlan,
    Correction,
    Fill,
    Provenance,
    Repair,
    Replacement,
    Rework,
    Rewrite,
    Step,
)
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import EDITED, Turn

FILL_AFTER_FOLDING = 0.75  # of the budget: each folding changes the prefix, so the prompt is prefilled again

CountTokens = Callable[[Prompt], int]
RenderPath = Callable[[tuple[Turn, ...]], Prompt]


@dataclass(frozen=True)
class TurnContext:
    """A prompt and its plan; the turns in `fitted` are folded to make it fit.

    `problem` says why it still does not fit and what the user can do, "" if it fits.
    """

    prompt: Prompt
    plan: ContextPlan = ContextPlan()
    fitted: tuple[int, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class TokenBudget:
    """The context window of a model, shared by prompt, thought and reply; `reply` is max_tokens."""

    count: CountTokens
    card: ModelCard
    reply: int
    thought: int = 0

    @property
    def most(self) -> int:
        """The most tokens that a prompt may have. At most half of the context is reserved for the rest."""
        return self.card.context - min(self.thought + self.reply, self.card.context // 2)


def fit(
    render: RenderPath, path: Sequence[Turn], wanted: ContextPlan, room: TokenBudget | None, *, whole: int = 0
) -> TurnContext:
    """The context of a path: as planned if it fits, else with the oldest turns folded too.

    Turns that were folded for the last turn stay folded, and if more must be, enough are folded to last for
    some turns. Turn `whole` is never folded.
    """
    if room is None:
        return TurnContext(render(visible_turns(path, wanted, whole)), wanted)

    def attempt(numbers: Sequence[int]) -> TurnContext:
        plan = wanted.fold(numbers)
        return TurnContext(render(visible_turns(path, plan, whole)), plan, tuple(numbers))

    context = attempt([])
    if room.count(context.prompt) <= room.most:
        return context
    left = [number for number in foldable_turns(path, wanted) if number != whole]
    context = attempt([number for number in left if number in path[-1].provenance.context.folded])
    if room.count(context.prompt) <= room.most:
        return context

    def size(oldest: int) -> int:
        return room.count(attempt(left[:oldest]).prompt)

    for most in (int(FILL_AFTER_FOLDING * room.most), room.most):
        oldest = bisect_left(range(len(left) + 1), True, key=lambda oldest: size(oldest) <= most)
        if oldest <= len(left):
            return attempt(left[:oldest])
    return replace(attempt(left), problem=explain_excess(size(len(left)), room, bool(path)))


def visible_turns(path: Sequence[Turn], memory: ContextPlan, whole: int = 0) -> tuple[Turn, ...]:
    """The path as a model is told it.

    Unwritten turns are left out: no code shows how their instruction is done, and a model that read it would
    take it as done, or do it along with the next. Turn `whole`, which is asked for again, stays.
    """
    return tuple(
        fold(turn) if number in memory.folded else turn
        for number, turn in enumerate(path, start=1)
        if number not in memory.forgotten and (number == whole or not is_unwritten(turn))
    )


def fold(turn: Turn) -> Turn:
    """A turn as a model is told it in short: without its state, with the signatures and names of its code."""
    return replace(without_state(turn), chunk=fold_code(turn.chunk))


def without_state(turn: Turn) -> Turn:
    """A turn as if the model had been told nothing about the state of the program before it."""
    return replace(turn, provenance=replace(turn.provenance, state="")) if turn.provenance.state else turn


def folded_codes(path: Sequence[Turn], memory: ContextPlan) -> list[str]:
    """The codes of a path that are told folded, as they are told."""
    return [fold_code(turn.chunk) for number, turn in enumerate(path, start=1) if number in memory.folded]


def can_fold(turn: Turn) -> bool:
    """Whether folding a turn makes it shorter."""
    return fold_code(turn.chunk) != turn.chunk


def foldable_turns(path: Sequence[Turn], plan: ContextPlan) -> list[int]:
    """The numbers of the turns that are shown in full and would be shorter folded."""
    known = {*plan.folded, *plan.forgotten}
    return [number for number, turn in enumerate(path, start=1) if number not in known and can_fold(turn)]


def explain_excess(tokens: int, room: TokenBudget, later: bool) -> str:
    """Why a context cannot be made to fit, and what the user can do."""
    name, context = room.card.name or "the model", room.card.context
    thought = f", the thought before it up to {room.thought}" if room.thought else ""
    how = "even with all turns folded, " if later else ""
    remedies = (
        "/context shows what uses the tokens, /fold K and /forget K shorten the prompt, /recap rewrites "
        "the program"
    )
    return (
        f"{how}the prompt needs {tokens} tokens and the reply up to {room.reply} (max_tokens){thought}, "
        f"but the context window of {name} is {context}: "
        f"{fitting_settings(tokens, room)}{remedies if later else 'shorten the instruction'}"
    )


def fitting_settings(tokens: int, room: TokenBudget) -> str:
    """The settings with which a prompt of so many tokens fits, "" if there are none.

    A thought is given up before any of the reply.
    """
    left = room.card.context - tokens
    if left <= 0:
        return ""
    shorter = f"/set max_tokens {left}"
    if not room.thought:
        return f"{shorter} makes it fit, "
    if tokens <= replace(room, thought=0).most:
        return "/set think off makes it fit, "
    return f"/set think off and {shorter} make it fit, "


@dataclass(frozen=True)
class TurnRequest:
    """A turn that a model is to write after the last turn of `base`.

    `provenance` says what its prompt is made of; its context plan is filled in when the prompt is built.
    `typed` is the instruction as the user typed it, if that is shorter. The turn takes over the
    options of the turn with the id `replaces`; the turns of `rest` come after it, with their code. The
    prompt of a `stateless` request says nothing about the state of the program before any turn.
    """

    base: Session
    instruction: str
    provenance: Provenance
    typed: str = ""
    replaces: str = ""
    rest: tuple[Turn, ...] = ()
    stateless: bool = False

    @property
    def context(self) -> tuple[Turn, ...]:
        """The turns that the prompt is made of, before any is folded."""
        return context_of(self.provenance, self.base)

    @property
    def asks_again(self) -> int:
        """The number of the turn that is asked for again and so shown in full; 0 for a new turn."""
        return len(self.base.path) + 1 if isinstance(self.provenance, Replacement) else 0

    def prompt(self, family: Family, turns: Sequence[Turn]) -> Prompt:
        """The prompt that shows these turns."""
        if self.stateless:
            turns = tuple(map(without_state, turns))
        return prompt_with(self.provenance, family, self.base, self.instruction, turns)


def context_of(provenance: Provenance, base: Session) -> tuple[Turn, ...]:
    """The turns that the prompt of a turn after `base` shows, with the turn that it replaces."""
    match provenance:
        case Rework(of=of, continues=False) | Repair(of=of) | Correction(of=of):
            return (*base.path, base.get(of))
        case Rewrite():
            return ()
    return base.path


def prompt_for(provenance: Provenance, family: Family, base: Session, instruction: str) -> Prompt:
    """The prompt of a turn after `base`, exactly as its provenance records it."""
    again = len(base.path) + 1  # the turn that a replacement asks for again, if its prompt shows it
    turns = visible_turns(context_of(provenance, base), provenance.context, again)
    return prompt_with(provenance, family, base, instruction, turns)


def prompt_with(
    provenance: Provenance, family: Family, base: Session, instruction: str, turns: Sequence[Turn]
) -> Prompt:
    """The prompt of a turn after `base` that shows these turns, each as it stands here.

    A turn that is continued goes on after the thought that it had, as far as that went.
    """
    prompt = prompt_of_kind(provenance, family, base, instruction, turns)
    if not prompt.messages:
        return prompt  # a base model continues text and has no place for a thought
    if isinstance(provenance, Rework) and provenance.continues:
        old = base.get(provenance.of).provenance
        return replace(prompt, think=old.think, thought=old.thought) if old.think else prompt
    return replace(prompt, think=provenance.think)


def prompt_of_kind(
    provenance: Provenance, family: Family, base: Session, instruction: str, turns: Sequence[Turn]
) -> Prompt:
    """The same, without a thought."""
    preamble, guidance = base.preamble, provenance.guidance

    def say(instruction: str) -> str:
        return number_step(len(turns) + 1, instruction) if PROGRAM in guidance else instruction

    match provenance:
        case Repair(error=error):
            return family.repair(turns, preamble, error, guidance)
        case Correction(of=of):
            return family.revise(turns, preamble, base.get(of).correction_in(instruction), guidance)
        case Rework(of=of, continues=True, error=error):
            old = base.get(of)
            text = with_state(provenance.state, say(old.full_instruction))
            start = whole_lines(old.chunk)
            return continue_reply(family.render(turns, text, preamble, error, guidance), start)
        case Rework(wish=wish):
            return family.render(turns, wish, preamble, "", guidance)
        case Rewrite(of=of):
            here = [*(turn.full_instruction for turn in base.path), instruction]
            steps = [describe_step(turn) for turn in base.path_to(of)] if of else here
            return family.render((), "\n".join(steps), preamble, "")
        case Step(error=error, files=files, state=state):
            text = with_state(state, with_files(files, say(instruction)))
            return family.render(turns, text, preamble, error, guidance)
        case Fill():
            return family.render(turns, instruction, preamble, "", guidance)


def commented_instructions(provenance: Provenance, base: Session, instruction: str) -> tuple[str, ...]:
    """The instructions that the prompt of a turn after `base` shows as comments in code."""
    if PROGRAM not in provenance.guidance:
        return ()
    return (*(turn.full_instruction for turn in base.path), instruction)


def describe_step(turn: Turn) -> str:
    """What a whole program must do for a turn: its instruction, and the code that the user wrote for it."""
    if turn.status != EDITED or not turn.chunk.strip():
        return turn.full_instruction
    return f"{turn.full_instruction}\nThe code of this step stays as it is:\n{turn.chunk}"


def continue_reply(prompt: Prompt, start: str) -> Prompt:
    """The prompt with `start` as the beginning of the reply, instead of code that its instruction begins."""
    if prompt.messages:
        return replace(prompt, opening=prompt.opening + start, begun=start)
    return replace(prompt, text=prompt.text.removesuffix(prompt.begun) + start, begun=start)


def whole_lines(code: str) -> str:
    """The complete lines of code that was cut off; its last line may be incomplete."""
    return "".join(code.splitlines(keepends=True)[:-1])


def with_files(files: str, instruction: str) -> str:
    """An instruction, preceded by the description of the attached files."""
    return f"{files}\n\n{instruction}" if files else instruction


def state_before(
    session: Session, instruction: str, parts: Sequence[str], guidance: Sequence[str] = ()
) -> str:
    """What the prompt of the next turn says of the state that it starts from.

    Turns that are told folded or not at all do not show what was said before them, so it is said again; the
    program in one piece shows nothing of it.
    """
    path = session.path
    if not parts or not path:
        return ""
    plan = plan_for(session, path)
    hidden = {*plan.folded, *plan.forgotten, *path[-1].provenance.context.folded}
    told_turns = [turn for number, turn in enumerate(path, start=1) if number not in hidden]
    shown = (turn.provenance.state for turn in told_turns if not is_unwritten(turn))
    told = {} if PROGRAM in guidance else told_lines(shown)
    return describe_state(session.outcome, told, instruction, parts)


def program_before(provenance: Provenance, base: Session) -> Session:
    """The session whose program the new code is added to: an empty one where it is the whole program."""
    return replace(base, head=ROOT) if isinstance(provenance, Rewrite) else base


def has_changes(path: Sequence[Turn]) -> bool:
    """Whether the user has had a turn changed.

    The instruction of such a turn has several lines, not all of which still hold: measured with such turns,
    programs are more often right if the model sees the conversation.
    """
    return any(isinstance(turn.provenance, Correction) for turn in path)


def guidance_for(instruction: str, guidance: tuple[str, ...]) -> tuple[str, ...]:
    """The guidance, without worked examples if the instruction has its own.

    Measured: with them, Qwen2.5-Coder-1.5B-Instruct passed 63.4 % of HumanEval instead of 65.9 %, and
    60.2 % of MBPP instead of 65.1 %.
    """
    if WORKED in guidance and ("```" in instruction or assertions_in(instruction)):
        return leave_out(guidance, WORKED)
    return guidance
