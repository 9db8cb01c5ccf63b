"""What the next prompt begins with: /fix after a failure, selected, so that typing takes its place."""

from dataclasses import dataclass

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.selection import SelectionState

from mtchat.generate.running import failed, mendable
from mtchat.session.session import Session

FIX = "/fix"


@dataclass
class Offer:
    """Offers a mending once for each failure: who goes on all the same is not asked again."""

    offered: str = ""

    def text(self, session: Session) -> str:
        """The text that the prompt begins with; "" where nothing is offered."""
        outcome = session.outcome
        failure = outcome.error if outcome is not None and mendable(outcome) and failed(outcome) else ""
        known, self.offered = self.offered, failure
        return FIX if failure not in ("", known) else ""


def select(buffer: Buffer) -> None:
    """Selects the whole text as Shift and the arrows do: what is typed then replaces it."""
    if buffer.text == FIX:
        buffer.selection_state = SelectionState(original_cursor_position=0)
        buffer.selection_state.enter_shift_mode()
        buffer.cursor_position = len(buffer.text)
