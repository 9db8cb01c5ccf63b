"""What the user has laid down about a turn after it was made."""

from dataclasses import dataclass

WHOLE, FOLDED, FORGOTTEN = "", "folded", "forgotten"


@dataclass(frozen=True)
class TurnOptions:
    """`checks` are Python expressions that must hold after the turn; `context` says how the model sees it.

    WHOLE is as it stands, FOLDED as signatures and names alone, FORGOTTEN not at all; the program has its
    code whole in each case.
    """

    checks: tuple[str, ...] = ()
    context: str = WHOLE
