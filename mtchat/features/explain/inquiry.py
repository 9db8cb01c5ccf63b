"""Answers a question about a program: what is certain first, then the model's words.

What is asked is not parsed. The text is searched for what it mentions of the program, whatever its language,
and what the code, the last run and the documentation say about that are the facts. The model is given the
program, these facts and the question, and says the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mtchat.errors import MtchatError, UsageError
from mtchat.features.explain.answers import fence_program, stream_answer
from mtchat.features.explain.code_facts import facts_from_code, raise_facts
from mtchat.features.explain.documentation import Look, read_documentation
from mtchat.features.explain.effects import effect_facts
from mtchat.features.explain.fact import Fact, FactSource
from mtchat.features.explain.loops import growth_facts
from mtchat.features.explain.mentions import (
    FUNCTIONS,
    SURE,
    WORD,
    Mention,
    MentionKind,
    ProgramWords,
    find_mentions,
)
from mtchat.features.explain.probes import call_code, describe_numbers, find_words, printed_rows
from mtchat.features.explain.state_facts import (
    CODE_KINDS,
    concerns_failure,
    describe_value,
    failure_facts,
    loop_facts,
    number_facts,
    output_facts,
    part_facts,
    result_facts,
    value_facts,
)
from mtchat.generate.complete import CompleteStream
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.program import Chunk, Program
from mtchat.session.prompt import Message, Prompt
from mtchat.session.session import Session

LONGEST_QUESTION = 600  # characters that the model is given
LONGEST_WORDS = 120  # tokens of its answer
MOST_SENTENCES = 3
MOST_SHOWN = 7
MOST_UNASKED = 3  # facts that are shown although the question mentions nothing
MOST_GUESSED = 2  # facts that are shown about what may be mentioned
MOST_TOLD = 24  # facts that the model is given
MOST_VARIABLES = 12
MOST_WORDS = 40
MOST_ENTRIES = 4
SHORTEST_ENTRY = 4  # letters of a word that is looked for among the values
SYSTEM = (
    "You answer questions about a {title} program. You rely on the program and on the facts, which are "
    "certain. You answer in the language of the question, in one to three short sentences, without code."
)


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    `facts` are certain. `words` are the model's own and may be wrong; `note` says why there are none.
    """

    question: str
    facts: tuple[Fact, ...] = ()
    words: str = ""
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """The facts to show, and others that the model is given as well."""

    shown: tuple[Fact, ...] = ()
    more: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Inquiry:
    """A question about a session, and the ways to find out.

    `look` gives the state of a program that has run, with its variables; None if it may not be looked at.
    `consult` runs a program in a sandbox of its own; None if there is none.
    """

    session: Session
    text: str
    look: Look | None = None
    consult: Look | None = None

    @cached_property
    def program(self) -> ProgramWords:
        return ProgramWords(self.session)

    @cached_property
    def mentions(self) -> tuple[Mention, ...]:
        return find_mentions(self.program, self.text)

    @property
    def is_sure(self) -> bool:
        """Whether the question surely mentions something of the program."""
        return any(each.strength >= SURE for each in self.mentions)

    @cached_property
    def outcome(self) -> Outcome | None:
        """What the program last did, if it was run and not merely interrupted."""
        outcome = self.session.outcome
        return None if outcome is None or outcome.stopped else outcome

    @cached_property
    def state(self) -> Outcome:
        """The state of the program as its last run left it, and what the probes printed about it."""
        outcome = self.outcome
        if self.look is None or outcome is None or outcome.limit:
            return Outcome()
        program = Program(self.session.program.chunks)
        if not outcome.ok:
            again = self.look(program)
            return again if again.error == outcome.error else Outcome()
        words = [word.lower() for word in WORD.findall(self.text)[:MOST_WORDS] if len(word) >= SHORTEST_ENTRY]
        code = "\n".join(
            [
                call_code(describe_numbers, names=list(self.program.names)),
                call_code(find_words, words=words),
            ]
        )
        return self.look(Program((*program.chunks, Chunk(len(self.session.path) + 1, code))))

    @cached_property
    def values(self) -> Mapping[str, Variable]:
        return {each.name: each for each in self.state.variables if each.name in self.program.names}

    @cached_property
    def rows(self) -> Sequence[Mapping[str, object]]:
        """What the probes printed."""
        outcome = self.state
        return printed_rows(outcome.outputs[-1].splitlines()) if self.probed else []

    @cached_property
    def documentation(self) -> Mapping[Mention, tuple[Fact, ...]]:
        """What the documentation says about what is mentioned."""
        if self.consult is None:
            return {}
        return read_documentation(self.program, self.mentions, self.values, self.consult)

    @property
    def probed(self) -> bool:
        return self.state.ok and len(self.state.outputs) > len(self.session.program.chunks)


def require_question(text: str) -> str:
    """The text without spaces around it; UsageError if nothing is left."""
    text = text.strip()
    if not any(sign.isalnum() for sign in text):
        raise UsageError("the question is empty; ask about the program, as in: what does x hold?")
    return text


def find_evidence(inquiry: Inquiry) -> Evidence:
    """Everything certain that a question may be about, what it mentions first.

    If it mentions at most a part of a name, what the program as a whole did comes first.
    """
    if not inquiry.session.path or not inquiry.session.language.runs:
        return Evidence()
    asked = list(dict.fromkeys(mentioned_facts(inquiry)))
    around = [fact for fact in dict.fromkeys(surrounding_facts(inquiry)) if fact not in asked]
    shown = asked[:MOST_SHOWN]
    if not inquiry.is_sure:
        failed = [fact for fact in asked if fact.source is FactSource.ERROR]
        telling = failed or [fact for fact in around if fact.source is not FactSource.VALUE][:MOST_UNASKED]
        shown = [*telling, *[fact for fact in asked if fact not in telling][:MOST_GUESSED]]
    more = [fact for fact in (*asked, *around) if fact not in shown]
    return Evidence(tuple(shown), tuple(more[: MOST_TOLD - len(shown)]))


def mentioned_facts(inquiry: Inquiry) -> Iterator[Fact]:
    """The facts about what the question mentions; about the failure if it may be about that."""
    program, outcome, values = inquiry.program, inquiry.outcome, inquiry.values
    why: list[Fact] = []
    if outcome is not None and outcome.error:
        why = list(failure_facts(inquiry.session.program, outcome, tuple(values.values())))
        why = why if concerns_failure(why, outcome, inquiry.mentions) else []
    if all(each.kind in (MentionKind.ERROR, MentionKind.TURN) for each in inquiry.mentions):
        yield from why
    yield from part_facts(inquiry.text, values)
    yield from number_facts([row for row in inquiry.rows if "entry" in row][:MOST_ENTRIES])
    for mention in inquiry.mentions:
        yield from value_facts(program, mention, values)
        yield from number_facts([row for row in inquiry.rows if row.get("name") == mention.name])
        yield from result_facts(program, mention, values)
        about = list(facts_from_code(program, mention))
        yield from about
        if outcome is not None and mention.kind in (MentionKind.TURN, MentionKind.LITERAL):
            turns = list(dict.fromkeys(fact.turn for fact in about))
            yield from output_facts(program, outcome, turns, silent=mention.kind is MentionKind.TURN)
        if outcome is not None:
            yield from loop_facts(program, outcome, values, mention)
        yield from inquiry.documentation.get(mention, ())
    yield from why


def surrounding_facts(inquiry: Inquiry) -> Iterator[Fact]:
    """Facts about the program as a whole: output, loops, files, values."""
    program, outcome = inquiry.program, inquiry.outcome
    if outcome is not None:
        yield from output_facts(program, outcome, range(len(inquiry.session.path), 0, -1), silent=False)
        yield from loop_facts(program, outcome, inquiry.values)
        for file in outcome.files:
            yield Fact(f"the program wrote the file {file.path} ({file.size} bytes)", FactSource.RUN)
    for turn, node in program.nodes:
        if isinstance(node, FUNCTIONS):
            yield from raise_facts(turn, node)
            for text in (*growth_facts(node.name, node), *effect_facts(node.name, node)):
                yield Fact(text, FactSource.CODE, turn)
    yield from number_facts([row for row in inquiry.rows if "name" in row])
    data = [each for each in inquiry.values.values() if each.kind not in CODE_KINDS]
    yield from (
        Fact(f"`{each.name}` is {describe_value(each)}", FactSource.VALUE) for each in data[:MOST_VARIABLES]
    )


def question_prompt(inquiry: Inquiry, evidence: Evidence, known: Sequence[Fact] = ()) -> Prompt:
    """What the model is asked: the program, the facts, and the question in its own words."""
    session, language = inquiry.session, inquiry.session.language
    chunks = [session.preamble.strip()] if session.preamble.strip() else []
    for number, turn in enumerate(session.path, start=1):
        asked = " ".join(turn.instruction_as_typed.split())
        chunks.append(f"{language.sign} turn {number}: {asked}\n{turn.chunk.strip()}")
    parts = [f"The program:\n\n{fence_program(chr(10).join(chunks), language)}"] if chunks else []
    facts = [fact.text for fact in (*known, *evidence.more[::-1], *evidence.shown)]
    if facts:
        parts.append("Certain facts:\n" + "\n".join(f"- {text}" for text in facts))
    text = inquiry.text
    text = text if len(text) <= LONGEST_QUESTION else f"{text[:LONGEST_QUESTION]}…"
    parts.append(f"The question, to be answered in its own language: {text}")
    system = SYSTEM.format(title=language.title)
    return Prompt(messages=(Message("system", system), Message("user", "\n\n".join(parts))))


def stream_words(complete: CompleteStream, prompt: Prompt) -> Iterator[str]:
    """The model's words as they come, a bounded number of sentences."""
    yield from stream_answer(complete, prompt, MOST_SENTENCES, LONGEST_WORDS, least=1)


OnPart = Callable[[Fact | str], None]


def answer(
    inquiry: Inquiry,
    complete: CompleteStream,
    silent: Callable[[], str],
    known: Sequence[Fact],
    on_part: OnPart,
) -> Answer:
    """The answer to a question; `on_part` gets each fact, and then the model's words piece by piece.

    `silent` says why the model cannot be asked, or "". `known` are facts from elsewhere.
    """
    evidence = find_evidence(inquiry)
    facts = (*evidence.shown, *known)
    for fact in facts:
        on_part(fact)
    words, note = "", silent()
    if not note:
        try:
            for piece in stream_words(complete, question_prompt(inquiry, evidence, known)):
                words += piece
                on_part(piece)
        except MtchatError as error:
            note = f"the model could not answer: {error}"
    if not words and not note:
        note = "the model had no words to add" if facts else "the model had no answer; ask it in other words"
    return Answer(inquiry.text, facts, words, note)
