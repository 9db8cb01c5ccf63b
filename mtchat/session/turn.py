"""One turn: an instruction, the code that it gave, how that was made, and what the user decided about it."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from mtchat.session.prompt import Usage, file_key
from mtchat.session.provenance import BY_HAND, Correction, Provenance, Replacement, Step, as_json

COMPLETE = "complete"
INTERRUPTED = "interrupted"
EDITED = "edited"
KEPT = "kept"
STATUSES = (COMPLETE, INTERRUPTED, EDITED, KEPT)


@dataclass(frozen=True)
class Turn:
    """A node of the session tree. `parent` is the id of the turn before it, "" for the first.

    `chunk` is the code that it adds to the program. `status` is complete (the model wrote it), interrupted
    (the user stopped the model), edited (the user wrote it) or kept (carried over from another branch when an
    earlier turn was replaced). `provenance` records how the code came about, and `usage` its tokens and
    seconds. `meant` is the user's answer if the instruction was ambiguous; `typed` is the instruction as the
    user typed it, if that contained a reference such as {err}, and "" otherwise.
    """

    instruction: str
    chunk: str
    parent: str = ""
    status: str = COMPLETE
    provenance: Provenance = field(default=BY_HAND, metadata=file_key("making"))
    usage: Usage = Usage()
    meant: str = ""
    typed: str = ""

    @property
    def code(self) -> str:
        """The chunk: the code that this turn adds to the program."""
        return self.chunk

    @property
    def replaces(self) -> str:
        """The id of the turn whose place this one takes, as a repair, a correction or a rework; or ""."""
        return self.provenance.of if isinstance(self.provenance, Replacement) else ""

    @property
    def corrects(self) -> str:
        """The id of the turn that this one corrects, or ""."""
        return self.provenance.of if isinstance(self.provenance, Correction) else ""

    @property
    def instruction_as_typed(self) -> str:
        """The instruction as the user typed it."""
        return self.typed or self.instruction

    @property
    def full_instruction(self) -> str:
        """What the model is asked for: the instruction, and the user's answer if it was ambiguous."""
        return f"{self.instruction}\nThat is: {self.meant}" if self.meant else self.instruction

    @property
    def rederives(self) -> str:
        """The id of the turn that this one takes the place of because a correction changed one before it."""
        return self.provenance.rederives if isinstance(self.provenance, Step) else ""

    def correction_in(self, instruction: str) -> str:
        """The correction that an instruction adds to what this turn was asked for, on a line of its own."""
        return instruction.removeprefix(f"{self.full_instruction}\n")

    @cached_property
    def id(self) -> str:
        """BLAKE2b-128 of its values, its provenance included, as canonical JSON, in hex."""
        provenance = as_json(self.provenance)
        typed = {"typed": self.typed} if self.typed else {}
        later = filter(None, [self.meant, typed])
        parts = [self.parent, self.instruction, self.chunk, self.status, provenance, *later]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        # ASCII escapes would give two lone surrogates the id of the character they pair up to
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


WHOLE, FOLDED, FORGOTTEN = "", "folded", "forgotten"


@dataclass(frozen=True)
class TurnOptions:
    """What the user decided about a turn after it was made.

    `checks` are Python expressions that must hold after the turn. `context` says how later prompts show it:
    WHOLE in full, FOLDED as signatures and names only, FORGOTTEN not at all; the program always has its code.
    """

    checks: tuple[str, ...] = ()
    context: str = WHOLE
