"""How the code of a turn came about: a record for each kind of turn, and its flat form in session files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from mtchat.session.settings import Sampling


@dataclass(frozen=True)
class ContextPlan:
    """How a prompt shows the turns before it: by number from 1, in order, those that it folds and leaves out.

    A folded turn is shown by its signatures and names, a forgotten one not at all, every other one in full.
    """

    folded: tuple[int, ...] = ()
    forgotten: tuple[int, ...] = ()

    def fold(self, numbers: Sequence[int]) -> "ContextPlan":
        """This plan with more turns folded, except those that are forgotten."""
        more = {*self.folded, *numbers}.difference(self.forgotten)
        return replace(self, folded=tuple(sorted(more)))

    def without(self, number: int) -> "ContextPlan":
        """This plan with one turn shown in full."""
        folded = tuple(each for each in self.folded if each != number)
        return ContextPlan(folded, tuple(each for each in self.forgotten if each != number))


EVERYTHING = ContextPlan()


@dataclass(frozen=True)
class GenerationRecord:
    """What the record of every kind of turn holds. With the session, the fields of the kind included, it is
    enough to generate the same code again, byte for byte, on the same machine and build.

    `model`, `fingerprint` (SHA-256 of its weights) and `precision` name the model, "" where the user wrote
    the code; `family` is the prompt format, `guidance` names what the prompt held beside or instead of the
    conversation, `rules` says that the code was repaired by rule, and `context` how the prompt showed the
    turns before.
    `state` is what was said before the instruction about the program so far: its last output, its variables.
    A turn that replaces another has that turn's, so that the prompts of later turns begin as they did.
    `drops_repeats` says that the rules removed what only repeats earlier code, which older sessions keep.
    `think` is the most tokens that the model might think before the code, 0 for none, and `thought` is what
    it thought; no prompt of a later turn shows it.
    """

    model: str = ""
    fingerprint: str = ""
    precision: str = ""
    family: str = ""
    sampling: Sampling = Sampling()
    guidance: tuple[str, ...] = ()
    rules: bool = False
    context: ContextPlan = EVERYTHING
    state: str = ""
    drops_repeats: bool = False
    think: int = 0
    thought: str = ""


@dataclass(frozen=True)
class Step(GenerationRecord):
    """The next step of the program, or code that the user wrote (then `model` is "").

    The prompt is made of the turns before and the instruction; of `error`, how the program failed before it
    ("" when it ran), and `files`, a description of the attached files. `rederives` is the id of the turn with
    the same instruction whose code no longer fitted when a correction changed a turn before it, or "".
    """

    error: str = ""
    files: str = ""
    rederives: str = ""


@dataclass(frozen=True)
class Repair(GenerationRecord):
    """New code for the turn with the id `of`, whose prompt shows that turn and the `error` of its program."""

    of: str = ""
    error: str = ""


@dataclass(frozen=True)
class Correction(GenerationRecord):
    """New code for the turn with the id `of`, which the user wanted changed.

    The last line of the turn's instruction is the change; the prompt shows the old turn and that line.
    """

    of: str = ""


@dataclass(frozen=True)
class Rework(GenerationRecord):
    """The code of the turn with the id `of` written differently: as `wish` tells the model, or continued.

    Without a `wish` the turn was cut off, and the model continues its code; `error` is then how the program
    failed before that turn.
    """

    of: str = ""
    wish: str = ""
    error: str = ""

    @property
    def continues(self) -> bool:
        """Whether the model continues the code of the old turn."""
        return not self.wish


@dataclass(frozen=True)
class Rewrite(GenerationRecord):
    """The whole program written at once, or a part of it, in answer to all instructions as if they were one.

    `of` is the id of the last turn of the program that was written again, and `steps` are the first and last
    of its turns whose code this one is. Older sessions have neither: there the turn has the whole program,
    which answers all instructions up to this one. `files` is not part of the prompt; older sessions have it
    from the step that the turn replaced.
    """

    files: str = ""
    of: str = ""
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fill(GenerationRecord):
    """Code that the user wrote with holes in it; `by` names the model that filled them."""

    by: str = ""


Replacement = Repair | Correction | Rework
Provenance = Step | Replacement | Rewrite | Fill
BY_HAND = Step()  # of code that no model wrote


@dataclass(frozen=True)
class ProvenanceRecord:
    """A provenance as session files keep it: flat, with the fields of all kinds."""

    model: str = ""
    fingerprint: str = ""
    precision: str = ""
    family: str = ""
    sampling: Sampling = Sampling()
    error: str = ""
    mends: str = ""
    guidance: tuple[str, ...] = ()
    rules: bool = False
    afresh: bool = False
    folded: tuple[int, ...] = ()
    forgotten: tuple[int, ...] = ()
    asked: str = ""
    goes_on: bool = False
    corrects: str = ""
    filled: str = ""
    files: str = ""
    rederives: str = ""
    state: str = ""
    steps: tuple[int, ...] = ()
    drops_repeats: bool = False
    think: int = 0
    thought: str = ""


# in every file; what was added later is left out where it says nothing, so that older turns keep their ids
ALWAYS = ("model", "fingerprint", "precision", "family", "sampling", "error", "mends")


def record_of(provenance: Provenance) -> ProvenanceRecord:
    """The flat form of a provenance."""
    flat = ProvenanceRecord(
        provenance.model,
        provenance.fingerprint,
        provenance.precision,
        provenance.family,
        provenance.sampling,
        guidance=provenance.guidance,
        rules=provenance.rules,
        folded=provenance.context.folded,
        forgotten=provenance.context.forgotten,
        state=provenance.state,
        drops_repeats=provenance.drops_repeats,
        think=provenance.think,
        thought=provenance.thought,
    )
    match provenance:
        case Step(error=error, files=files, rederives=rederives):
            return replace(flat, error=error, files=files, rederives=rederives)
        case Repair(of=of, error=error):
            return replace(flat, mends=of, error=error)
        case Correction(of=of):
            return replace(flat, corrects=of)
        case Rework(of=of, wish=wish, error=error):
            return replace(flat, mends=of, asked=wish, error=error, goes_on=not wish)
        case Rewrite(files=files, of=of, steps=steps):
            return replace(flat, afresh=True, files=files, mends=of, steps=steps)
        case Fill(by=by):
            return replace(flat, filled=by)


def provenance_of(flat: ProvenanceRecord) -> Provenance:
    """The provenance that a flat form says; fields that its kind does not have are dropped."""
    context = ContextPlan(flat.folded, flat.forgotten)
    found = GenerationRecord(
        flat.model,
        flat.fingerprint,
        flat.precision,
        flat.family,
        flat.sampling,
        flat.guidance,
        flat.rules,
        context,
        flat.state,
        flat.drops_repeats,
        flat.think,
        flat.thought,
    )
    shared = {name: getattr(found, name) for name in GenerationRecord.__dataclass_fields__}
    if flat.afresh:
        return Rewrite(**shared, files=flat.files, of=flat.mends, steps=flat.steps)
    if flat.asked or flat.goes_on:
        return Rework(**shared, of=flat.mends, wish="" if flat.goes_on else flat.asked, error=flat.error)
    if flat.mends:
        return Repair(**shared, of=flat.mends, error=flat.error)
    if flat.corrects:
        return Correction(**shared, of=flat.corrects)
    if flat.filled:
        return Fill(**shared, by=flat.filled)
    return Step(**shared, error=flat.error, files=flat.files, rederives=flat.rederives)


def as_json(provenance: Provenance) -> Mapping[str, object]:
    """The flat form as JSON has it, in session files and in the id of a turn."""
    flat = asdict(record_of(provenance))
    return {name: value for name, value in flat.items() if value or name in ALWAYS}
