"""Fake models that look up their replies, and generators over them, for tests without a real model."""

import io
import random
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace

from mtchat.generate.events import Event
from mtchat.generate.execute import RunProgram
from mtchat.generate.improve import take
from mtchat.generate.policy import Policy
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.family import Family
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Frame, Outcome, Variable
from mtchat.session.program import Location, Program
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.session import Session
from mtchat.session.settings import Sampling

CTRL_C = "\x03"
GREEDY = Sampling()
CARD = ModelCard("fake", "FakeForCausalLM", fingerprint="f" * 64, precision="float16")
GREEDY_64 = Sampling(max_tokens=64)


@dataclass
class ScriptedModel:
    """Gives its replies in order, three characters a piece; the same prompt gets the same reply again.

    CTRL_C in a reply interrupts it; the same prompt gets the whole reply the second time.
    """

    replies: list[str]
    asked: list[tuple[Prompt, Sampling]] = field(default_factory=list)
    said: dict[tuple[Prompt, Sampling], str] = field(default_factory=dict)
    closed: int = 0
    finish: str = "stop"

    def __call__(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        reply = self.said.get((prompt, sampling)) or self.replies.pop(0)
        self.said[prompt, sampling] = reply.replace(CTRL_C, "")
        return self.stream(reply)

    def stream(self, reply: str) -> Iterator[Piece]:
        try:
            for start in range(0, len(reply), 3):
                text, stopped, _ = reply[start : start + 3].partition(CTRL_C)
                if text:
                    yield Piece(text, Usage(prompt_tokens=7, completion_tokens=start + len(text)))
                if stopped:
                    raise KeyboardInterrupt
            yield Piece("", Usage(prompt_tokens=7, completion_tokens=len(reply), finish=self.finish))
        finally:
            self.closed += 1

    @property
    def contexts(self) -> list[str]:
        """What the model was asked, each time."""
        return [prompt.text or prompt.messages[-1].content for prompt, _ in self.asked]


def run(program: Program) -> Outcome:
    """What the program does, run in this process: only for chunks that the tests themselves contain."""
    names: dict[str, object] = {}
    outputs: list[str] = []
    for chunk in program.chunks:
        said = io.StringIO()
        try:
            with redirect_stdout(said):
                exec(compile(chunk.code, program.label(chunk.turn), "exec"), names)
        except Exception as error:
            trace = error.__traceback__
            inner = trace.tb_next if trace else None
            line = inner.tb_lineno if inner else getattr(error, "lineno", 1)
            text = f"{program.label(chunk.turn)}, line {line}: {type(error).__name__}: {error}"
            frames = (Frame(Location(chunk.turn, line), "<module>"),)
            return Outcome(
                exit_code=1,
                finished=False,
                outputs=(*outputs, said.getvalue()),
                error=text,
                frames=frames,
            )
        outputs.append(said.getvalue())
    return Outcome(stdout="".join(outputs), outputs=tuple(outputs))


def scripted_generator(*replies: str, **changes: object) -> TurnGenerator:
    """A generator whose model gives these replies in order."""
    generator = TurnGenerator(codegen, ScriptedModel(list(replies)), run, CARD, "codegen")
    return replace(generator, **changes)


def taken(generator: TurnGenerator, *instructions: str, session: Session | None = None) -> Session:
    """The session with a turn for each instruction."""
    session = session or Session()
    for instruction in instructions:
        session = take(generator, session, instruction, GREEDY)
    return session


def chunks(session: Session) -> list[str]:
    return [turn.chunk for turn in session.path]


def statuses(session: Session) -> list[str]:
    return [turn.status for turn in session.path]


def run_with_variables(program: Program) -> Outcome:
    """As `run`, with the variables that the program leaves: numbers, texts and lists."""
    outcome = run(program)
    names: dict[str, object] = {}
    if outcome.ok:
        with redirect_stdout(io.StringIO()):
            for chunk in program.chunks:
                exec(chunk.code, names)
    plain = {name: value for name, value in names.items() if isinstance(value, int | str | list)}
    found = [Variable(name, type(value).__name__, "", repr(value)) for name, value in plain.items()]
    return replace(outcome, variables=tuple(found))


@dataclass
class KeyedModel:
    """Answers each instruction with its first reply when greedy, and with the others, by seed, when warm."""

    replies: dict[str, list[str]]
    asked: list[tuple[str, Sampling]] = field(default_factory=list)
    stops_at: str = ""

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        wish = prompt.messages[-1].content
        self.asked.append((wish, sampling))
        key = max((key for key in self.replies if key in wish), key=len)
        several = self.replies[key]
        reply = (
            several[0] if not sampling.temperature else several[1:][(sampling.seed - 1) % len(several[1:])]
        )
        if self.stops_at and self.stops_at in wish and sampling.temperature:
            raise KeyboardInterrupt
        yield Piece(reply + "\n```\n", Usage(10, 0, 10, finish="stop", logprob=-1.0))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        for number in range(count):
            for piece in self.complete(prompt, replace(sampling, seed=sampling.seed + number)):
                yield number, piece


@dataclass
class ObservedGenerator:
    """A generator with a policy over a model, and the events it sent."""

    model: KeyedModel
    policy: Policy
    events: list[Event] = field(default_factory=list)
    running: RunProgram | None = None

    def take(self, *instructions: str, session: Session | None = None) -> Session:
        session = session or Session()
        generator = TurnGenerator(
            instruct,
            self.model.complete,
            self.running or run,
            CARD,
            "instruct",
            self.events.append,
            self.policy,
            self.model.candidates,
            self.running or run_with_variables,
        )
        for instruction in instructions:
            session = take(generator, session, instruction, GREEDY_64)
        return session

    def heard(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)


def observed(policy: Policy, stops_at: str = "", **replies: list[str]) -> ObservedGenerator:
    return ObservedGenerator(
        KeyedModel({name.replace("_", " "): each for name, each in replies.items()}, stops_at=stops_at),
        policy,
    )


def prefixes(text: str, draw: random.Random) -> list[str]:
    """A text as it arrives: cut at random points, and whole at the end."""
    points = sorted({draw.randrange(len(text) + 1) for _ in range(8)} | {len(text)})
    return [text[:point] for point in points]


def assert_cut_as_it_arrives(family: Family, text: str, draw: random.Random) -> None:
    """The first finished beginning of a reply is cut as the whole is, and gives the same chunk."""
    whole, cuts = family.cut(text), [(part, family.cut(part)) for part in prefixes(text, draw)]
    first = next(((part, cut) for part, cut in cuts if cut.finished), None)
    assert (first is not None) == whole.finished, text
    if first is not None:
        assert first[1] == whole, text
        assert family.chunk(first[0], "") == family.chunk(text, ""), text
