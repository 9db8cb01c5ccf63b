"""Policies: what is done for a turn beyond one plain completion, by name in one table.

Another package adds a policy with an entry point in the group `mtchat.policies` that names a `Policy`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mtchat import plugins
from mtchat.errors import UsageError
from mtchat.generate.prompt.family import PROGRAM, WORKED
from mtchat.generate.prompt.state import PARTS
from mtchat.session.language import Language

GROUP = "mtchat.policies"


@dataclass(frozen=True)
class Policy:
    """What is done for each turn; by default, one plain completion.

    guidance: what the prompt holds beside or instead of the conversation, of `prompt.family.GUIDANCE`.
    rules: repair the code by rule, without the model.
    samples: candidates drawn at `temperature` beside the first completion if that one fails or its mean
        log-probability per token is below `confidence_threshold` (nats; None: always). The behaviour that
        most of them show wins; `weigh_by_likelihood` counts each by how likely its text is. A change of an
        earlier turn has candidates as well, also if it leaves the code as it was or breaks other turns.
    generated_tests: assertions that the model writes to tell candidate functions apart.
    rewrites: programs written as a whole from all instructions: one if the program still fails, more to
        cross-check what the turns print.
    repair_rounds: times that the model is shown the error if the chosen code still fails.
    state: what the prompt says of the program so far, such as `prompt.state.PARTS`.
    description: one sentence for lists of policies.
    """

    guidance: tuple[str, ...] = ()
    rules: bool = False
    samples: int = 0
    temperature: float = 0.6
    confidence_threshold: float | None = None
    weigh_by_likelihood: bool = True
    generated_tests: int = 0
    rewrites: int = 0
    repair_rounds: int = 0
    state: tuple[str, ...] = ()
    description: str = field(default="", compare=False)

    @property
    def refines(self) -> bool:
        """Whether anything is done for a turn beyond its first completion."""
        return bool(self.samples or self.rewrites or self.repair_rounds)

    @property
    def quiet(self) -> "Policy":
        """This policy without the parts that run programs that the user has not seen."""
        return replace(self, samples=0, generated_tests=0, rewrites=0, repair_rounds=0)


PLAIN = Policy(description="One completion, unchanged.")
POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "best": Policy(
            guidance=(PROGRAM,),
            state=PARTS,
            rules=True,
            samples=7,
            rewrites=5,
            repair_rounds=1,
            description="Everything that helps, however long it takes.",
        ),
        "default": Policy(
            guidance=(PROGRAM,),
            state=PARTS,
            rules=True,
            samples=6,
            confidence_threshold=-0.08,
            rewrites=1,
            repair_rounds=1,
            description="One completion; more, a rewrite and a repair only if it fails or looks doubtful.",
        ),
        "examples": Policy(
            guidance=(WORKED,), description="Worked examples of turns precede the conversation."
        ),
        "plain": PLAIN,
        "program": Policy(
            guidance=(PROGRAM,),
            description="Prompts show the program so far in one piece, instead of the conversation.",
        ),
        "repair": Policy(
            repair_rounds=2, description="The model is shown an error and asked to fix it, twice."
        ),
        "rewrite": Policy(
            rewrites=1, description="If a program fails, all of it is rewritten from all instructions."
        ),
        "rules": Policy(
            rules=True, description="Repairs without the model: imports, names, indentation, a cut-off tail."
        ),
        "select": Policy(
            samples=7, description="Several candidates are run; the most common behaviour wins."
        ),
        "state": Policy(
            state=PARTS, description="Prompts show what the last turn printed and which variables changed."
        ),
        "tests": Policy(
            samples=7,
            generated_tests=5,
            description="Candidate functions are compared by calls that the model writes.",
        ),
    }
)
FORMER_NAMES: Mapping[str, str] = MappingProxyType({"afresh": "rewrite", "checks": "tests"})


def known() -> Mapping[str, Policy]:
    """All policies by name, sorted: those of the table and those of other packages."""
    offered: dict[str, Policy] = plugins.values(GROUP)
    return dict(sorted({**offered, **POLICIES}.items()))


def load(name: str) -> Policy:
    """A policy by its name; an unknown name is a UsageError that lists the known ones."""
    name = FORMER_NAMES.get(name, name)
    if name in POLICIES:
        return POLICIES[name]
    policy: Policy | None = plugins.value(GROUP, name)
    if policy is not None:
        return policy
    raise UsageError(f"{name!r} is not a policy; choose from: {', '.join(known())}")


def for_language(name: str, language: Language) -> Policy:
    """The policy of a name; the plain one for languages that are not run, since nothing can be compared."""
    return load(name) if language.runs else PLAIN


def with_candidates(policy: Policy, count: int) -> Policy:
    """The policy with `count` candidates for every turn, also if the first is not in doubt."""
    return policy if count < 2 else replace(policy, samples=count - 1, confidence_threshold=None)
