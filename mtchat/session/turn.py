"""One turn: an instruction, the chunk of code it gave, and how that chunk was made."""

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import blake2b

from mtchat.session.prompt import Usage, file_key
from mtchat.session.settings import Sampling

COMPLETE = "complete"
INTERRUPTED = "interrupted"
EDITED = "edited"
KEPT = "kept"
# of Making; turns from before they were there keep their ids
LATER = (
    "guidance",
    "rules",
    "afresh",
    "folded",
    "forgotten",
    "asked",
    "goes_on",
    "corrects",
    "filled",
    "files",
)
STATUSES = (COMPLETE, INTERRUPTED, EDITED, KEPT)


@dataclass(frozen=True)
class Provenance:
    """How a chunk was made: enough to make it again, byte for byte, on the same machine and build.

    `error` is the failure that the context carried ("" when the program ran); `mends` is the id of the
    turn whose failing chunk this one was asked to replace ("" for an ordinary turn). `guidance` names what
    the context held beside the conversation; `rules` says that the code was repaired by rule, and `afresh`
    that it is the whole program, written again from all instructions up to this one. Of the turns before
    it, the context held those with a number in `folded` as signatures and names, and those in `forgotten`
    not at all. `asked` is what the model was told to do with the code of the turn in `mends`, where that does
    not fail; `goes_on` that it was to go on from where that code ends. `corrects` is the id of the turn that
    this one takes the place of because the user wanted it changed; the instruction then ends with a line that
    says how. `filled` names the model that wrote what the user left open in code of their own. `files` is
    what the model was told of the files that were attached.
    """

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


@dataclass(frozen=True)
class Turn:
    """A node of the session tree. `parent` is the id of the turn before it, "" for the first.

    `status` is complete (the model wrote it), interrupted (it was stopped while it wrote), edited (the
    user wrote it) or kept (carried over from another branch when a turn before it was replaced).
    `meant` is the user's answer where the instruction could be read in more than one way; `typed` is the
    instruction as it was typed, where that referred to something: "explain {err}".
    """

    instruction: str
    chunk: str
    parent: str = ""
    status: str = COMPLETE
    provenance: Provenance = field(default=Provenance(), metadata=file_key("making"))
    usage: Usage = Usage()
    meant: str = ""
    typed: str = ""

    @property
    def shown(self) -> str:
        """The instruction as the user knows it."""
        return self.typed or self.instruction

    @property
    def wish(self) -> str:
        """What the model is asked for: the instruction, and what the user said was meant by it."""
        return f"{self.instruction}\nThat is: {self.meant}" if self.meant else self.instruction

    @cached_property
    def id(self) -> str:
        """BLAKE2b-128 of its values, its provenance included, as canonical JSON, in hex."""
        provenance = {
            name: value for name, value in asdict(self.provenance).items() if value or name not in LATER
        }
        typed = {"typed": self.typed} if self.typed else {}
        later = filter(None, [self.meant, typed])
        parts = [self.parent, self.instruction, self.chunk, self.status, provenance, *later]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        # ASCII escapes would give two lone surrogates the id of the character they pair up to
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
