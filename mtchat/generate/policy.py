"""A policy: what is done to make a turn better than one plain completion."""

from dataclasses import dataclass, replace

from mtchat import plugins
from mtchat.session.language import Language

POLICIES = "mtchat.generate.policies"


@dataclass(frozen=True)
class Policy:
    """What is done for each turn; the default is a plain completion.

    `guidance` names what the context holds beside the conversation. `rules` repairs code without the model.
    `samples` candidates are drawn at `temperature` beside the first, where that one fails or is in doubt:
    its mean log-probability a token is below `doubt` (nats; None: always). They are weighed by how many do
    the same, each as likely as it is where `likelihood` is on; so many `checks` that the model makes up show
    what functions do. `rounds` of mending follow where what was chosen still fails.
    """

    guidance: tuple[str, ...] = ()
    rules: bool = False
    samples: int = 0
    temperature: float = 0.6
    doubt: float | None = None
    likelihood: bool = True
    checks: int = 0
    afresh: int = 0
    rounds: int = 0

    @property
    def quiet(self) -> "Policy":
        """This policy without all that runs programs that the user has not seen."""
        return replace(self, samples=0, checks=0, afresh=0, rounds=0)


PLAIN = Policy()


def drawing(policy: Policy, tries: int) -> Policy:
    """The policy where so many tries are made for each turn, also where the first is not in doubt."""
    return policy if tries < 2 else replace(policy, samples=tries - 1, doubt=None)


def fit(name: str, language: Language) -> Policy:
    """The policy of a name; where nothing is run, and so nothing is known of a program, the plain one."""
    return load(name) if language.runs else PLAIN


def load(name: str) -> Policy:
    """A policy by the name of its file; an unknown one is a UsageError that lists those there are."""
    found: Policy = plugins.load(POLICIES, name).POLICY
    return found
